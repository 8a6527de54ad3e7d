"""Claim: grouping stays good and affordable as an archive grows. Takes about 20 minutes; started by hand.

python -m benchmarks.clustering_scale [--quick] [--json]

The faces are synthetic (``benchmarks.synthetic``), calibrated on SFace's embeddings of LFW. The neighbour
lists are made by exact search, whose time grows with the square; ``benchmarks.grouping_large`` has a million faces.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.clustering import CHINESE_WHISPERS, DBSCAN, OURS
from benchmarks.frame import Comparison
from benchmarks.script import Plan, Settings, run_script
from benchmarks.synthetic import face_blocks, read_calibration

CLAIM = (
    "Grouping stays good and affordable as an archive grows: 10,000 and 100,000 synthetic faces, with visavis choosing "
    "its threshold itself and the peers at the best of a few. Peers that compare every face with every other in Python "
    "lists are measured at 10,000 only."
)


def _prepare(settings: Settings, folder: Path) -> Plan:
    small, large = (2_000, 5_000) if settings.quick else (10_000, 100_000)
    comparisons = []
    for size, contenders in ((small, (CHINESE_WHISPERS, DBSCAN, OURS)), (large, (DBSCAN, OURS))):
        inputs = folder / str(size)
        inputs.mkdir()
        blocks = list(face_blocks(read_calibration(), size, seed=1))
        np.save(inputs / "embeddings.npy", np.concatenate([block.embeddings for block in blocks]))
        np.save(inputs / "people.npy", np.concatenate([block.people for block in blocks]))
        comparisons.append((Comparison(f"{size:,} synthetic faces", "face", contenders), inputs))
    return Plan(comparisons, ["1,000,000 faces: benchmarks.grouping_large measures visavis alone"])


if __name__ == "__main__":
    run_script("clustering_scale", CLAIM, _prepare)
