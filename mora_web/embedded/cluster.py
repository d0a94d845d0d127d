"""Makes what an embedded PostgreSQL needs on disk: folders, binaries, cluster and database.

Each part is made once and found again, and a part left half made is made anew. As root, what
the server's user must not change stays root's. Starting the server is `postgres`' part.
"""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from mora_web.embedded.location import DATABASE, ROLE, Location
from mora_web.embedded.surroundings import SetupError, disk_full, folder_errors

HBA = f"local all all peer map={ROLE}\n"


def ensure_cluster(place: Location) -> None:
    """Make the folders, the copied binaries and the cluster with its database where missing.

    A cluster is made beside its place and renamed, so that an interrupted call leaves nothing
    that looks finished. Raises SetupError.
    """
    with folder_errors(place.var):
        make_folder(place.var)
        make_folder(place.log.parent)
        if place.uses_home:
            _make_home(place)
        if place.home in place.binaries.parents:
            _copy_binaries(place)
        _make_socket_folder(place)
        if is_forgotten(place):
            previous = place.data.with_name("postgres.previous")
            shutil.rmtree(previous, ignore_errors=True)
            place.data.rename(previous)
        if not (place.data / "PG_VERSION").exists():
            _make_cluster(place)
        if not place.link.exists():
            place.link.unlink(missing_ok=True)
            place.link.symlink_to(place.data)


def is_forgotten(place: Location) -> bool:
    """Whether a cluster outside the clone is that of a `var` since removed.

    It is kept aside once: whoever removes `var`, or clones anew, wants an empty console.
    """
    return place.data.exists() and not place.link.exists()


def make_folder(path: Path) -> None:
    """Make a folder and its parents where missing, open to be entered whatever the umask."""
    if not path.exists():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        path.chmod(0o755)


def as_server_user(place: Location) -> dict[str, Any]:
    """Arguments of subprocess: the server's user, and nothing of our environment."""
    kept = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    common: dict[str, Any] = {"env": kept, "cwd": "/"}
    if place.uid == os.geteuid():
        return common
    return common | {"user": place.uid, "group": place.gid, "extra_groups": []}


def failure(place: Location, output: str) -> SetupError:
    """What PostgreSQL wrote before it gave up, as one sentence."""
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return disk_full(place.data.parent)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [
        line
        for line in lines
        if any(word in line for word in ("FATAL", "PANIC", "error:", "could not"))
    ]
    reason = (marked or lines or ["it gave no reason"])[-1].rstrip(".")
    return SetupError(f"The embedded PostgreSQL does not start: {reason} (see {place.log}).")


def _make_home(place: Location) -> None:
    """Make the folder outside the clone.

    Root keeps it, so that the server's user, which several daemons may share, cannot swap what
    root writes there; that user may only pass through.
    """
    make_folder(place.home.parent)
    place.home.mkdir(mode=0o700, exist_ok=True)
    os.chown(place.home, 0, place.gid)
    place.home.chmod(0o710)


def _make_socket_folder(place: Location) -> None:
    with contextlib.suppress(FileExistsError):
        place.socket.mkdir(mode=0o700)
        os.chown(place.socket, place.uid, place.gid, follow_symlinks=False)
    found = place.socket.lstat()
    # Under /tmp anybody could have made it first.
    if found.st_uid != place.uid or found.st_mode & 0o170777 != 0o040700:
        raise SetupError(f"{place.socket} is not a private folder of {place.user}: remove it.")


def _copy_binaries(place: Location) -> None:
    """Copy what the server's user cannot reach in the package; again after an upgrade."""
    source, target = place.package, place.home / "server"
    stamp = target / "source"
    wanted = f"{source} {(source / 'pginstall/bin/postgres').stat().st_mtime_ns}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(target, ignore_errors=True)
    bundle = f"{source.name}.libs"  # initdb finds its libpq there, relative to itself
    shutil.copytree(source.parent / bundle, target / bundle)
    for part in ("bin", "lib", "share"):
        shutil.copytree(source / "pginstall" / part, target / source.name / "pginstall" / part)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.parent == place.binaries else 0o644)
    stamp.write_text(wanted)


def _make_cluster(place: Location) -> None:
    for left in place.data.parent.glob(f"{place.data.name}.new-*"):
        shutil.rmtree(left, ignore_errors=True)
    # Not one name for all: an initdb whose starter was killed may still be at work.
    fresh = place.data.with_name(f"{place.data.name}.new-{os.getpid()}")
    fresh.mkdir(mode=0o700)
    os.chown(fresh, place.uid, place.gid)
    initdb = [str(place.binaries / "initdb"), "-D", str(fresh), "-U", ROLE, "--encoding=UTF8"]
    # Compare bytes, which any index can use, but know the letters of every language.
    _run(place, [*initdb, "--locale=C", "--lc-ctype=C.UTF-8", "--auth=peer"])
    # Root and the server's own user connect as the console's role.
    names = dict.fromkeys(("root", place.user))
    _replace(place, fresh / "pg_hba.conf", HBA)
    _replace(place, fresh / "pg_ident.conf", "".join(f'{ROLE} "{n}" {ROLE}\n' for n in names))
    single = [str(place.binaries / "postgres"), "--single", "-D", str(fresh), "postgres"]
    _run(place, single, stdin=f"CREATE DATABASE {DATABASE};\n")
    fresh.rename(place.data)


def _replace(place: Location, path: Path, text: str) -> None:
    path.unlink()
    with path.open("x") as file:  # "x" follows no link that the folder's owner may have put
        os.fchmod(file.fileno(), 0o600)
        os.fchown(file.fileno(), place.uid, place.gid)
        file.write(text)


def _run(place: Location, command: list[str], stdin: str = "") -> None:
    done = subprocess.run(
        command, check=False, input=stdin.encode(), capture_output=True, **as_server_user(place)
    )
    output = done.stderr.decode(errors="replace")
    # Single-user mode reports a failed statement in its output only.
    if done.returncode or "ERROR: " in output:
        raise failure(place, output)
