"""What must hold around the console before it starts, each failure as one sentence.

Knows ports, disks and database URLs. Leaves out the version of Python and the virtual
environment: those fail before any module here can be imported, so the Makefile checks them.
"""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OLDEST_POSTGRES = 15


class SetupError(Exception):
    """The surroundings are wrong. The message is one sentence for the person at the terminal."""


@contextmanager
def folder_errors(folder: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write below `folder` into a SetupError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(folder) from error
        place = error.filename or folder
        raise SetupError(f"Cannot write {place}: {error.strerror or error}.") from error


def disk_full(folder: Path) -> SetupError:
    return SetupError(f"The disk that holds {folder} is full: free some space and start again.")


def check_port(host: str, port: int) -> None:
    """Raise SetupError unless a server could listen on host:port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As uvicorn does: a port whose last connections linger in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                raise SetupError(
                    f"Port {port} of {host} is in use: stop what listens there "
                    "or choose another port with PORT=."
                ) from error
            raise SetupError(f"Cannot listen on port {port} of {host}: {error}.") from error


def check_database(url: str, *, seconds: int = 5) -> None:
    """Raise SetupError unless a PostgreSQL new enough answers at `url` within `seconds`."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise SetupError("DATABASE_URL is not a postgresql:// URL.") from error
    # Only these parts are ever shown: the password and the options stay out of messages.
    place = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
    try:
        with psycopg.connect(url, connect_timeout=seconds) as connection:
            version = connection.info.server_version // 10_000
    except psycopg.Error as error:
        # "connection to server at ... failed: REASON", then hints on lines of their own.
        reason = str(error).splitlines()[0].rpartition("failed: ")[2].strip().rstrip(".")
        raise SetupError(
            f"Cannot reach the database of DATABASE_URL ({place}): {reason}."
        ) from error
    if version < OLDEST_POSTGRES:
        raise SetupError(
            f"The database of DATABASE_URL ({place}) is PostgreSQL {version}: "
            f"{OLDEST_POSTGRES} or newer is needed."
        )
