"""Model folders on disk: which may be loaded, what they hash to, how one is put in place.

Standard library only, so that a hash needs no torch.
"""

import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from alignment.method.errors import MoraError

# Formats that can run code when they are read.
UNSAFE = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".msgpack", ".h5", ".joblib"}


def check_model(folder: Path) -> None:
    """Raise MoraError unless the folder holds a whole model in safetensors and nothing else."""
    if not (folder / "config.json").is_file():
        raise MoraError(f"{folder} holds no config.json; name a folder with a whole model.")
    unsafe = sorted(file.name for file in folder.rglob("*") if file.suffix in UNSAFE)
    if unsafe:
        raise MoraError(
            f"{folder} holds {', '.join(unsafe[:3])}, a format that can run code when it is read; "
            "convert the weights to safetensors and remove it."
        )
    if not any(folder.glob("*.safetensors")):
        raise MoraError(f"{folder} holds no *.safetensors; convert the weights to safetensors.")


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
