"""The FAISS index of an album's faces: a cache of the shards that answers nearest-neighbour questions.

This module is the only one that calls FAISS. Similarity is the inner product of unit rows: a cosine.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

FORMAT = 1
_INDEX, _MANIFEST = "faces.faiss", "faces.json"
_BLOCK = 4096  # queries in one call: bounds the memory of the answers


@dataclass(frozen=True)
class Contents:
    """What an index holds, to see whether it is still that of the album.

    Attributes:
        fingerprint: of the model.
        faces: digest of the face_ids, in their order.
    """

    fingerprint: str
    faces: str


class FaceIndex:
    """Exact search over N faces; rows are numbered as the faces were given."""

    def __init__(self, index: faiss.Index) -> None:
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the k most similar faces of each query.

        Args:
            embeddings: float32 (Q, D), unit rows.
            k: at least 1.
        Returns:
            (similarities float32 (Q, k), rows int64 (Q, k)), best first; row −1 and similarity −1
            where the index has fewer than k faces.
        Raises:
            ValueError: if an embedding is not a number, which no search could answer.
        """
        if not np.isfinite(embeddings).all():
            raise ValueError("a query embedding holds values that are not numbers")
        similarities = np.full((len(embeddings), k), -1, np.float32)
        rows = np.full((len(embeddings), k), -1, np.int64)
        for start in range(0, len(embeddings), _BLOCK):
            block = slice(start, start + _BLOCK)
            found, numbers = self._index.search(np.ascontiguousarray(embeddings[block], np.float32), k)
            there = numbers >= 0
            similarities[block][there], rows[block][there] = found[there], numbers[there]
        return similarities, rows


def build_index(embeddings: np.ndarray) -> FaceIndex:
    """Index the rows of ``embeddings``, float (N, D), unit rows.

    Raises:
        ValueError: if a row is not a number; it would poison every search.
    """
    bad = np.flatnonzero(~np.isfinite(embeddings.astype(np.float32)).all(axis=1))
    if len(bad):
        raise ValueError(
            f"embedding {bad[0]} and {len(bad) - 1} more are not numbers: `visavis verify` finds the shard"
        )
    index = faiss.IndexFlatIP(embeddings.shape[1])
    for start in range(0, len(embeddings), _BLOCK * 16):
        index.add(np.ascontiguousarray(embeddings[start : start + _BLOCK * 16], np.float32))
    return FaceIndex(index)


def contents(fingerprint: str, face_ids: np.ndarray) -> Contents:
    """Describe an index over ``face_ids``, int64 (N,)."""
    return Contents(fingerprint, hashlib.sha256(np.ascontiguousarray(face_ids, np.int64).tobytes()).hexdigest())


def save_index(index: FaceIndex, about: Contents) -> dict[str, bytes]:
    """Give the files of an index, by name; the caller writes them."""
    body = faiss.serialize_index(index._index).tobytes()
    manifest = {
        "format": FORMAT,
        "fingerprint": about.fingerprint,
        "faces": about.faces,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    return {_INDEX: body, _MANIFEST: (json.dumps(manifest, indent=1) + "\n").encode()}


def load_index(folder: Path, about: Contents) -> FaceIndex | None:
    """Read the index in ``folder`` if it is whole and holds ``about``; None if it has to be built anew."""
    manifest = _read_manifest(folder)
    expected = {"format": FORMAT, "fingerprint": about.fingerprint, "faces": about.faces}
    if any(manifest.get(key) != value for key, value in expected.items()):
        return None
    body = _read_body(folder)
    # FAISS trusts what it reads: nothing but our own bytes may reach it.
    if hashlib.sha256(body).hexdigest() != manifest.get("sha256"):
        return None
    return FaceIndex(faiss.deserialize_index(np.frombuffer(body, np.uint8)))


def check_index(folder: Path) -> list[str]:
    """Compare the index file with its checksum; no index at all is no problem, it is only a cache."""
    if not (folder / _MANIFEST).exists():
        return []
    if hashlib.sha256(_read_body(folder)).hexdigest() != _read_manifest(folder).get("sha256"):
        return [f"{folder / _INDEX} is not what was written: it is built anew when needed"]
    return []


def _read_manifest(folder: Path) -> dict[str, object]:
    """Read the manifest; one that is missing or damaged is an empty one, which fits no index."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _read_body(folder: Path) -> bytes:
    try:
        return (folder / _INDEX).read_bytes()
    except OSError:
        return b""
