"""How good the groups of known faces are, beside the peers at the best threshold of a sweep. Started by hand.

python -m benchmarks.grouping_quality NETWORK=FACES.npz... [--peers]

FACES.npz holds ``embeddings`` (N, D), ``labels`` and ``qualities`` (N,), as ``benchmarks.hard_copies`` writes it. One
JSON line for each file and way to share photos: none, at random, or with the most similar stranger
(``benchmarks.shared_photos``); ``chosen`` is the threshold that the tool chooses, ``best`` that of a sweep. ``--peers``
adds a line for each peer and setting; it needs `make bench-env`, and a minute.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frame import PEERS_PYTHON, ROOT
from benchmarks.shared_photos import photos_of_lookalikes, random_photos
from indexer.grouping.archive_groups import settings_for
from indexer.grouping.cluster import cluster_faces
from indexer.grouping.face_constraints import Facts, no_facts
from indexer.grouping.neighbour_lists import new_lists
from trainer.metrics import clustering_figures

_SWEEP = np.linspace(-0.15, 0.15, 13)  # shares of the distance from the chosen threshold to a cosine of 1


def measure(
    network: str, embeddings: np.ndarray, people: np.ndarray, qualities: np.ndarray | None = None
) -> Iterator[dict[str, Any]]:
    """Group under each way to share photos."""
    found = new_lists(embeddings)
    lists = found.neighbours, found.similarities
    nothing, settings = no_facts(len(people)), settings_for(network)
    ways = {
        "none": nothing.photo,
        "random": random_photos(people, seed=0),
        "lookalikes": photos_of_lookalikes(people, *lists),
    }
    for name, photo in ways.items():
        facts = Facts(photo, nothing.same, nothing.different, nothing.person)

        def figures(threshold: float | None, facts: Facts = facts) -> dict[str, float]:
            found = cluster_faces(*lists, facts, replace(settings, threshold=threshold), qualities=qualities)
            right = clustering_figures(people, found.labels)
            return {
                "threshold": round(found.threshold.similarity, 4),
                "bcubed": round(right.bcubed.f, 4),
                "pairwise": round(right.pairwise.f, 4),
            }

        chosen = figures(None)
        swept = [figures(float(chosen["threshold"] + step * (1 - chosen["threshold"]))) for step in _SWEEP]
        yield {"photos": name, "chosen": chosen, "best": max(swept, key=lambda found: found["bcubed"])}


def measure_peers(network: str, embeddings: np.ndarray, people: np.ndarray) -> Iterator[dict[str, Any]]:
    """Sweep the peers, who can make nothing of shared photos."""
    lists = new_lists(embeddings)
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        arrays = {"embeddings": embeddings, "people": people, **vars(lists)}
        np.savez(inputs, prior=np.float64(settings_for(network).prior), **arrays)
        command = [str(PEERS_PYTHON), "-W", "ignore", "-m", "benchmarks.grouping_peers", str(inputs)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            yield from map(json.loads, process.stdout)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: is there a .bench-env? Else run `make bench-env`")


def main() -> None:
    """Measure the files of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="NETWORK=FACES.npz")
    parser.add_argument("--peers", action="store_true", help="sweep the peers too")
    options = parser.parse_args()
    for item in options.files:
        network, _, path = item.partition("=")
        with np.load(path) as stored:
            embeddings, people = stored["embeddings"].astype(np.float32), stored["labels"].astype(np.int64)
            qualities = stored["qualities"]
        lines = measure(network, embeddings, people, qualities)
        peers = measure_peers(network, embeddings, people) if options.peers else ()
        for line in chain(lines, peers):
            print(json.dumps({"network": network, "faces": Path(path).stem} | line), flush=True)


if __name__ == "__main__":
    main()
