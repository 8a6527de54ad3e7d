"""What the groups are worth where faces in the background and crowds stand among known faces. Started by hand.

    python -m benchmarks.grouping_crowds PEOPLE CROWDS [--hard FACES.npz]

PEOPLE is the album of a folder for each person, as LFW has them; of each photo the face nearest the centre is that
person, and all others are background. CROWDS is an album of photos of strangers, as WIDER FACE. Background and
crowds count as a person for each face: some of the background are one person again, so that its share in groups cannot
fall to 0, but two methods can be compared. --hard takes hard copies (``benchmarks.hard_copies``) in place of PEOPLE's
faces for one more mixture.

One JSON line for each mixture, with and without the faces' qualities: BCubed and pairwise F of all, BCubed F of the
known alone, and how many of the background and of the crowds are in a group with anybody.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hard_copies import central_rows
from indexer.album import open_album
from indexer.archive import Archive, read_archive
from indexer.grouping.archive_groups import settings_for
from indexer.grouping.cluster import cluster_faces
from indexer.grouping.face_constraints import no_facts
from indexer.grouping.neighbour_lists import new_lists
from trainer.metrics import clustering_figures

KNOWN, BACKGROUND, CROWD = range(3)
MANY = 4  # photos of a person, in the small mixtures
STRANGER = 1 << 32  # from this number on each is a face that nobody knows


@dataclass(frozen=True)
class Mixture:
    """Faces of several kinds.

    Attributes:
        embeddings: float32 (N, D), unit rows.
        qualities: float (N,).
        photos: int64 (N,), the photo of each, -1 for none.
        kinds: int64 (N,), ``KNOWN``, ``BACKGROUND`` or ``CROWD``.
        people: int64 (N,), who it is; a number of its own for each that is not known.
    """

    embeddings: np.ndarray
    qualities: np.ndarray
    photos: np.ndarray
    kinds: np.ndarray
    people: np.ndarray

    def take(self, rows: np.ndarray) -> Mixture:
        """Give some of the faces."""
        columns = (self.embeddings, self.qualities, self.photos, self.kinds, self.people)
        return Mixture(*(column[rows] for column in columns))


def faces_of_people(archive: Archive) -> Mixture:
    """Read an album of a folder for each person."""
    kinds = np.full(len(archive.faces), BACKGROUND)
    kinds[central_rows(archive)] = KNOWN
    _, people = np.unique([Path(path).parent.name for path in archive.paths], return_inverse=True)
    return _numbered(archive, kinds, people)


def faces_of_crowds(archive: Archive) -> Mixture:
    """Read an album of strangers."""
    kinds = np.full(len(archive.faces), CROWD)
    return _numbered(archive, kinds, np.zeros(len(kinds), np.int64))


def _numbered(archive: Archive, kinds: np.ndarray, people: np.ndarray) -> Mixture:
    alone = STRANGER + np.arange(len(kinds))
    embeddings, qualities = np.asarray(archive.embeddings, np.float32), np.asarray(archive.faces.qualities)
    return Mixture(embeddings, qualities, archive.photo_numbers, kinds, np.where(kinds == KNOWN, people, alone))


def some_photos(faces: Mixture, photos: int, rng: np.random.Generator) -> Mixture:
    """Take so many photos of crowds at random, all of their faces."""
    chosen = rng.permutation(np.unique(faces.photos))[:photos]
    return faces.take(np.flatnonzero(np.isin(faces.photos, chosen)))


def photos_of_some_people(faces: Mixture, photos: int, least: int, rng: np.random.Generator) -> Mixture:
    """Take people with at least ``least`` photos at random, with all of their photos, until there are so many."""
    known = faces.kinds == KNOWN
    people, counts = np.unique(faces.people[known], return_counts=True)
    order = rng.permutation(np.flatnonzero(counts >= least))
    enough = int(np.searchsorted(np.cumsum(counts[order]), photos)) + 1
    chosen = np.isin(faces.people, people[order[:enough]]) & known
    return faces.take(np.flatnonzero(np.isin(faces.photos, faces.photos[chosen])))


def joined(first: Mixture, second: Mixture) -> Mixture:
    """Put faces beside others, who are other people in other photos."""
    photos = np.where(second.photos < 0, -1, second.photos + first.photos.max(initial=-1) + 1)
    taken = max(0, int(first.people.max(initial=0)) + 1 - STRANGER)
    people = np.where(second.people >= STRANGER, second.people + taken, second.people)
    apart = replace(second, photos=photos, people=people)
    return Mixture(
        np.concatenate([first.embeddings, apart.embeddings]),
        np.concatenate([first.qualities, apart.qualities]),
        np.concatenate([first.photos, apart.photos]),
        np.concatenate([first.kinds, apart.kinds]),
        np.concatenate([first.people, apart.people]),
    )


def measure(faces: Mixture, network: str) -> Iterator[dict[str, Any]]:
    """Group with the qualities, and as if all faces were good."""
    lists = new_lists(faces.embeddings)
    facts, settings = replace(no_facts(len(faces.kinds)), photo=faces.photos), settings_for(network)
    for how, qualities in (("all faces alike", None), ("poor faces distrusted", faces.qualities)):
        found = cluster_faces(lists.neighbours, lists.similarities, facts, settings, qualities=qualities)
        whole, known = clustering_figures(faces.people, found.labels), faces.kinds == KNOWN
        yield {
            "how": how,
            "threshold": round(found.threshold.similarity, 4),
            "bcubed_f": round(whole.bcubed.f, 4),
            "pairwise_f": round(whole.pairwise.f, 4),
            "known_bcubed_f": round(clustering_figures(faces.people[known], found.labels[known]).bcubed.f, 4),
            "background_grouped": int((found.labels[faces.kinds == BACKGROUND] >= 0).sum()),
            "background": int((faces.kinds == BACKGROUND).sum()),
            "crowd_grouped": int((found.labels[faces.kinds == CROWD] >= 0).sum()),
            "crowd": int((faces.kinds == CROWD).sum()),
        }


def _hard_copies(path: Path) -> Mixture:
    with np.load(path) as read:
        _, people = np.unique(read["labels"], return_inverse=True)
        nobody = np.full(len(people), -1)
        return Mixture(read["embeddings"].astype(np.float32), read["qualities"], nobody, nobody + 1 + KNOWN, people)


def main() -> None:
    """Read the command line, measure each mixture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("crowds", type=Path)
    parser.add_argument("--hard", type=Path)
    given = parser.parse_args()
    archive = read_archive(open_album(given.people))
    network, people = archive.album.model, faces_of_people(archive)
    crowds = faces_of_crowds(read_archive(open_album(given.crowds)))
    mixtures = {"everything": joined(people, crowds)}
    for photos, least, of_crowds, seeds in ((1000, 1, 40, (0, 1)), (128, MANY, 8, (0, 1, 2, 3, 4, 5))):
        for seed in seeds:
            rng = np.random.default_rng(seed)
            some = photos_of_some_people(people, photos, least, rng)
            mixtures[f"{photos} photos, seed {seed}"] = joined(some, some_photos(crowds, of_crowds, rng))
    if given.hard:
        hard = _hard_copies(given.hard)
        mixtures["hard copies alone"] = hard
        mixtures["hard copies and 100 photos of crowds"] = joined(
            hard, some_photos(crowds, 100, np.random.default_rng(0))
        )
    for name, faces in mixtures.items():
        for line in measure(faces, network):
            print(json.dumps({"network": network, "mixture": name, **line}), flush=True)


if __name__ == "__main__":
    main()
