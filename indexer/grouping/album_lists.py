"""The neighbour lists of an album's faces, kept in its index folder. Derived: may be deleted at any time."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from indexer.album import Album, write_whole
from indexer.grouping.neighbour_lists import LENGTH, Lists, new_lists, updated_lists
from indexer.search.exact import Embeddings

FILE_NAME = "neighbours.npz"
_FORMAT = 1


def album_lists(album: Album, face_ids: np.ndarray, embeddings: Embeddings) -> tuple[np.ndarray, np.ndarray]:
    """Find the most similar faces of each face, from the lists that were kept as far as they go.

    The kept lists are brought up to date: faces that are gone are struck out, new ones are searched and entered. What
    is missing, damaged or of another model is made anew.

    Args:
        face_ids: int64 (M,), the faces to list, each once.
        embeddings: (M, D).
    Returns:
        (rows int32 (M, 64), similarities float32 (M, 64)), as ``indexer.grouping.cluster.cluster_faces`` takes them.
    """
    kept = read_lists(album.index / FILE_NAME, album.fingerprint)
    if kept is None:
        lists = new_lists(embeddings)
    elif np.array_equal(kept[0], face_ids):
        return kept[1].neighbours, kept[1].similarities
    else:
        lists = updated_lists(kept[1], _places(kept[0], face_ids), embeddings)
    album.index.mkdir(exist_ok=True, mode=0o700)
    write_whole(album.index / FILE_NAME, lists_file(lists, face_ids, album.fingerprint))
    return lists.neighbours, lists.similarities


def lists_file(lists: Lists, face_ids: np.ndarray, fingerprint: str) -> bytes:
    """Give the content of the file: an uncompressed archive of arrays, each with a checksum."""
    sink = io.BytesIO()
    np.savez(
        sink,
        format=np.int64(_FORMAT),
        fingerprint=np.str_(fingerprint),
        face_ids=face_ids,
        neighbours=lists.neighbours,
        similarities=lists.similarities,
    )
    return sink.getvalue()


def read_lists(path: Path, fingerprint: str) -> tuple[np.ndarray, Lists] | None:
    """Read (face_ids, their lists); None where the file is missing, damaged, or about another model."""
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file) as stored:
            if int(stored["format"]) != _FORMAT or str(stored["fingerprint"]) != fingerprint:
                return None
            face_ids = stored["face_ids"]
            lists = Lists(stored["neighbours"], stored["similarities"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    shape = (len(face_ids), LENGTH)
    whole = lists.neighbours.shape == lists.similarities.shape == shape
    inside = whole and ((lists.neighbours >= -1) & (lists.neighbours < len(face_ids))).all()
    return (face_ids, lists) if inside else None


def _places(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Find where each face of ``before`` stands in ``now``: int64, -1 where it is gone."""
    order = np.argsort(now)
    places = np.minimum(np.searchsorted(now, before, sorter=order), max(len(now) - 1, 0))
    if not len(now):
        return np.full(len(before), -1, np.int64)
    found = order[places]
    return np.where(now[found] == before, found, -1)
