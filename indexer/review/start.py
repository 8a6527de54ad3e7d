"""Begin a review: what the last clustering left in the album, and what was said since."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from indexer.answers import album_proposals
from indexer.archive import Archive
from indexer.grouping.groups import FILE_NAME, LINKS_NAME, read_groups, read_links
from indexer.grouping.likelihoods import spread_or_usual
from indexer.review.board import Board, Said, lay_out
from indexer.review.looks import typicality
from indexer.review.questions import Material


def read_board(archive: Archive) -> tuple[Material, Board]:
    """Read what there is to ask about.

    Raises:
        GroupsError: if the album was never grouped, or a file of the grouping is damaged.
    """
    faces = archive.faces.face_ids
    links = _rows(archive, read_links(archive.album.index / LINKS_NAME).tolist())
    stored = read_groups(archive.album.index / FILE_NAME)
    groups = np.where((archive.persons < 0) & ~archive.ignored, stored.of(faces), 0)
    proposed, _ = album_proposals(archive)
    material = Material(
        embeddings=archive.embeddings,
        offset=stored.column(stored.offset, faces, 0),
        photo=archive.photo_numbers,
        chance=stored.column(stored.chance, faces, 0),
        proposed=proposed,
        group=groups,
        links=links,
        threshold=stored.threshold,
        spread=spread_or_usual(stored.spread, stored.threshold),
    )
    said = Said(
        rejected=_rejected(archive),
        same=_rows(archive, archive.people.same),
        different=_rows(archive, archive.people.different),
    )
    return material, lay_out(groups, archive.persons, archive.ignored, said, _typical(archive, groups, said.different))


def _rows(archive: Archive, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Give pairs of face_ids as pairs of rows, int64 (M, 2); those with a face that is gone or ignored are left out."""
    flat = np.array(list(pairs), np.int64).reshape(-1, 2)
    rows = archive.rows_of_faces(flat.ravel().tolist()).reshape(-1, 2)
    here = (rows >= 0).all(axis=1)
    return np.asarray(rows[here & ~archive.ignored[rows].any(axis=1)])


def _rejected(archive: Archive) -> np.ndarray:
    pairs = np.array(sorted(archive.people.rejected), np.int64).reshape(-1, 2)
    rows = archive.rows_of_faces(pairs[:, 0].tolist())
    return np.stack([rows[rows >= 0], pairs[rows >= 0, 1]], axis=1)


def _typical(archive: Archive, groups: np.ndarray, different: np.ndarray) -> np.ndarray:
    """Tell how typical faces are for their group, in groups that something was said against: float32 (N,)."""
    typical = np.zeros(len(groups), np.float32)
    inside = (groups[different[:, 0]] == groups[different[:, 1]]) & (groups[different[:, 0]] > 0)
    for group in np.unique(groups[different[inside]]).tolist():
        rows = np.flatnonzero(groups == group)
        typical[rows] = typicality(archive.embeddings[rows])
    return typical
