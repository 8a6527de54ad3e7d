"""Progress of a training run."""

from __future__ import annotations

import re

from indexer.commands import steps
from indexer.commands.steps import steps_progress
from trainer.reporter import Progress


def test_a_plain_line_now_and_then(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(steps.time, "monotonic", lambda: clock[0])
    with steps_progress() as tell:
        for done in range(101, 131):
            clock[0] += 1
            tell(Progress(done, 200, "steps", "loss 0.1"))
    # Timed from step 101 on, where the run went on: 1 s a step.
    assert capsys.readouterr().err.splitlines() == [
        "115 of 200 steps, loss 0.1, 85 s left",
        "130 of 200 steps, loss 0.1, 70 s left",
    ]


def test_another_kind_of_work_is_timed_anew(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(steps.time, "monotonic", lambda: clock[0])
    with steps_progress() as tell:
        clock[0] = 100
        tell(Progress(2000, 4000, "crops for the teacher"))
        clock[0] = 200
        tell(Progress(1, 11, "steps"))
        clock[0] = 220
        tell(Progress(2, 11, "steps"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.rsplit(", ", 1)[-1] for line in lines] == [
        "2,000 of 4,000 crops for the teacher",
        "1 of 11 steps",
        "3 min left",
    ]


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(steps, "is_terminal", lambda: True)
    with steps_progress() as tell:
        tell(Progress(1, 10, "steps", "loss 0.5"))
        tell(Progress(10, 10, "steps", "loss 0.1"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert not re.search("Traceback", captured.err)
