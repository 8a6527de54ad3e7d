"""What all benchmark scripts share: their options, a temporary folder of inputs, a table and a JSON line."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.frame import MIN_REPETITIONS, BenchmarkError, Comparison, Outcome, compare
from benchmarks.inputs import DATA, cache_folder
from benchmarks.machine import commit, machine_facts, now
from benchmarks.report import as_markdown


@dataclass(frozen=True)
class Settings:
    """What the user asked for.

    Attributes:
        quick: fewer inputs.
        data: folder of the development data.
        cache: for what is too dear to make anew.
    """

    quick: bool
    data: Path
    cache: Path


@dataclass(frozen=True)
class Plan:
    """What a script is going to measure.

    Attributes:
        comparisons: each with its folder of inputs.
        left_out: what is not measured, and why; one clause each.
    """

    comparisons: list[tuple[Comparison, Path]]
    left_out: list[str] = field(default_factory=list)


def run_script(name: str, claim: str, prepare: Callable[[Settings, Path], Plan]) -> None:
    """Be the benchmark ``name``: parse the command line, measure, print.

    Args:
        name: of the script's module.
        claim: one sentence that says what the tables are to show.
        prepare: makes the inputs below a temporary folder, and says who is compared.
    """
    options = _parse(name, claim)
    settings = Settings(options.quick, options.data, options.cache)
    try:
        with tempfile.TemporaryDirectory(prefix=f"visavis-{name}-") as folder:
            plan = prepare(settings, Path(folder))
            outcomes = []
            for comparison, inputs in plan.comparisons:
                print(f"{name}: {comparison.title} …", file=sys.stderr)
                outcomes.append(compare(comparison, inputs, repetitions=options.repetitions))
    except (BenchmarkError, ValueError) as error:
        sys.exit(f"{name}: {error}")
    result = as_json(name, claim, outcomes, plan.left_out, quick=options.quick)
    if not options.json:
        print(as_markdown(result) + "\n")
    print(json.dumps(result, ensure_ascii=False))


def as_json(
    name: str, claim: str, outcomes: Sequence[Outcome], left_out: Sequence[str], *, quick: bool
) -> dict[str, Any]:
    """Give a benchmark's result as one object, with the machine, date, commit and versions."""
    missing = dict.fromkeys([*left_out, *(line for outcome in outcomes for line in outcome.left_out)])
    return {
        "benchmark": name,
        "command": f"python -m benchmarks.{name}{' --quick' if quick else ''}",
        "claim": claim,
        "date": now(),
        "commit": commit(),
        "machine": machine_facts(),
        "left_out": list(missing),
        "comparisons": [_comparison(outcome) for outcome in outcomes],
    }


def _comparison(outcome: Outcome) -> dict[str, Any]:
    reference = next(measured.name for measured in outcome.measured if measured.ours)
    contenders = []
    for measured in outcome.measured:
        about = {"cpu_seconds_per_unit": measured.cpu_seconds_per_unit, "reference": measured.name == reference}
        contenders.append(asdict(measured) | about)
    return {"title": outcome.title, "unit": outcome.unit, "contenders": contenders}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every benchmark but ``--json``."""
    parser.add_argument("--quick", action="store_true", help="fewer inputs")
    parser.add_argument("--repetitions", type=int, default=MIN_REPETITIONS, help="rounds of all contenders")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the development data")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder for what is made only once")


def _parse(name: str, claim: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=claim, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the JSON line only, no table")
    add_options(parser)
    return parser.parse_args()
