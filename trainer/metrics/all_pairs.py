"""Verification over every pair of a folder, tile by tile: 45 million pairs without 45 million numbers.

All genuine pairs are kept, because they are few. Of the impostor pairs only those are kept that can
still decide a threshold: for a FAR of 1e-3 the largest thousandth, found by partial selection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.metrics.verification import TarAtFar, allowed_impostors, share_at_or_above, thresholds_at_far

# Bins of the histogram behind the area under the curve: 3e-5 of cosine each.
_BINS = 1 << 16
# Candidates gathered before a partial selection: as many again as are wanted, and at least this many.
_SPARE = 1 << 18
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class AllPairs:
    """What all pairs of N faces say: N (N - 1) / 2 = ``genuine_pairs`` + ``impostor_pairs``."""

    genuine_pairs: int
    impostor_pairs: int
    tar_at_far: TarAtFar  # exact
    auc: float  # pairs that share one of the histogram's bins count half: right to about 1e-5


def all_pairs_verification(
    embeddings: NDArray[np.floating], labels: ArrayLike, fars: Sequence[float], *, tile_rows: int = 512
) -> AllPairs:
    """Measure TAR at FAR, and the area under the ROC curve, over every pair of faces.

    Memory: tiles of ``tile_rows`` squared, one float for each genuine pair and for each impostor that
    the largest FAR lets in.

    Args:
        embeddings: float (N, D), unit rows; compared in float32.
        labels: int (N,), the person of each row.
        fars: shares in [0, 1]; thresholds and ties as in ``thresholds_at_far``.
        tile_rows: rows that are compared with as many others at a time.
    Raises:
        ValueError: if a row is not of unit length, labels do not fit, or there is no genuine or no impostor pair.
    """
    people = np.asarray(labels)
    rows = _checked_rows(embeddings, people)
    if tile_rows < 1:
        raise ValueError(f"tile_rows is {tile_rows}: at least one row is needed")
    order = np.argsort(people, kind="stable")
    rows, people = rows[order], people[order]
    sizes = np.unique(people, return_counts=True)[1].astype(np.int64)
    genuine_pairs = int((sizes * (sizes - 1) // 2).sum())
    impostor_pairs = len(rows) * (len(rows) - 1) // 2 - genuine_pairs
    if not impostor_pairs:
        raise ValueError(f"labels holds only person {people[0]}: there is no pair of two people")
    if not genuine_pairs:
        raise ValueError(f"labels holds {len(sizes)} people with one face each: there is no pair of one person")
    wanted = max((min(allowed_impostors(far, impostor_pairs) + 1, impostor_pairs) for far in fars), default=1)
    genuine, largest, histogram = _sweep(rows, people, wanted, tile_rows)
    thresholds = thresholds_at_far(largest, fars, total=impostor_pairs)
    let_in = np.array([np.count_nonzero(largest >= threshold) for threshold in thresholds], dtype=np.float64)
    found = TarAtFar(
        requested_far=np.array(fars, dtype=np.float64),
        far=let_in / impostor_pairs,
        tar=share_at_or_above(genuine, thresholds),
        thresholds=thresholds,
    )
    return AllPairs(genuine_pairs, impostor_pairs, found, _area_from_histograms(_histogram(genuine), histogram))


def _sweep(
    rows: NDArray[np.float32], people: NDArray[np.int64], wanted: int, tile_rows: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Give (all genuine similarities, the ``wanted`` largest impostors, the histogram of all impostors)."""
    genuine: list[NDArray[np.float32]] = []
    candidates: list[NDArray[np.float32]] = []
    histogram = np.zeros(_BINS, dtype=np.int64)
    floor, gathered = np.float32(-np.inf), 0
    for same, different in _tiles(rows, people, tile_rows):
        genuine.append(same)
        histogram += _histogram(different)
        candidates.append(different[different > floor])
        gathered += len(candidates[-1])
        if gathered >= wanted + max(wanted, _SPARE):
            candidates = [_largest(np.concatenate(candidates), wanted)]
            floor, gathered = candidates[0].min(), wanted
    return np.concatenate(genuine), _largest(np.concatenate(candidates), wanted), histogram


def _tiles(
    rows: NDArray[np.float32], people: NDArray[np.int64], tile_rows: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield (genuine, impostor) similarities of every pair once; ``people`` is sorted."""
    nothing = np.empty(0, dtype=np.float32)
    for top in range(0, len(rows), tile_rows):
        upper = slice(top, top + tile_rows)
        for left in range(top, len(rows), tile_rows):
            other = slice(left, left + tile_rows)
            tile = rows[upper] @ rows[other].T
            if people[upper][-1] < people[other][0]:
                yield nothing, tile.ravel()
                continue
            same = people[upper][:, None] == people[other][None, :]
            once = np.triu(np.ones(tile.shape, dtype=np.bool_), k=1) if left == top else np.bool_(True)
            yield tile[same & once], tile[~same & once]


def _largest(similarities: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    if len(similarities) <= count:
        return similarities
    return np.partition(similarities, len(similarities) - count)[-count:]


def _histogram(similarities: NDArray[np.float32]) -> NDArray[np.int64]:
    bins = ((similarities + 1) * (_BINS / 2)).astype(np.int32)
    return np.bincount(np.clip(bins, 0, _BINS - 1, out=bins), minlength=_BINS)


def _area_from_histograms(genuine: NDArray[np.int64], impostors: NDArray[np.int64]) -> float:
    """Give the chance that a genuine pair lies in a higher bin than an impostor; the same bin counts half."""
    lower = np.cumsum(impostors) - impostors
    wins = np.sum(genuine * (lower + impostors / 2))
    return float(wins / (genuine.sum() * float(impostors.sum())))


def _checked_rows(embeddings: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    if embeddings.ndim != 2:
        raise ValueError(f"embeddings has shape {embeddings.shape}, not (N, D)")
    if labels.shape != embeddings.shape[:1]:
        raise ValueError(f"labels has shape {labels.shape}, but embeddings has {len(embeddings)} rows")
    if len(embeddings) < 2:
        raise ValueError(f"embeddings has {len(embeddings)} rows: a pair needs two")
    rows = np.asarray(embeddings, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1)
    off = np.flatnonzero(~(np.abs(lengths - 1) <= _UNIT_TOLERANCE))
    if len(off):
        raise ValueError(f"embeddings[{off[0]}] has length {lengths[off[0]]:.4f}, not 1: divide each row by its norm")
    return rows
