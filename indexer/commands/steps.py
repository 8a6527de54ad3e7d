"""Progress of a training run on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from indexer.commands.options import is_terminal, say
from indexer.commands.progress import duration

if TYPE_CHECKING:
    from trainer.reporter import Progress

_PLAIN_EVERY = 15.0  # seconds


@contextmanager
def steps_progress() -> Iterator[Callable[[Progress], None]]:
    """Show how far a run is while the block runs. A run that goes on is timed from where it goes on."""
    if is_terminal():
        with _bar() as update:
            yield update
    else:
        yield _plain()


class _Pace:
    """Knows since when which work is done, and so how long the rest will take."""

    def __init__(self) -> None:
        self._what, self._began, self._first = "", 0.0, 0

    def left(self, progress: Progress) -> str:
        now = time.monotonic()
        if progress.what != self._what:
            self._what, self._began, self._first = progress.what, now, progress.done
        done = progress.done - self._first
        if not done:
            return ""
        return f"{duration((progress.total - progress.done) * (now - self._began) / done)} left"


def _plain() -> Callable[[Progress], None]:
    pace, last = _Pace(), time.monotonic()

    def update(progress: Progress) -> None:
        nonlocal last
        left = pace.left(progress)
        if time.monotonic() - last >= _PLAIN_EVERY:
            last = time.monotonic()
            parts = (f"{progress.done:,} of {progress.total:,} {progress.what}", progress.text, left)
            say(", ".join(part for part in parts if part))

    return update


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task, pace = bar.add_task("", total=None, text="", left=""), _Pace()

        def update(progress: Progress) -> None:
            bar.update(
                task,
                description=progress.what,
                completed=progress.done,
                total=progress.total,
                text=progress.text,
                left=pace.left(progress),
            )

        yield update
