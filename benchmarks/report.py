"""Results as text: tables for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def as_markdown(result: dict[str, Any]) -> str:
    """Write one benchmark's result as its JSON line has it: claim, tables, and where it was measured."""
    parts = [result["claim"], *(_comparison(c) for c in result["comparisons"])]
    parts += [f"Not measured: {line}." for line in result["left_out"]]
    machine = result["machine"]
    instructions = ", ".join(machine["instructions"])
    parts.append(
        f"<sub>{result['date']}, commit {result['commit']}, {machine['processor']} ({machine['cores']} cores, "
        f"{instructions}), {machine['memory_gb']} GB, {machine['system']}. {_versions(result['comparisons'])}. "
        f"`{result['command']}`</sub>"
    )
    return "\n\n".join(parts)


def replace_section(document: str, name: str, text: str) -> str:
    """Put ``text`` between the two markers of a section; everything outside stays as it is.

    Raises:
        ValueError: if the document does not have the markers of ``name``, one after the other.
    """
    opening, closing = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
    before, found, rest = document.partition(opening)
    _, closed, after = rest.partition(closing)
    if not found or not closed:
        raise ValueError(f"the document has no section {opening} … {closing}")
    return f"{before}{opening}\n{text.strip()}\n{closing}{after}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out as a Markdown table that can be read as it stands; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        return f"| {' | '.join(cells)} |"

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([line(rows[0]), f"|{rule}|", *(line(row) for row in rows[1:])])


def significant(value: float, digits: int = 3) -> str:
    """Write a number with so many digits that say something, and never as a power of ten."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(places, 0)}f}"


def _comparison(comparison: dict[str, Any]) -> str:
    figures = list(dict.fromkeys(name for c in comparison["contenders"] for name in c["figures"]))
    unit = comparison["unit"]
    head = ["", f"CPU ms / {unit}", f"{_plural(unit)} / CPU s", "× visavis", "peak MB", *figures]
    rows = [head]
    for contender in comparison["contenders"]:
        seconds = contender["cpu_seconds_per_unit"]
        shown = [contender["figures"].get(name) for name in figures]
        rows.append(
            [
                contender["name"],
                significant(seconds * 1000),
                significant(1 / seconds),
                "1" if contender["reference"] else significant(contender["ratio"]),
                significant(contender["peak_rss_bytes"] / 1e6),
                *("" if value is None else _figure(value) for value in shown),
            ]
        )
    return f"**{comparison['title']}**\n\n{table(rows)}"


def _plural(unit: str) -> str:
    if unit.isupper():
        return unit
    if unit.endswith("ch"):
        return unit + "es"
    return unit[:-1] + "ies" if unit.endswith("y") else unit + "s"


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _versions(comparisons: Sequence[dict[str, Any]]) -> str:
    found: dict[str, set[str]] = {}
    for comparison in comparisons:
        for contender in comparison["contenders"]:
            for package, version in contender["versions"].items():
                found.setdefault(package, set()).add(version)
    return ", ".join(f"{package} {' and '.join(sorted(found[package]))}" for package in sorted(found))
