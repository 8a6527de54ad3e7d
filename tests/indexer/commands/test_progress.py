"""Progress off a terminal, and durations as people say them."""

from __future__ import annotations

import pytest

from indexer.commands import progress as module
from indexer.commands.progress import duration, progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.24, "0.2 s"),
        (9.96, "10.0 s"),
        (45, "45 s"),
        (89, "89 s"),
        (90, "2 min"),
        (720, "12 min"),
        (12000, "3 h 20 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_plain_lines_come_now_and_then_and_say_how_long_it_takes(capsys, monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress(1000, "photos") as update:
        for done in (0, 50, 100, 150):
            now[0] = done / 5
            update(done, done * 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "100 of 1,000 photos, 5.0/s, 200 faces, 3 min left",
    ]
