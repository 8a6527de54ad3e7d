"""Group the faces of an archive that have no name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from indexer.archive import Archive
from indexer.grouping.cluster import Clustering, ClusterSettings, cluster_faces
from indexer.grouping.face_constraints import Facts
from indexer.index import build_index

_NEIGHBOURS = 64
# Cosine at which two faces of an album of middle size are linked, where the album itself tells nothing.
_PRIORS = {"sface": 0.52, "dlib": 0.945}
_UNKNOWN_PRIOR = 0.5


def group_unnamed(archive: Archive, *, wrong_share_factor: float = 1.0) -> tuple[np.ndarray, Clustering]:
    """Group the faces of an archive that have no name and are not ignored.

    Args:
        wrong_share_factor: above 1 links more, below 1 less: see ``settings_for``.
    Returns:
        (rows int64 (M,) of the faces, their clustering).
    """
    rows = np.flatnonzero((archive.persons < 0) & ~archive.ignored)
    facts = Facts(
        person=np.full(len(rows), -1, np.int64),
        same=_pairs(archive, archive.people.same, rows),
        different=_pairs(archive, archive.people.different, rows),
        photo=archive.photo_numbers[rows],
    )
    lists = neighbour_lists(archive.embeddings[rows])
    return rows, cluster_faces(*lists, facts, settings_for(archive.album.model, wrong_share_factor))


def neighbour_lists(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the most similar faces of each face, exactly.

    Args:
        embeddings: float32 (M, D), unit rows.
    Returns:
        (rows int64 (M, k), similarities float32 (M, k)), as ``indexer.grouping.cluster.cluster_faces`` takes them.
    """
    similarities, neighbours = build_index(embeddings).search(embeddings, _NEIGHBOURS + 1)
    return neighbours, similarities


def settings_for(network: str, wrong_share_factor: float = 1.0) -> ClusterSettings:
    """Give the settings for a network; the odds of a wrong pair at the threshold are multiplied by the factor."""
    usual = ClusterSettings(prior=_PRIORS.get(network, _UNKNOWN_PRIOR))
    odds = usual.wrong_share / (1 - usual.wrong_share) * wrong_share_factor
    return replace(usual, wrong_share=odds / (1 + odds))


def _pairs(archive: Archive, said: tuple[tuple[int, int], ...], rows: np.ndarray) -> np.ndarray:
    """Give pairs of face_ids as pairs of positions in ``rows``; pairs with a face elsewhere are left out."""
    place = {int(archive.faces.face_ids[row]): number for number, row in enumerate(rows.tolist())}
    known = [(place[a], place[b]) for a, b in said if a in place and b in place]
    return np.array(known, np.int64).reshape(-1, 2)
