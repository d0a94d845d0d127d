"""Only a checkpoint whose every file is as it was sealed is resumed from."""

from pathlib import Path

import pytest

from workers.engines.checkpoints import newest, seal


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
