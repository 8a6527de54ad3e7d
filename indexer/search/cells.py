"""The base of a large index: faces in cells, as codes that are searched fast and give candidates.

It keeps no embedding, and so stays small: 40 bytes a face of 128 numbers. Candidates are compared exactly
with the album's own embeddings, which may be in memory or in a file that is mapped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from indexer.search.exact import Embeddings, FullRows, StoredRows, checked_blocks, sample_rows, unit_rows
from indexer.search.faiss_calls import Codes, Floats, Ints, make_codes, train_centroids
from indexer.search.tuning import Question, Tuning, choose_probes, tuning_sample

_SAMPLE_PER_CELL = 48  # faces that k-means looks at
_AT_ONCE = 4_000_000  # numbers compared in one go: 16 MB of float32


@dataclass(frozen=True)
class Base:
    """Faces in cells.

    Attributes:
        codes: of B faces.
        face_ids: int64 (B,), whose codes they are.
        tuning: how it is searched, and how well that does.
    """

    codes: Codes
    face_ids: Ints
    tuning: Tuning


def cell_count(faces: int) -> int:
    """Give the number of cells for so many faces: 2 √N, measured between 1 √N and 4 √N at a million."""
    return max(1, int(2 * faces**0.5))


def build_base(embeddings: Embeddings, face_ids: Ints, labels: Ints | None, *, floor: float, seed: int = 0) -> Base:
    """Sort faces into cells, and choose how many of them are searched.

    Args:
        embeddings: (N, D), N >= 16, float16 or float32, unit rows.
        face_ids: (N,).
        labels, floor: see ``indexer.search.tuning.identity_agreement``.
    Raises:
        ValueError: if a row is not a number.
    """
    cells = cell_count(len(embeddings))
    sample = sample_rows(embeddings, _SAMPLE_PER_CELL * cells, seed)
    codes = make_codes(train_centroids(sample, cells, seed=seed), np.random.default_rng(seed).permutation(sample))
    for _, rows in checked_blocks(embeddings):
        codes.add(rows)
    asked = tuning_sample(len(embeddings), seed)
    queries = unit_rows(embeddings[asked])
    in_memory = isinstance(embeddings, np.ndarray) and embeddings.dtype == np.float32
    exact = (FullRows(embeddings) if in_memory else StoredRows(embeddings)).nearest(queries, 2)

    def search(probes: int, candidates: int) -> tuple[Floats, Ints]:
        found = codes.candidates(queries, max(2, min(candidates, len(codes))), probes, None)
        return compare_candidates(embeddings, queries, found, 2)

    question = Question(asked, exact, labels, floor, faces=len(embeddings))
    return Base(codes, face_ids, choose_probes(search, question, cells))


def extend_base(base: Base, embeddings: Embeddings, face_ids: Ints) -> Base:
    """Sort more faces, (M, D) and (M,), into the cells that are there. ``base`` must not be used any more.

    Raises:
        ValueError: if a row is not a number.
    """
    for _, rows in checked_blocks(embeddings):
        base.codes.add(rows)
    return replace(base, face_ids=np.concatenate([base.face_ids, face_ids]))


def compare_candidates(embeddings: Embeddings, queries: Floats, rows: Ints, k: int) -> tuple[Floats, Ints]:
    """Compare queries (Q, D) exactly with the rows (Q, C) that each was given, and keep the k best.

    Returns:
        (similarities (Q, k), rows (Q, k)), best first; -1 where a query has fewer than k candidates.
    """
    similarities = np.full((len(queries), k), -1, np.float32)
    best = np.full((len(queries), k), -1, np.int64)
    kept = min(k, rows.shape[1])
    step = max(1, _AT_ONCE // max(1, rows.shape[1] * queries.shape[1]))
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        some = rows[block]
        compared = unit_rows(embeddings[some.ravel()]).reshape(*some.shape, -1)
        values = np.matmul(compared, queries[block, :, None])[:, :, 0]
        values[some < 0] = -np.inf
        order = np.argsort(-values, axis=1, kind="stable")[:, :kept]
        best[block, :kept] = np.take_along_axis(some, order, axis=1)
        similarities[block, :kept] = np.take_along_axis(values, order, axis=1)
    similarities[best < 0] = -1
    return similarities, best
