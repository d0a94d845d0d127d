"""How long a dead process waits before it starts again."""

import pytest

from mora_web.embedded import member


def test_a_pause_grows_to_ten_seconds_and_begins_anew_after_thirty_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(member.time, "monotonic", lambda: now)
    pause = member.Pause()
    pause.started = now
    assert [pause.begin() for _ in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]
    assert not pause.is_over()
    now += 10
    assert pause.is_over()
    pause.started = now
    now += 30
    assert pause.begin() == 0.5
