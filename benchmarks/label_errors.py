"""How many wrong labels training lists as suspects, and how many right ones. Started by hand; a minute.

    python -m benchmarks.label_errors ALBUM... [--wrong 0.01] [--epochs 4 --epochs 10]

ALBUM is an album of a folder for each person, as LFW has them; of each photo the face nearest the centre counts, of
people with two photos and more. A share of the faces gets the name of a random other person. Batches are dealt as in
training, 32 people with 4 crops, and judged by the album's embeddings, as if the network stayed as it is: what is
measured is the bookkeeping (``trainer.suspicions``), not what a network learns meanwhile. One JSON line for each number
of epochs; ``named`` counts those found with their right person.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.grouping_crowds import KNOWN, faces_of_people
from indexer.album import open_album
from indexer.archive import read_archive
from trainer.sampler import PeopleSampler, Position
from trainer.suspicions import LabelSuspicions


def give_wrong_names(people: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Give a share of the faces the name of another person: int64 (N,)."""
    rng, given = np.random.default_rng(seed), people.copy()
    for row in rng.permutation(len(people))[: round(share * len(people))]:
        given[row] = rng.choice(np.setdiff1d(people, people[row : row + 1]))
    return given


def measure(embeddings: np.ndarray, people: np.ndarray, given: np.ndarray, epochs: int) -> dict[str, Any]:
    """Deal batches for some epochs, and compare the suspects with who has a wrong name."""
    sampler, suspicions = PeopleSampler(given, people=min(32, len(np.unique(given))), crops=4), LabelSuspicions()
    for epoch in range(epochs):
        for batch in range(sampler.batches_per_epoch):
            rows = sampler.batch(Position(epoch, batch))
            suspicions.record(torch.from_numpy(rows), torch.from_numpy(given[rows]), torch.from_numpy(embeddings[rows]))
    suspects = suspicions.suspects()
    found = [s for s in suspects if people[s.crop] != given[s.crop]]
    return {
        "epochs": epochs,
        "faces": len(people),
        "wrong": int((people != given).sum()),
        "listed": len(suspects),
        "found": len(found),
        "named": len([s for s in found if s.looks_like == people[s.crop]]),
    }


def main() -> None:
    """Read the command line, measure each album."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("albums", nargs="+", type=Path)
    parser.add_argument("--wrong", type=float, default=0.01)
    parser.add_argument("--epochs", type=int, action="append")
    options = parser.parse_args()
    for path in options.albums:
        archive = read_archive(open_album(path))
        faces = faces_of_people(archive)
        faces = faces.take(np.flatnonzero(faces.kinds == KNOWN))
        counts = np.bincount(faces.people)
        faces = faces.take(np.flatnonzero(counts[faces.people] >= 2))
        people = np.unique(faces.people, return_inverse=True)[1]
        given = give_wrong_names(people, options.wrong, seed=0)
        for epochs in options.epochs or (4, 10):
            line = measure(faces.embeddings, people, given, epochs)
            print(json.dumps({"network": archive.album.model, **line}), flush=True)


if __name__ == "__main__":
    main()
