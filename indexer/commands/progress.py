"""Progress on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from indexer.commands.options import is_terminal, say

_PLAIN_EVERY = 15.0  # seconds


class Progress(Protocol):
    """Called with how much is done and how many faces were found on the way."""

    def __call__(self, done: int, faces: int) -> None: ...


@contextmanager
def progress(total: int, what: str) -> Iterator[Progress]:
    """Show progress while the block runs.

    Args:
        total: how many there are to do.
        what: their name, as in "photos".
    """
    if total and is_terminal():
        with _bar(total, what) as update:
            yield update
    else:
        yield _plain(total, what)


@contextmanager
def _bar(total: int, what: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[faces]:,} faces"),
        TextColumn("{task.fields[left]}"),
    )
    started = time.monotonic()
    with Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(what, total=total, faces=0, rate="", left="")

        def update(done: int, faces: int) -> None:
            bar.update(
                task,
                completed=done,
                faces=faces,
                rate=f"{_rate(done, started):.1f}/s",
                left=_left(done, total, started),
            )

        yield update


def _plain(total: int, what: str) -> Progress:
    started = time.monotonic()
    last = started

    def update(done: int, faces: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _PLAIN_EVERY or not done:
            return
        last = now
        rate = f"{_rate(done, started):.1f}/s"
        say(f"{done:,} of {total:,} {what}, {rate}, {faces:,} faces, {_left(done, total, started)}")

    return update


def _left(done: int, total: int, started: float) -> str:
    return f"{duration((total - done) / max(_rate(done, started), 1e-9))} left" if done else ""


def _rate(done: int, started: float) -> float:
    return done / max(time.monotonic() - started, 1e-9)


def duration(seconds: float) -> str:
    """Write a duration for people: "45 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
