"""What a run says while it goes on: to its log, to TensorBoard, and to whoever listens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainer.run_folder import RunFolder
from trainer.tensorboard_files import TensorBoardFiles


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        done, total: steps, or crops that the teacher has seen.
        what: "steps" or "crops for the teacher".
        text: the figures that matter, for people.
    """

    done: int
    total: int
    what: str
    text: str = ""


def _nobody(anything: object) -> None:
    """Listen to nothing."""


@dataclass(frozen=True)
class Listener:
    """Who is told.

    Attributes:
        tell: called after each step.
        say: called with what people should know.
        stop: asked after each step whether to save and end.
    """

    tell: Callable[[Progress], None] = _nobody
    say: Callable[[str], None] = _nobody
    stop: Callable[[], bool] = lambda: False


class Reporter:
    """Writes a run's log and curves, and keeps its time. All but the first process say nothing."""

    def __init__(self, root: Path, listener: Listener, *, first: bool) -> None:
        self.files = RunFolder(root, silent=not first)
        self._listener, self._first, self._root = listener, first, root
        self._curves = TensorBoardFiles(root, step=0, wanted=False)
        self._began, self._before = time.monotonic(), 0.0
        self._counted_from, self._crops = self._began, 0

    @property
    def seconds(self) -> float:
        """How long the run has taken, with what it took before it was stopped."""
        return self._before + time.monotonic() - self._began

    def begin(self, settings: Mapping[str, Any], *, step: int, seconds: float, start: Mapping[str, Any]) -> None:
        """Begin, or go on after ``step`` steps that took so many seconds."""
        self._before = seconds
        self.files.begin(settings)
        self.files.cut_log(step if step else -1)  # a run that begins has no log yet
        self._curves = TensorBoardFiles(self._root, step=step, wanted=self._first)
        self.files.log("start", time=datetime.now(UTC).isoformat(timespec="seconds"), step=step, **start)

    def advance(self, progress: Progress, crops: int = 0) -> None:
        """Tell how far the run is, and count crops that were learned from."""
        self._crops += crops
        if self._first:
            self._listener.tell(progress)

    def step(self, step: int, epoch: int, figures: Mapping[str, Any]) -> None:
        """Write the figures of a step."""
        rate = self._crops / max(1e-9, time.monotonic() - self._counted_from)
        self._counted_from, self._crops = time.monotonic(), 0
        self.files.log("step", step=step, epoch=epoch, **figures, crops_per_second=rate, seconds=self.seconds)
        self._curves.add("step", figures, step)

    def epoch(self, step: int, epoch: int, figures: Mapping[str, Any]) -> None:
        """Write the figures of an epoch."""
        self.files.log("epoch", step=step, epoch=epoch, **figures, seconds=self.seconds)
        self._curves.add("epoch", figures, step)
        self._counted_from, self._crops = time.monotonic(), 0  # measuring is no step

    def event(self, what: str, text: str, *, step: int, epoch: int) -> None:
        """Write something out of the ordinary, and say it."""
        self.files.log("event", step=step, epoch=epoch, what=what, text=text)
        self.say(text)

    def say(self, text: str) -> None:
        """Say something to people."""
        if self._first:
            self._listener.say(text)

    def stop(self) -> bool:
        """Ask whether to save and end."""
        return self._listener.stop()

    def end(self, why: str, text: str, *, step: int, epoch: int, best_epoch: int) -> None:
        """Write how it ended."""
        self.files.log("end", step=step, epoch=epoch, why=why, text=text, seconds=self.seconds, best_epoch=best_epoch)
        self._curves.close()
