"""How a claim is measured: peer and visavis in turn, each in a process of its own that stays loaded.

A repetition of the first contender, of the second, … and again: what disturbs the machine disturbs all
of them. Figures are medians over the repetitions; a ratio is taken within each round, then its median.
Every contender is held on one core, and what counts is CPU seconds, not the clock.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent
PEERS_PYTHON = ROOT / ".bench-env" / "bin" / "python"
OPENBLAS_PYTHON = ROOT / ".bench-env-openblas" / "bin" / "python"

Environment = Literal["visavis", "peers", "openblas"]
_PYTHONS: dict[Environment, tuple[Path, str]] = {
    "visavis": (Path(sys.executable), "make setup"),
    "peers": (PEERS_PYTHON, "make bench-env"),
    "openblas": (OPENBLAS_PYTHON, "make bench-dlib-openblas"),
}
_ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "VECLIB_MAXIMUM", "OPENCV_FOR")
}
MIN_REPETITIONS = 3


class BenchmarkError(Exception):
    """A contender that failed, or an environment that is not there. Says which, and the remedy."""


@dataclass(frozen=True)
class Contender:
    """One way of doing the work.

    Attributes:
        name: as the table shows it.
        job: "module:function"; the function takes the folder of inputs (and ``argument``) and gives a ``Job``.
        environment: in whose Python it runs.
        packages: whose versions decide its speed.
        argument: for a function that serves several contenders.
    """

    name: str
    job: str
    environment: Environment = "peers"
    packages: tuple[str, ...] = ()
    argument: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Contenders that do the same work; the first one of visavis is what the others are compared with.

    Attributes:
        title: of the table.
        unit: what is counted, in the singular: "photo".
        contenders: peers and visavis.
    """

    title: str
    unit: str
    contenders: tuple[Contender, ...]


@dataclass(frozen=True)
class Measured:
    """What one contender reached.

    Attributes:
        name, ours: which it is, and whether it is visavis.
        versions: package → version.
        units: done in one repetition.
        cpu_seconds, wall_seconds: of each repetition.
        peak_rss_bytes: over all repetitions.
        ratio: its CPU seconds for a unit over those of visavis, the median of all rounds.
        figures: besides speed.
    """

    name: str
    ours: bool
    versions: dict[str, str]
    units: float
    cpu_seconds: list[float]
    wall_seconds: list[float]
    peak_rss_bytes: int
    ratio: float
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def cpu_seconds_per_unit(self) -> float:
        """The median over the repetitions."""
        return statistics.median(self.cpu_seconds) / self.units


@dataclass(frozen=True)
class Outcome:
    """A comparison with its figures, and a line for each contender that could not take part."""

    title: str
    unit: str
    measured: list[Measured]
    left_out: list[str]


def compare(comparison: Comparison, inputs: Path, *, repetitions: int = MIN_REPETITIONS) -> Outcome:
    """Measure the contenders in turn.

    Args:
        comparison: who takes part.
        inputs: the folder that each contender is given.
        repetitions: rounds, at least MIN_REPETITIONS.
    Raises:
        BenchmarkError: if a contender fails, or visavis or every peer is missing.
        ValueError: if there are too few repetitions.
    """
    if repetitions < MIN_REPETITIONS:
        raise ValueError(f"a median needs at least {MIN_REPETITIONS} repetitions, not {repetitions}")
    with ExitStack() as stack:
        processes = [stack.enter_context(_Process(contender, inputs)) for contender in comparison.contenders]
        left_out = [f"{p.contender.name}: {p.missing}" for p in processes if p.missing]
        present = [p for p in processes if not p.missing]
        if not any(_is_ours(p.contender) for p in present) or len(present) < 2:
            raise BenchmarkError(f"{comparison.title}: nothing to compare. " + "; ".join(left_out))
        for number in range(repetitions):
            # Every other round backwards, so that nobody always follows the same one.
            for process in present if number % 2 == 0 else present[::-1]:
                process.repeat()
        reference = next(p for p in present if _is_ours(p.contender))
        measured = [_summarise(process, reference) for process in present]
    return Outcome(comparison.title, comparison.unit, measured, left_out)


def pairwise_ratio(cpu_seconds: Sequence[float], reference: Sequence[float]) -> float:
    """Divide round by round, and give the median; both are CPU seconds for a unit, one for each round."""
    return statistics.median(a / b for a, b in zip(cpu_seconds, reference, strict=True))


def _is_ours(contender: Contender) -> bool:
    return contender.name.startswith("visavis")


class _Process:
    """A contender in its own process. ``missing`` says why it is not running, if it is not."""

    def __init__(self, contender: Contender, inputs: Path) -> None:
        self.contender = contender
        self.missing = ""
        self.units = 0.0
        self.repetitions: list[dict[str, float]] = []
        self._inputs = inputs
        self._process: subprocess.Popen[str] | None = None
        # A file, not a pipe: nobody reads it until the process fails, and a full pipe would stop the process.
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115

    def __enter__(self) -> _Process:
        python, remedy = _PYTHONS[self.contender.environment]
        if not python.exists():
            self.missing = f"needs `{remedy}`"
            return self
        arguments = [] if self.contender.argument is None else [self.contender.argument]
        command = [str(python), "-W", "ignore", "-m", "benchmarks.contender", self.contender.job, str(self._inputs)]
        self._process = subprocess.Popen(
            [*command, *arguments], cwd=ROOT, env={**os.environ, **_ONE_THREAD}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints,
        )  # fmt: skip
        try:
            ready = self._read()
        except BaseException:
            self._end(at_once=True)
            raise
        self.missing = ready.get("missing", "")
        self.units = ready.get("units", 0.0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end(at_once=error is not None)

    def _end(self, *, at_once: bool) -> None:
        if self._process is not None:
            if at_once:
                self._process.kill()
            self._process.communicate()
        self._complaints.close()

    def repeat(self) -> None:
        """Do one repetition."""
        self.repetitions.append(self._ask("run"))

    def judge(self) -> dict[str, float]:
        """Give the figures beside speed; ends the process."""
        return self._ask("judge")

    def _ask(self, question: str) -> dict[str, float]:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._complaints.seek(0)
            reason = self._complaints.read().strip().splitlines()[-1:] or ["it ended without a word"]
            raise BenchmarkError(f"{self.contender.name} ({self.contender.job}) failed: {reason[0]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _summarise(process: _Process, reference: _Process) -> Measured:
    def per_unit(p: _Process) -> list[float]:
        return [repetition["cpu_seconds"] / p.units for repetition in p.repetitions]

    return Measured(
        name=process.contender.name,
        ours=_is_ours(process.contender),
        versions=_versions(process.contender),
        units=process.units,
        cpu_seconds=[r["cpu_seconds"] for r in process.repetitions],
        wall_seconds=[r["wall_seconds"] for r in process.repetitions],
        peak_rss_bytes=int(max(r["peak_rss_bytes"] for r in process.repetitions)),
        ratio=pairwise_ratio(per_unit(process), per_unit(reference)),
        figures=process.judge(),
    )


def _versions(contender: Contender) -> dict[str, str]:
    """Ask the contender's Python which versions of its packages it has, and which Python it is."""
    program = (
        "import json, platform, sys; from importlib.metadata import version; "
        "print(json.dumps({'Python': platform.python_version(), **{p: version(p) for p in sys.argv[1:]}}))"
    )
    python = _PYTHONS[contender.environment][0]
    answer = subprocess.run(
        [str(python), "-c", program, *contender.packages], capture_output=True, text=True, check=True
    )
    versions: dict[str, str] = json.loads(answer.stdout)
    return versions
