"""Which photos of an album show a face: one place that asks the index, and what was said about the faces it finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.archive import Archive
from indexer.search.face_index import FaceIndex

_SOME_MORE = 16  # faces beyond those wanted that are asked for at first


@dataclass(frozen=True)
class Lookalikes:
    """Photos that show a face, best first.

    Attributes:
        rows: int64 (P,), archive rows: of each photo the most similar face.
        similarity: float32 (P,), cosines.
        left_out: faces that were similar enough and that a human said to be somebody else.
        nearest: the best similarity below the limit, for a search that finds nothing; −1 if there is none.
    """

    rows: np.ndarray
    similarity: np.ndarray
    left_out: int
    nearest: float


def find_lookalikes(
    archive: Archive, index: FaceIndex, embedding: np.ndarray, *, unlike: np.ndarray, least: float, most: int
) -> Lookalikes:
    """Find the photos that show a face.

    Args:
        embedding: float32 (D,), of unit length.
        unlike: bool (N,), faces of the archive that are known to be somebody else; see ``known_unlike``.
        least: similarity that a face must have.
        most: photos, at the most.
    """
    k = min(len(archive.faces), 2 * most + _SOME_MORE)
    while True:
        similarities, rows = (found[0] for found in index.search(embedding[None], k))
        rows, similarities = rows[rows >= 0], similarities[rows >= 0]
        shown = ~archive.ignored[rows]
        rows, similarities = rows[shown], similarities[shown]
        wanted = np.flatnonzero(~unlike[rows])
        best = np.sort(wanted[np.unique(archive.photo_numbers[rows[wanted]], return_index=True)[1]])
        alike = best[similarities[best] >= least]
        if k == len(archive.faces) or len(alike) >= most or len(alike) < len(best):
            below = similarities[best[len(alike) :]]
            left_out = int((unlike[rows] & (similarities >= least)).sum())
            chosen = alike[:most]
            nearest = float(below[0]) if len(below) else -1.0
            return Lookalikes(rows[chosen], similarities[chosen], left_out, nearest)
        k = min(4 * k, len(archive.faces))


def known_unlike(archive: Archive, face: int | None) -> np.ndarray:
    """Say which faces are known to be another person than the face at row ``face``: bool (N,).

    They have another name, were said to be different, or not to be this person; and what was said of a face holds for
    those that are the same. Of a face that is not in the album (None) nothing is known.
    """
    unlike = np.zeros(len(archive.faces), bool)
    if face is None:
        return unlike
    people, head, person = archive.people, int(archive.heads[face]), int(archive.persons[face])
    pairs = [{people.heads.get(one, one) for one in pair} for pair in people.different]
    told = {other for pair in pairs if head in pair for other in pair} - {head}
    not_of = {other for other, who in people.not_whose if who == person}
    not_of_face = [who for other, who in people.not_whose if other == head]
    unlike |= np.isin(archive.heads, list(told | not_of)) | np.isin(archive.persons, not_of_face)
    if person >= 0:
        unlike |= (archive.persons >= 0) & (archive.persons != person)
    return unlike
