"""Sweep the settings of the peers of ``benchmarks.grouping_quality``; runs in their environment (.bench-env).

python -m benchmarks.grouping_peers INPUTS.npz — one JSON line for each peer and setting.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

SPREADS = np.array([-0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2])
"""Where the thresholds of the sweep lie: shares of the distance from the network's usual threshold to a cosine of 1."""


def thresholds(prior: float) -> list[float]:
    """Give the cosines of the sweep around a network's usual threshold."""
    return [round(float(prior + spread * (1 - prior)), 4) for spread in SPREADS]


def infomap(inputs: Any, threshold: float) -> np.ndarray:
    """Group by Infomap's two-level map equation; a link weighs what its cosine is above the threshold."""
    from infomap import Infomap

    neighbours, similarities = inputs["neighbours"], inputs["similarities"]
    rows, columns = np.nonzero((neighbours >= 0) & (similarities > threshold))
    others = neighbours[rows, columns]
    weights = {
        (min(a, b), max(a, b)): s - threshold
        for a, b, s in zip(rows.tolist(), others.tolist(), similarities[rows, columns].tolist(), strict=True)
        if a != b
    }
    groups = np.arange(len(neighbours)) + len(neighbours)
    if weights:
        search = Infomap(two_level=True, silent=True, num_trials=3, seed=1)
        search.add_links([(a, b, weight) for (a, b), weight in weights.items()])
        search.run()
        for node, module in search.get_modules().items():
            groups[node] = module
    return groups


def chinese_whispers(inputs: Any, threshold: float) -> np.ndarray:
    """Group by dlib's Chinese whispers, as its face clustering example does."""
    import dlib

    faces = [dlib.vector(row.tolist()) for row in inputs["embeddings"]]
    return np.asarray(dlib.chinese_whispers_clustering(faces, float(np.sqrt(2 - 2 * threshold))))


def dbscan(inputs: Any, threshold: float) -> np.ndarray:
    """Group by density: two faces make a group."""
    from sklearn.cluster import DBSCAN

    groups: np.ndarray = DBSCAN(eps=float(np.sqrt(2 - 2 * threshold)), min_samples=2).fit_predict(inputs["embeddings"])
    return groups


def hdbscan(inputs: Any, samples: float) -> np.ndarray:
    """Group by density at every scale: two faces make a group; the setting is ``min_samples``."""
    from sklearn.cluster import HDBSCAN

    groups: np.ndarray = HDBSCAN(min_cluster_size=2, min_samples=int(samples), copy=True).fit_predict(
        inputs["embeddings"]
    )
    return groups


def sweep(inputs: Any) -> Iterator[dict[str, Any]]:
    """Group with every peer at every setting."""
    from trainer.metrics import clustering_figures

    cosines = thresholds(float(inputs["prior"]))
    peers: list[tuple[str, Callable[[Any, float], np.ndarray], list[float]]] = [
        ("Infomap", infomap, cosines),
        ("DBSCAN", dbscan, cosines),
        ("HDBSCAN", hdbscan, [1, 2]),
        ("dlib Chinese whispers", chinese_whispers, cosines[1::2] + cosines[-1:]),
    ]
    for name, group, settings in peers:
        for setting in settings:
            found = clustering_figures(inputs["people"], np.asarray(group(inputs, setting), np.int64))
            yield {"peer": name, "setting": setting, "bcubed": found.bcubed.f, "pairwise": found.pairwise.f}


if __name__ == "__main__":
    with np.load(Path(sys.argv[1])) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for line in sweep(arrays):
        print(json.dumps(line), flush=True)
