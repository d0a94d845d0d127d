"""Model folders on disk: what they hash to, and how one is put in place.

Standard library only, so that a hash needs no torch.
"""

import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path


def fingerprint(folder: Path) -> str:
    """SHA-256 over names and bytes of the folder's weight files, in the order of their names."""
    digest = sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def publish(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder aside, make it durable and rename it to `target`.

    A reader sees the whole folder or none; what a killed attempt left aside is removed.
    """
    aside = target.with_name(target.name + ".aside")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    write(aside)
    sync(aside)
    if target.exists():
        old = target.with_name(target.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        aside.rename(target)
        shutil.rmtree(old)
    else:
        aside.rename(target)
    _sync_one(target.parent)


def sync(folder: Path) -> None:
    """Flush every file and folder below to disk, innermost first."""
    for path in sorted(folder.rglob("*"), reverse=True):
        _sync_one(path)
    _sync_one(folder)


def _sync_one(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
