"""Which training checkpoints may be resumed from: those sealed with a hash of every file.

The trainer writes a checkpoint file by file, so a kill leaves one half-written; the seal is
written last and durably. Standard library only.
"""

import json
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from alignment.method.errors import MoraError
from workers.engines.folders import sync

SEAL = "sealed.json"
KEPT = 2


def seal(checkpoint: Path) -> None:
    """Make the checkpoint durable, then write the hashes of its files, then drop older ones."""
    sync(checkpoint)
    aside = checkpoint / (SEAL + ".aside")
    aside.write_text(json.dumps(_hashes(checkpoint)))
    aside.rename(checkpoint / SEAL)
    sync(checkpoint)
    for old in list(_newest_first(checkpoint.parent))[KEPT:]:
        shutil.rmtree(old)


def inherit(attempts: Path, own: Path) -> None:
    """Begin an attempt's folder with a copy of the newest whole checkpoint of the others, and
    remove those. A trainer may still be writing to them, so only the copy is trusted.

    Raises MoraError where a whole one cannot be copied; then all of them stay.
    """
    shutil.rmtree(own, ignore_errors=True)
    others = [path for path in attempts.glob("attempt-*") if path != own]
    found = [path for other in others for path in other.glob("checkpoints-*/checkpoint-*")]
    for checkpoint in sorted(found, key=_step, reverse=True):
        copy = own / checkpoint.parent.name / checkpoint.name
        try:
            shutil.copytree(checkpoint, copy)
            sync(copy)
        except OSError as error:
            shutil.rmtree(own, ignore_errors=True)
            if _is_whole(checkpoint):
                raise MoraError(
                    f"{checkpoint.name} could not be copied for another attempt ({_cause(error)});"
                    " free some space, or make the disk writable, then retry"
                ) from error
            continue  # gone meanwhile
        if _is_whole(copy):
            break
        shutil.rmtree(copy)
    for other in others:
        shutil.rmtree(other, ignore_errors=True)


def _cause(error: OSError) -> str:
    """In the system's words; of a whole folder's errors the first."""
    first = error.args[0][0][-1] if isinstance(error, shutil.Error) else error.strerror or error
    return str(first)


def newest(folder: Path) -> Path | None:
    """The newest checkpoint whose every file is as sealed; broken ones are removed."""
    for checkpoint in _newest_first(folder):
        if _is_whole(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def _newest_first(folder: Path) -> Iterator[Path]:
    found = [path for path in folder.glob("checkpoint-*") if path.is_dir()]
    return iter(sorted(found, key=_step, reverse=True))


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.partition("-")[2])


def _is_whole(checkpoint: Path) -> bool:
    try:
        sealed = json.loads((checkpoint / SEAL).read_text())
    except (OSError, ValueError):
        return False
    return bool(sealed == _hashes(checkpoint))


def _hashes(checkpoint: Path) -> dict[str, str]:
    files = (path for path in checkpoint.rglob("*") if path.is_file())
    return {
        str(path.relative_to(checkpoint)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
        if not path.name.startswith(SEAL)
    }
