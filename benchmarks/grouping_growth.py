"""How far an archive that grows step by step ends from one that was there at once. Started by hand, some minutes.

python -m benchmarks.grouping_growth NETWORK=FACES.npz... [--steps 20]

FACES.npz as for ``benchmarks.grouping_quality``. At each step the neighbour lists are brought up to date and all faces
grouped anew, as `visavis cluster` does. Prints a JSON line for each file: BCubed F of the groups at the end against
those made at once, of both against the people, and the same for an archive whose every tenth face came and went again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from indexer.grouping.archive_groups import settings_for
from indexer.grouping.cluster import cluster_faces
from indexer.grouping.face_constraints import no_facts
from indexer.grouping.neighbour_lists import Lists, new_lists, updated_lists
from trainer.metrics import clustering_figures


def measure(network: str, embeddings: np.ndarray, people: np.ndarray, steps: int) -> dict[str, Any]:
    """Let an archive grow, and compare."""
    order = np.random.default_rng(0).permutation(len(people))
    ends = np.linspace(0, len(order), steps + 1).astype(np.int64)[1:]
    lists = new_lists(embeddings[order[: ends[0]]])
    drift = []
    labels = _labels(network, lists)
    for end in ends[1:]:
        lists = updated_lists(lists, np.arange(len(labels)), embeddings[order[:end]])
        former, labels = labels, _labels(network, lists)
        drift.append(clustering_figures(former, labels[: len(former)]).bcubed.f)
    at_once = _labels(network, new_lists(embeddings[order]))
    stays = np.arange(len(order)) % 10 > 0
    place = np.where(stays, np.cumsum(stays) - 1, -1)
    shrunk = _labels(network, updated_lists(lists, place, embeddings[order[stays]]))
    fresh = _labels(network, new_lists(embeddings[order[stays]]))
    return {
        "steps": steps,
        "grown against at once": round(clustering_figures(at_once, labels).bcubed.f, 5),
        "grown against people": round(clustering_figures(people[order], labels).bcubed.f, 5),
        "at once against people": round(clustering_figures(people[order], at_once).bcubed.f, 5),
        "each step against the one before, least": round(min(drift), 5),
        "a tenth gone against never there": round(clustering_figures(fresh, shrunk).bcubed.f, 5),
    }


def _labels(network: str, lists: Lists) -> np.ndarray:
    """Group; a face alone has a number of its own."""
    found = cluster_faces(lists.neighbours, lists.similarities, no_facts(len(lists.neighbours)), settings_for(network))
    alone = np.arange(len(found.labels)) + len(found.labels)
    return np.where(found.labels < 0, alone, found.labels)


def main() -> None:
    """Measure the files of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="NETWORK=FACES.npz")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    for item in options.files:
        network, _, path = item.partition("=")
        with np.load(path) as stored:
            embeddings, people = stored["embeddings"].astype(np.float32), stored["labels"].astype(np.int64)
        line = {"network": network, "faces": Path(path).stem} | measure(network, embeddings, people, options.steps)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
