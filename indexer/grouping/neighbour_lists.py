"""Keep the lists of most similar faces up to date as faces come and go. Opens no file."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from indexer.search.exact import Embeddings, FullRows, StoredRows, unit_rows
from indexer.search.neighbours import neighbour_blocks

Ints = npt.NDArray[np.int64]
Nodes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

LENGTH = 64
"""Neighbours in a list: see ``cluster.cluster_faces``."""
EXACT_FACES = 1 << 17
"""Up to so many faces all are compared with all: 48 CPU s at 100,000, where a search by cells takes 8 and costs .003 of
BCubed F."""
PROBES = 24
"""Cells searched for each face of a larger archive. At 100,000 synthetic faces BCubed F .985 with 12, .989 with 24; all
with all .992."""
MOST_LOST = LENGTH // 8
"""A list that lost more entries than this is made anew."""
MOST_NEW = 0.25
"""Share of the comparisons of new lists from which on all lists are made anew."""
NEAR_COST = 40.0
"""Comparisons for each face, as a multiple of the root of their number, that a search by cells is worth in time."""
QUERIES = 1 << 13
"""Faces searched at once: bounds the memory of the answers."""
BLOCK = 1 << 15
"""Faces compared with the new ones at once, if those are few."""


@dataclass(frozen=True)
class Lists:
    """The most similar other faces of N faces.

    Args:
        neighbours: int32 (N, k), rows, most similar first; -1 where the list ends early.
        similarities: float32 (N, k), cosine; -1 where the list ends early.
    """

    neighbours: Nodes
    similarities: Floats


def new_lists(embeddings: Embeddings, k: int = LENGTH) -> Lists:
    """Make all lists: exactly up to ``EXACT_FACES``, about so above.

    Args:
        embeddings: (N, D).
    """
    lists = _no_lists(len(embeddings), k)
    for found in neighbour_blocks(embeddings, k + 1, exact_up_to=EXACT_FACES, probes=PROBES):
        _write(lists, found.rows, found.rows, found.similarities, found.neighbours)
    return lists


def updated_lists(former: Lists, place: Ints, embeddings: Embeddings) -> Lists:
    """Strike out the faces that are gone, and enter those that are new.

    Where no face is gone, the lists are those of an exact search if they were before. A list that lost a few entries
    ends earlier, and holds what an exact search would find first.

    Args:
        former: lists of F faces.
        place: int64 (F,), the row of each of them in ``embeddings``; -1 is gone.
        embeddings: (N, D), of the faces that are there now.
    """
    faces, k = len(embeddings), former.neighbours.shape[1]
    lists, lost = _carried(former, place, faces)
    is_new = np.ones(faces, np.bool_)
    is_new[place[place >= 0]] = False
    anew = np.flatnonzero(is_new | (lost > MOST_LOST))
    if len(anew) * faces > MOST_NEW * _comparisons(faces):
        return new_lists(embeddings, k)
    if len(anew):
        found = _searched(embeddings, anew, k)
        lists.neighbours[anew], lists.similarities[anew] = found.neighbours, found.similarities
        old = ~is_new
        old[anew] = False
        _enter(lists, np.flatnonzero(is_new), old, int((~is_new).sum()), embeddings)
    return lists


def _comparisons(faces: int) -> float:
    """Tell what it costs to make all lists anew, in comparisons."""
    return faces * (faces if faces <= EXACT_FACES else NEAR_COST * faces**0.5)


def _carried(former: Lists, place: Ints, faces: int) -> tuple[Lists, Ints]:
    """Carry the lists over to the rows that faces have now: (lists of N faces, entries that each of them lost)."""
    lists = _no_lists(faces, former.neighbours.shape[1])
    lost = np.zeros(faces, np.int64)
    stays = np.flatnonzero(place >= 0)
    now = np.append(place, -1).astype(np.int32)  # the last one is nobody's
    for start in range(0, len(stays), BLOCK):
        rows = stays[start : start + BLOCK]
        before, similarities = former.neighbours[rows], former.similarities[rows]
        after = now[before]
        gone = (before >= 0) & (after < 0)
        lost[place[rows]] = gone.sum(1)
        short = np.flatnonzero(gone.any(1))
        order = np.argsort(after[short] < 0, axis=1, kind="stable")
        after[short] = np.take_along_axis(after[short], order, axis=1)
        similarities[short] = np.take_along_axis(similarities[short], order, axis=1)
        similarities[after < 0] = -1
        lists.neighbours[place[rows]], lists.similarities[place[rows]] = after, similarities
    return lists, lost


def _searched(embeddings: Embeddings, rows: Ints, k: int) -> Lists:
    """Make the lists of some faces by comparing them with all."""
    found = _no_lists(len(rows), k)
    whole = isinstance(embeddings, np.ndarray) and embeddings.dtype == np.float32
    everybody = FullRows(embeddings) if whole else StoredRows(embeddings)
    for start in range(0, len(rows), QUERIES):
        asked = rows[start : start + QUERIES]
        similarities, others = everybody.nearest(unit_rows(embeddings[asked]), min(k + 1, len(embeddings)))
        _write(found, np.arange(start, start + len(asked)), asked, similarities, others)
    return found


def _no_lists(faces: int, k: int) -> Lists:
    return Lists(np.full((faces, k), -1, np.int32), np.full((faces, k), -1, np.float32))


def _write(lists: Lists, at: Ints, faces: Ints, similarities: Floats, others: Ints) -> None:
    """Write what was found for ``faces`` at the rows ``at``, without the faces themselves.

    Args:
        similarities, others: (M, up to k + 1), best first, -1 for nobody. Among many copies of one photo a face may not
            find itself.
    """
    own = others == faces[:, None]
    place = np.where(own.any(1), own.argmax(1), others.shape[1])
    columns = np.arange(min(lists.neighbours.shape[1], max(others.shape[1] - 1, 0)))
    columns = columns + (columns >= place[:, None])
    lists.neighbours[at, : columns.shape[1]] = np.take_along_axis(others, columns, axis=1)
    lists.similarities[at, : columns.shape[1]] = np.take_along_axis(similarities, columns, axis=1)


def _enter(lists: Lists, new: Ints, old: Bools, faces_before: int, embeddings: Embeddings) -> None:
    """Enter new faces into the lists of old ones that they belong in.

    Args:
        old: bool (N,), whose lists want them.
        faces_before: how many of the faces are not new. A list of all of them has room for anybody.
    """
    counts = (lists.neighbours >= 0).sum(1)
    last = lists.similarities[np.arange(len(counts)), np.maximum(counts - 1, 0)].copy()
    last[(counts == 0) | (counts == min(faces_before - 1, lists.neighbours.shape[1]))] = -np.inf
    full = counts == lists.neighbours.shape[1]
    last[full] = lists.similarities[full, -1]
    last[~old] = np.inf
    strangers = unit_rows(embeddings[new])
    step = max(1, BLOCK * 128 // max(128, len(new)))
    for start in range(0, len(embeddings), step):
        similarities = unit_rows(embeddings[start : start + step]) @ strangers.T
        face, one = np.nonzero(similarities > last[start : start + step, None])
        if len(face):
            _insert(lists, face + start, new[one], similarities[face, one])


def _insert(lists: Lists, face: Ints, other: Ints, similarity: Floats) -> None:
    """Insert entries (M,) into the lists of these faces; what finds no room falls off the end."""
    rows = np.unique(face)
    k = lists.neighbours.shape[1]
    whose = np.concatenate([np.repeat(np.arange(len(rows)), k), np.searchsorted(rows, face)])
    others = np.concatenate([lists.neighbours[rows].ravel(), other])
    values = np.concatenate([lists.similarities[rows].ravel(), similarity])
    order = np.lexsort((-values, others < 0, whose))
    starts = np.searchsorted(whose[order], np.arange(len(rows)))
    kept = order[starts[:, None] + np.arange(k)]
    lists.neighbours[rows], lists.similarities[rows] = others[kept], values[kept]
