"""Claim: what approximate search gives and costs at a million faces. Takes some minutes; started by hand.

python -m benchmarks.search_large [--quick] [--json]
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.frame import Comparison
from benchmarks.script import Plan, Settings, run_script
from benchmarks.search import INVERTED_FILE, OURS_ONE_QUERY, write_faces

CLAIM = (
    "What an approximate index gives and costs at a million faces, beside visavis's exact search: its agreement is the "
    "share of queries whose best face is the same; building them is not counted, but stated."
)


def _prepare(settings: Settings, folder: Path) -> Plan:
    size = 50_000 if settings.quick else 1_000_000
    write_faces(folder, size)
    left_out = ["hnswlib, stopped after eight CPU minutes of building its graph, and usearch, which was not reached"]
    comparison = Comparison(f"{size:,} synthetic faces × 128", "query", (INVERTED_FILE, OURS_ONE_QUERY))
    return Plan([(comparison, folder)], left_out)


if __name__ == "__main__":
    run_script("search_large", CLAIM, _prepare)
