"""Run the benchmarks and write their tables into docs/benchmarks.md (`make bench`).

    python -m benchmarks.run                  all of them, one after the other
    python -m benchmarks.run detect embed     these sections only; the others stay as they are
    python -m benchmarks.run search_large     a long one, which is not among all

Prints the JSON line of each. A section is rewritten as soon as its benchmark has ended, so what was
measured is kept if a later one fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.frame import OPENBLAS_PYTHON, PEERS_PYTHON
from benchmarks.report import as_markdown, replace_section
from benchmarks.script import add_options

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "benchmarks.md"
BENCHMARKS = ("decode", "detect", "embed", "pipeline", "shards", "search", "clustering", "training", "training_step")
BY_HAND = ("search_large", "clustering_scale")  # too long for all in one go


def main() -> None:
    """Run what the command line names."""
    names, passed_on = _parse()
    if not PEERS_PYTHON.exists():
        sys.exit("the peers are not installed: run `make bench-env`")
    if not OPENBLAS_PYTHON.exists():
        print("dlib with OpenBLAS is left out: `make bench-dlib-openblas` compiles it", file=sys.stderr)
    failed = []
    for name in names:
        started = time.monotonic()
        result = _run(name, passed_on)
        if result is None:
            failed.append(name)
            continue
        DOCUMENT.write_text(replace_section(DOCUMENT.read_text(), name, as_markdown(result)))
        print(json.dumps(result, ensure_ascii=False), flush=True)
        print(f"{name}: done in {time.monotonic() - started:.0f} s", file=sys.stderr)
    if failed:
        sys.exit(f"failed, and not written: {', '.join(failed)}")


def _run(name: str, options: list[str]) -> dict[str, Any] | None:
    """Run one benchmark in its own process; None if it failed, which it has said itself."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *options]
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if answer.returncode != 0:
        return None
    result: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return result


def _parse() -> tuple[list[str], list[str]]:
    """Give the names of the benchmarks, and the options that each of them is given."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description="Run the benchmarks and write their tables into docs/benchmarks.md.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    names_help = f"of {', '.join(BENCHMARKS)} (none: all of these), {', '.join(BY_HAND)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names_help)
    add_options(parser)
    options = parser.parse_args()
    unknown = set(options.names) - {*BENCHMARKS, *BY_HAND}
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS + BY_HAND)}")
    passed_on = [f"--{name}={getattr(options, name)}" for name in ("repetitions", "data", "cache")]
    return options.names or list(BENCHMARKS), passed_on + ["--quick"] * options.quick


if __name__ == "__main__":
    main()
