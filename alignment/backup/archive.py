"""A backup's file: an uncompressed tar of tables and artifacts, then a manifest with the size and
SHA-256 of each, then the manifest's own SHA-256.

Cut short or with one byte changed it is refused whole. What is in it is only ever copied: nothing
is executed or unpickled, and no name leaves the folder it is put in.
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, Any

from alignment.method.errors import MoraError

FORMAT = 1
MANIFEST, SEAL = "manifest.json", "manifest.sha256"


class Damaged(MoraError):
    """The file is no whole backup; nothing was changed."""


class Writer:
    """Adds members to a backup; `finish` makes it whole."""

    def __init__(self, file: IO[bytes]) -> None:
        self._tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)
        self.members: dict[str, dict[str, Any]] = {}

    def add(self, name: str, stream: IO[bytes], size: int) -> None:
        """Store `size` bytes of the stream; one that ends early, since somebody is still writing
        the file, is filled up with zeros."""
        hashed = _Hashed(stream, size)
        self._tar.addfile(_header(name, size), hashed)  # type: ignore[arg-type]
        self.members[name] = {"size": size, "sha256": hashed.digest.hexdigest()}

    def finish(self, facts: dict[str, Any]) -> None:
        manifest = json.dumps({"format": FORMAT, **facts, "members": self.members}).encode()
        for name, content in (
            (MANIFEST, manifest),
            (SEAL, sha256(manifest).hexdigest().encode()),
        ):
            self._tar.addfile(_header(name, len(content)), io.BytesIO(content))
        self._tar.close()


@dataclass
class Archive:
    """A whole backup, as `verified` gives it."""

    path: Path
    manifest: dict[str, Any]

    def members(self, folder: str) -> Iterator[tuple[str, IO[bytes]]]:
        """Name below the folder and content of each of its members, in the order stored."""
        with tarfile.open(self.path, "r:") as tar:
            for member in tar:
                if member.name.startswith(folder + "/"):
                    content = tar.extractfile(member)
                    assert content is not None, member.name
                    yield member.name.removeprefix(folder + "/"), content


@contextmanager
def new_archive(path: Path) -> Iterator[Writer]:
    """A backup written aside and put in place when it is whole and on disk."""
    aside = path.with_name(path.name + ".aside")
    try:
        with aside.open("wb") as file:
            yield Writer(file)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def verified(path: Path) -> Archive:
    """The backup, every byte of it checked. Raises Damaged."""
    try:
        found, contents = _read(path)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise _damaged(path, str(error) or "it ends too early") from error
    if MANIFEST not in contents or SEAL not in contents:
        raise _damaged(path, "it is cut short or no backup of this console")
    if sha256(contents[MANIFEST]).hexdigest().encode() != contents[SEAL]:
        raise _damaged(path, "its manifest is not as it was written")
    manifest = json.loads(contents[MANIFEST])
    if manifest["format"] != FORMAT:
        raise MoraError(
            f"{path} has format {manifest['format']}, this console reads format {FORMAT}: restore"
            " it with the version that made it, or upgrade first"
        )
    if found != manifest["members"]:
        odd = [
            n
            for n in {**found, **manifest["members"]}
            if found.get(n) != manifest["members"].get(n)
        ]
        raise _damaged(path, f"{odd[0]} is not as it was written")
    return Archive(path, manifest)


def _read(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, bytes]]:
    """Size and SHA-256 of every member, and what the manifest and its seal hold."""
    found: dict[str, dict[str, Any]] = {}
    contents: dict[str, bytes] = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            if not member.isreg() or name.is_absolute() or ".." in name.parts:
                raise ValueError(f"{member.name[:100]!r} is no file of a backup")
            content = tar.extractfile(member)
            assert content is not None, member.name
            if member.name in (MANIFEST, SEAL):
                contents[member.name] = content.read()
                continue
            hashed = _Hashed(content, member.size)
            while hashed.read(1 << 20):
                pass
            found[member.name] = {"size": member.size, "sha256": hashed.digest.hexdigest()}
    return found, contents


def _damaged(path: Path, what: str) -> Damaged:
    return Damaged(f"{path} is damaged: {what}. Nothing was changed; use another backup.")


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode = size, 0o600
    return header


class _Hashed:
    """`size` bytes of a stream, hashed as they are read."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size
        self.digest = sha256()

    def read(self, count: int) -> bytes:
        count = min(count, self._left)
        block = self._stream.read(count)
        block += bytes(count - len(block))
        self._left -= count
        self.digest.update(block)
        return block
