"""Show how alike synthetic embeddings are to the real ones they were calibrated on.

    python -m benchmarks.likeness EMBEDDINGS.npz [--write]

The file holds ``embeddings`` (float, N × D, unit rows) and ``labels`` (int, N: the person of each row, the
rows of a person in the order of file names). Prints verification over all pairs, open-set identification
and clustering of the real faces and of synthetic ones with the same numbers of faces for each person, as
a table and a JSON line. ``--write`` measures the calibration anew and keeps it beside this module.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from benchmarks.calibrate import calibrate
from benchmarks.synthetic import SFACE_LFW, Calibration, face_blocks_of_sizes, read_calibration, write_calibration
from trainer.metrics import OpenSet, all_pairs_verification, clustering_figures, open_set_identification

SEEDS = (0, 1, 2, 3, 4)
PAIR_FARS = (1e-3, 1e-4, 1e-5, 1e-6)
STRANGER_FARS = (0.1, 0.01, 0.001)
# Cosines at which average linkage is cut; the best of them counts.
CUTS = (0.35, 0.4, 0.425, 0.45, 0.475, 0.5, 0.55)


def likeness_figures(embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """Measure one set of faces.

    Args:
        embeddings: float32 (N, D), unit rows.
        labels: int64 (N,). People with four rows or more are known by their first two; people with one row
            are strangers.
    """
    pairs = all_pairs_verification(embeddings, labels, PAIR_FARS).tar_at_far
    figures = {f"TAR at FAR {far:g}": float(tar) for far, tar in zip(PAIR_FARS, pairs.tar, strict=True)}
    searches = open_set(embeddings, labels)
    figures["rank 1"] = searches.rank1
    for far, rate in zip(STRANGER_FARS, searches.dir_at_far, strict=True):
        figures[f"DIR at FAR {far:g}"] = float(rate)
    tree = linkage(squareform(1 - embeddings @ embeddings.T, checks=False), method="average")
    cuts = [clustering_figures(labels, fcluster(tree, 1 - cut, criterion="distance")) for cut in CUTS]
    figures["BCubed F"] = max(cut.bcubed.f for cut in cuts)
    figures["pairwise F"] = max(cut.pairwise.f for cut in cuts)
    return figures


def open_set(embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> OpenSet:
    """Search for the later faces of known people, and for strangers, among mean templates of two faces."""
    order = np.argsort(labels, kind="stable")
    embeddings = embeddings[order]
    _, person, sizes = np.unique(labels[order], return_inverse=True, return_counts=True)
    place = np.arange(len(person)) - (np.cumsum(sizes) - sizes)[person]
    known = np.flatnonzero(sizes >= 4)
    starts = (np.cumsum(sizes) - sizes)[known]
    templates = embeddings[starts] + embeddings[starts + 1]
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    probes = (sizes[person] >= 4) & (place >= 2)
    similarity = embeddings[probes] @ templates.T
    return open_set_identification(
        similarity.max(axis=1),
        known[similarity.argmax(axis=1)] == person[probes],
        (embeddings[sizes[person] == 1] @ templates.T).max(axis=1),
        STRANGER_FARS,
    )


def synthetic_figures(
    calibration: Calibration, sizes: NDArray[np.int64], seeds: Sequence[int]
) -> dict[str, list[float]]:
    """Measure synthetic people with the given numbers of faces, once for each seed."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        blocks = list(face_blocks_of_sizes(calibration, sizes, seed=seed))
        embeddings = np.concatenate([block.embeddings for block in blocks])
        people = np.concatenate([block.people for block in blocks])
        for name, value in likeness_figures(embeddings, people).items():
            found.setdefault(name, []).append(value)
    return found


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Compare synthetic embeddings with real ones.")
    parser.add_argument("embeddings", type=Path, help="npz file with `embeddings` and `labels`")
    parser.add_argument("--write", action="store_true", help=f"calibrate anew and write {SFACE_LFW.name}")
    options = parser.parse_args()
    with np.load(options.embeddings, allow_pickle=False) as arrays:
        embeddings, labels = arrays["embeddings"].astype(np.float32), arrays["labels"]
    if options.write:
        write_calibration(calibrate(embeddings, labels), SFACE_LFW)
    real = likeness_figures(embeddings, labels)
    sizes = np.unique(labels, return_counts=True)[1]
    synthetic = synthetic_figures(read_calibration(), sizes, SEEDS)
    print(f"{'figure':18}{'real':>8}{'synthetic':>11}   lowest … highest of {len(SEEDS)} seeds")
    for name, value in real.items():
        drawn = synthetic[name]
        print(f"{name:18}{value:8.4f}{np.median(drawn):11.4f}   {min(drawn):.4f} … {max(drawn):.4f}")
    print(json.dumps({"faces": len(labels), "people": len(sizes), "real": real, "synthetic": synthetic}))


if __name__ == "__main__":
    main()
