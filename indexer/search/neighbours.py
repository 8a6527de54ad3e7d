"""The most similar faces of every face, for grouping: exactly in a small archive, cell by cell in a large one.

In a large archive a face is compared with the faces of the cells nearest to it. Faces are taken in the order of
their cells, so that a few thousand of them share their cells, and each cell is compared with all of them that want
it by one product of matrices. Compared to searching an index one query at a time that is five times as fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from indexer.search import faiss_calls
from indexer.search.exact import (
    Embeddings,
    FullRows,
    Rows,
    checked_blocks,
    choose_gpus,
    rows_on_gpus,
    sample_rows,
    unit_rows,
)
from indexer.search.faiss_calls import BestRows, Floats, Ints

EXACT_NEIGHBOURS = 50_000
"""Up to so many faces every face is compared with every other: 11 CPU seconds at this number, in cells 2."""
PROBES = 12
"""Cells, of 4 √N, in which a face's neighbours are looked for. At a million synthetic faces that finds .979 of the
pairs above .5 that are in the exact lists of 65, from one side or the other; 8 cells find .974."""
_QUERIES = 65_536  # faces in a block: enough for every cell to be asked by a hundred of them
_EXACT_QUERIES = 4096
_SAMPLE_PER_CELL = 32


class Neighbours(NamedTuple):
    """The most similar faces of some faces."""

    rows: Ints  # (B,) which faces; over all blocks each face once
    similarities: Floats  # (B, k), best first; −1 where there is no neighbour
    neighbours: Ints  # (B, k) rows; the face itself is among them; −1 where there is none


def neighbour_blocks(
    embeddings: Embeddings,
    k: int,
    *,
    device: str = "auto",
    exact_up_to: int = EXACT_NEIGHBOURS,
    probes: int = PROBES,
    seed: int = 0,
) -> Iterator[Neighbours]:
    """Yield the k most similar faces of every face, a block of faces at a time, in no order that means anything.

    Args:
        embeddings: (N, D), float32 or float16 unit rows.
        k: at least 1; a face counts among its own neighbours.
        device: "cpu", "cuda" (all GPUs that FAISS sees), "cuda:N", or "auto": GPUs for more than ``exact_up_to`` faces.
            On GPUs every face is compared with every other.
        exact_up_to: faces that are compared one and all; of more, most of the neighbours are found.
        probes: see ``PROBES``.
        seed: of the cells.
    Raises:
        ValueError: if a row is not a number.
        embedder.device.DeviceError: if a GPU is asked for that is not there.
    """
    few = len(embeddings) <= max(exact_up_to, 1)
    if gpus := choose_gpus("cpu" if device == "auto" and few else device):
        yield from _exactly(embeddings, rows_on_gpus(embeddings, gpus, float16=False), k)
    elif few:
        yield from _exactly(embeddings, FullRows(embeddings), k)
    else:
        yield from _by_cells(embeddings, k, probes, seed)


def _exactly(embeddings: Embeddings, rows: Rows, k: int) -> Iterator[Neighbours]:
    for start in range(0, len(embeddings), _EXACT_QUERIES):
        queries = unit_rows(embeddings[start : start + _EXACT_QUERIES])
        yield Neighbours(np.arange(start, start + len(queries)), *_full(*rows.nearest(queries, k)))


def _by_cells(embeddings: Embeddings, k: int, probes: int, seed: int) -> Iterator[Neighbours]:
    cells = min(int(4 * len(embeddings) ** 0.5), len(embeddings))
    sample = sample_rows(embeddings, _SAMPLE_PER_CELL * cells, seed)
    centroids = _in_order(faiss_calls.train_centroids(sample, cells, seed=seed), seed)
    wanted = _nearest_cells(embeddings, centroids, min(probes, cells))
    order = np.argsort(wanted[:, 0], kind="stable")
    starts = np.searchsorted(wanted[order, 0], np.arange(cells + 1))
    sorted_rows = embeddings[order]
    for first in range(0, len(order), _QUERIES):
        rows = order[first : first + _QUERIES]
        best = BestRows(len(rows), k)
        queries = unit_rows(sorted_rows[first : first + _QUERIES])
        for cell, asking in _by_cell(wanted[rows]):
            members = slice(starts[cell], starts[cell + 1])
            similarities = queries[asking] @ unit_rows(sorted_rows[members]).T
            best.offer(asking, similarities, order[members])
        yield Neighbours(rows, *_full(*best.finish()))


def _in_order(centroids: Floats, seed: int) -> Floats:
    """Order centroids so that those that follow each other are near each other."""
    regions = faiss_calls.train_centroids(centroids, max(1, int(len(centroids) ** 0.5)), seed=seed)
    regions = regions[np.argsort(regions @ regions[0], kind="stable")]
    return centroids[np.argsort(faiss_calls.nearest(regions, centroids, 1)[1][:, 0], kind="stable")]


def _nearest_cells(embeddings: Embeddings, centroids: Floats, probes: int) -> np.ndarray:
    """Give the cells nearest to each face, best first: int32 (N, probes)."""
    cells = np.empty((len(embeddings), probes), np.int32)
    for start, rows in checked_blocks(embeddings):
        cells[start : start + len(rows)] = faiss_calls.nearest(centroids, rows, probes)[1]
    return cells


def _by_cell(wanted: np.ndarray) -> Iterator[tuple[int, Ints]]:
    """Yield (cell, the queries that want it) of cells (B, probes)."""
    flat = wanted.ravel()
    order = np.argsort(flat, kind="stable")
    ends = np.flatnonzero(np.diff(flat[order], append=-1)) + 1
    for start, end in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
        yield int(flat[order[start]]), order[start:end] // wanted.shape[1]


def _full(similarities: Floats, rows: Ints) -> tuple[Floats, Ints]:
    """Let the similarity of nobody be −1."""
    return np.where(rows >= 0, similarities, np.float32(-1)), rows
