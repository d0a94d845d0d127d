import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys
import alignment.method
names = [m.name for m in pkgutil.walk_packages(alignment.method.__path__, "alignment.method.")]
for name in names:
    importlib.import_module(name)
heavy = {"django", "torch", "celery", "kombu", "channels", "psycopg", "transformers", "workers"}
print(len(names), sorted(heavy & {m.split(".")[0] for m in sys.modules}))
"""


def test_importing_the_whole_method_loads_no_django_torch_or_celery() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    count, heavy = done.stdout.split(" ", 1)
    assert int(count) >= 12
    assert heavy.strip() == "[]"
