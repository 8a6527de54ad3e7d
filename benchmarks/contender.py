"""The process of one contender: it loads, warms up once, and does one repetition whenever it is told to.

    python -m benchmarks.contender benchmarks.decode:with_pillow FOLDER [ARGUMENT]

Runs in the Python of the contender, which may be another than that of visavis, so this module needs
nothing but the standard library. It reads "run" or "judge" on each line of its input and answers each
with a line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO


def _no_figures(result: Any) -> dict[str, float]:
    return {}


@dataclass(frozen=True)
class Job:
    """What a contender does.

    Attributes:
        run: one repetition.
        units: what a repetition does, in the unit of its comparison: photos, faces, queries.
        warm_up: a small part of ``run``, done before anything is measured; None: one whole ``run``.
        judge: gives figures beside speed from what the first ``run`` gave; not measured.
    """

    run: Callable[[], Any]
    units: float
    warm_up: Callable[[], object] | None = None
    judge: Callable[[Any], dict[str, float]] = _no_figures


def main() -> None:
    """Be the contender that the command line names."""
    answers = _take_stdout()
    keep_to_one_core()
    module, function = sys.argv[1].split(":")
    try:
        prepare = getattr(importlib.import_module(module), function)
        job: Job = prepare(Path(sys.argv[2]), *sys.argv[3:])
    except ImportError as error:
        _answer(answers, {"missing": str(error)})
        return
    _one_thread_each()
    (job.warm_up or job.run)()
    _answer(answers, {"units": job.units})
    first: Any = None
    for number, line in enumerate(sys.stdin):
        if line.strip() == "judge":
            _answer(answers, job.judge(first))
            return
        measured, result = _measure(job)
        first = result if number == 0 else first
        _answer(answers, measured)


def _measure(job: Job) -> tuple[dict[str, float], Any]:
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = job.run()
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    return {"cpu_seconds": cpu, "wall_seconds": wall, "peak_rss_bytes": peak_rss_bytes()}, result


def cpu_seconds() -> float:
    """CPU time of this process and its children, user and system; of children that live on, on Linux only."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime + _live_children_seconds()


def _live_children_seconds() -> float:
    ticks = 0
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            with suppress(OSError):  # it has just ended
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_rss_bytes() -> int:
    """Give the largest resident memory of this process so far, or of a child that has ended if that is larger."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _RSS_UNIT
    status = Path("/proc/self/status")
    if not status.exists():
        return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT, children)
    # On Linux getrusage counts what the parent held when it started this process; this line does not.
    own = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return max(int(own.split()[1]) * 1024, children)


_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def keep_to_one_core() -> None:
    """Hold this process on one core where the system allows it: libraries then start one thread."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _one_thread_each() -> None:
    """Tell the libraries that were loaded; some look neither at the environment nor at the core."""
    for name, setter in (("torch", "set_num_threads"), ("cv2", "setNumThreads"), ("faiss", "omp_set_num_threads")):
        if name in sys.modules:
            getattr(sys.modules[name], setter)(1)


def _take_stdout() -> TextIO:
    """Keep the standard output for the answers; what libraries print goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _answer(answers: TextIO, content: dict[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
