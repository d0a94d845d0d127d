"""The reserve of disk: kept where there is room, given up when there is none."""

from pathlib import Path

import pytest

from mora_web.embedded import reserve


def test_the_reserve_takes_its_size_and_gives_it_back(tmp_path: Path) -> None:
    reserve.keep(tmp_path)
    reserve.keep(tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size == reserve.SIZE
    assert file.stat().st_blocks * 512 >= reserve.SIZE, "it takes no room on the disk"
    reserve.give_up(tmp_path)
    reserve.give_up(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_disk_with_little_room_keeps_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserve, "ROOM", 2**62)
    reserve.keep(tmp_path)
    reserve.keep(tmp_path / "not there")
    assert not list(tmp_path.iterdir())
