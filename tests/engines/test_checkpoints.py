"""Only a checkpoint whose every file is as it was sealed is resumed from."""

import shutil
from pathlib import Path

import pytest

from alignment.method.errors import MoraError
from workers.engines.checkpoints import inherit, newest, seal


def checkpoint(folder: Path, step: int) -> Path:
    path = folder / f"checkpoint-{step}"
    (path / "deep").mkdir(parents=True)
    (path / "optimizer.pt").write_bytes(bytes(100))
    (path / "deep" / "state.json").write_text("{}")
    return path


def test_none_without_checkpoints(tmp_path: Path) -> None:
    assert newest(tmp_path / "not there") is None


def test_steps_are_ordered_as_numbers(tmp_path: Path) -> None:
    for step in (9, 10):
        seal(checkpoint(tmp_path, step))
    assert newest(tmp_path) == tmp_path / "checkpoint-10"


@pytest.mark.parametrize("harm", ["truncate", "flip", "delete", "add", "unseal", "break seal"])
def test_a_broken_checkpoint_is_skipped_for_the_one_before(tmp_path: Path, harm: str) -> None:
    seal(checkpoint(tmp_path, 4))
    broken = checkpoint(tmp_path, 8)
    seal(broken)
    file = broken / "optimizer.pt"
    match harm:
        case "truncate":
            file.write_bytes(bytes(50))
        case "flip":
            file.write_bytes(bytes(99) + b"\1")
        case "delete":
            file.unlink()
        case "add":
            (broken / "stray").touch()
        case "unseal":
            (broken / "sealed.json").unlink()
        case "break seal":
            (broken / "sealed.json").write_text("{")
    assert newest(tmp_path) == tmp_path / "checkpoint-4"
    assert not broken.exists()


def test_sealing_keeps_the_two_newest(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        seal(checkpoint(tmp_path, step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-4", "checkpoint-6"]


def test_an_attempt_begins_with_a_copy_of_the_newest_whole_checkpoint(tmp_path: Path) -> None:
    first, second = (tmp_path / f"attempt-{i}" / "checkpoints-k" for i in (1, 2))
    seal(checkpoint(first, 4))
    seal(checkpoint(second, 8))
    checkpoint(second, 12)  # never sealed
    own = tmp_path / "attempt-3"
    (own / "checkpoints-k" / "checkpoint-99").mkdir(parents=True)  # not this attempt's
    inherit(tmp_path, own)
    assert newest(own / "checkpoints-k") == own / "checkpoints-k" / "checkpoint-8"
    assert list(tmp_path.iterdir()) == [own], "what a stale trainer writes to is left to it"
    inherit(tmp_path, tmp_path / "attempt-4")
    assert newest(tmp_path / "attempt-4" / "checkpoints-k") is not None


def test_without_an_earlier_attempt_there_is_nothing_to_inherit(tmp_path: Path) -> None:
    inherit(tmp_path / "none", tmp_path / "none" / "attempt-1")
    assert not (tmp_path / "none").exists()


def test_a_checkpoint_that_cannot_be_copied_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = checkpoint(tmp_path / "attempt-1" / "checkpoints-k", 4)
    seal(kept)

    def full(source: Path, target: Path) -> None:
        target.mkdir(parents=True)
        raise shutil.Error([(str(source), str(target), "[Errno 28] No space left on device")])

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(MoraError, match=r"checkpoint-4 could not be copied .*No space left"):
        inherit(tmp_path, tmp_path / "attempt-2")
    assert newest(kept.parent) == kept
    assert not (tmp_path / "attempt-2").exists()
    monkeypatch.undo()
    inherit(tmp_path, tmp_path / "attempt-2")
    assert newest(tmp_path / "attempt-2" / "checkpoints-k") is not None
