"""Same person or not: ROC, accuracy by folds, and the true accept rate at a given false accept rate.

A pair is called "same" when its similarity is at or above the threshold. ``same`` marks the
genuine pairs (one person); the other pairs are impostors (two people).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A FAR times a number of pairs may fall just short of a whole number (.29 * 100 = 28.999…).
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Roc:
    """Shares accepted at each threshold: first ``inf`` (nothing accepted), then each distinct similarity, falling."""

    thresholds: NDArray[np.float64]  # (T,)
    far: NDArray[np.float64]  # (T,) share of impostor pairs at or above the threshold, rising from 0 to 1
    tar: NDArray[np.float64]  # (T,) share of genuine pairs at or above the threshold, rising from 0 to 1


@dataclass(frozen=True)
class FoldAccuracy:
    """Accuracy of each fold at the threshold that was best on all the other folds; folds in rising order."""

    accuracies: NDArray[np.float64]  # (F,)
    thresholds: NDArray[np.float64]  # (F,)

    @property
    def mean(self) -> float:
        """Mean accuracy over folds."""
        return float(self.accuracies.mean())

    @property
    def std(self) -> float:
        """Sample standard deviation over folds; LFW's standard error of the mean is this / sqrt(F)."""
        return float(self.accuracies.std(ddof=1))


@dataclass(frozen=True)
class TarAtFar:
    """True accept rates at the requested false accept rates, in the order of the request."""

    requested_far: NDArray[np.float64]  # (K,)
    far: NDArray[np.float64]  # (K,) what the threshold really lets in, at most what was requested
    tar: NDArray[np.float64]  # (K,)
    thresholds: NDArray[np.float64]  # (K,)


def roc_curve(similarities: ArrayLike, same: ArrayLike) -> Roc:
    """Sweep the threshold over every distinct similarity.

    Args:
        similarities: float (N,), high = same person.
        same: bool (N,), True for a genuine pair.
    Raises:
        ValueError: if the shapes differ, a similarity is not a number, or one of the two kinds is missing.
    """
    scores, genuine = _checked_pairs(similarities, same)
    order = np.argsort(-scores, kind="stable")
    scores, genuine = scores[order], genuine[order]
    last_of_value = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    accepted_genuine = np.cumsum(genuine)[last_of_value]
    accepted_impostors = last_of_value + 1 - accepted_genuine
    return Roc(
        thresholds=np.append(np.inf, scores[last_of_value].astype(np.float64)),
        far=np.append(0.0, accepted_impostors / accepted_impostors[-1]),
        tar=np.append(0.0, accepted_genuine / accepted_genuine[-1]),
    )


def area_under(roc: Roc) -> float:
    """Give the area under the curve by trapezoids: the chance that a genuine pair beats an impostor, ties half."""
    return float(np.sum(np.diff(roc.far) * (roc.tar[1:] + roc.tar[:-1]) / 2))


def best_threshold(similarities: ArrayLike, same: ArrayLike) -> float:
    """Find the threshold of the highest accuracy.

    Candidates are -inf, inf and the midpoints between neighbouring distinct similarities; of several
    equally good ones the middle one of their list is taken (the lower of two).

    Raises:
        ValueError: as ``roc_curve``, but one of the two kinds may be missing.
    """
    scores, genuine = _checked_pairs(similarities, same, both_kinds=False)
    order = np.argsort(scores, kind="stable")
    scores, genuine = scores[order].astype(np.float64), genuine[order]
    starts = np.flatnonzero(np.diff(scores)) + 1  # the candidate before row ``start`` refuses the rows before it
    refused = np.concatenate([[0], starts, [len(scores)]])
    genuine_before = np.append(0, np.cumsum(genuine))
    right = (genuine_before[-1] - genuine_before[refused]) + (refused - genuine_before[refused])
    best = np.flatnonzero(right == right.max())
    middle = (scores[starts - 1] + scores[starts]) / 2
    middle = np.where(middle > scores[starts - 1], middle, scores[starts])  # neighbouring floats have none between
    candidates = np.concatenate([[-np.inf], middle, [np.inf]])
    return float(candidates[best[(len(best) - 1) // 2]])


def accuracy_by_fold(similarities: ArrayLike, same: ArrayLike, folds: ArrayLike) -> FoldAccuracy:
    """Measure accuracy on each fold with the threshold that is best on the others (LFW, Huang et al. 2007).

    Args:
        similarities: float (N,).
        same: bool (N,).
        folds: int (N,), the fold of each pair; any numbers, at least two of them. LFW's View 2 has ten;
            for a list of one fold take ``interleaved_halves``.
    Raises:
        ValueError: if shapes differ, a similarity is not a number, or there is only one fold.
    """
    scores, genuine = _checked_pairs(similarities, same, both_kinds=False)
    fold_of = np.asarray(folds)
    if fold_of.shape != scores.shape:
        raise ValueError(f"folds has shape {fold_of.shape}, but similarities has shape {scores.shape}")
    names = np.unique(fold_of)
    if len(names) < 2:
        raise ValueError(f"folds holds only fold {names[0]}: the threshold needs another fold to be chosen on")
    accuracies, thresholds = [], []
    for name in names:
        held_out = fold_of == name
        threshold = best_threshold(scores[~held_out], genuine[~held_out])
        called_same = scores[held_out].astype(np.float64) >= threshold
        accuracies.append(np.mean(called_same == genuine[held_out]))
        thresholds.append(threshold)
    return FoldAccuracy(np.array(accuracies), np.array(thresholds))


def interleaved_halves(same: ArrayLike) -> NDArray[np.int64]:
    """Cut one list of pairs into two folds: genuine pairs in turn 0, 1, 0, 1, …, and so the impostors.

    Args:
        same: bool (N,), in the order of the list.
    Returns:
        int64 (N,) of 0 and 1, for ``accuracy_by_fold``.
    """
    genuine = np.asarray(same, dtype=np.bool_)
    place = np.where(genuine, np.cumsum(genuine), np.cumsum(~genuine)) - 1
    return (place % 2).astype(np.int64)


def thresholds_at_far(impostors: ArrayLike, fars: Sequence[float], *, total: int | None = None) -> NDArray[np.float64]:
    """Give the smallest thresholds that let in at most the requested shares of impostors.

    With n impostors at most k = floor(FAR * n) may be at or above the threshold: it is the next
    floating point number (of the type of ``impostors``) above the (k+1)-th largest impostor. Ties go
    together: if the k-th and the (k+1)-th are equal, both are refused, and the share stays below FAR.

    Args:
        impostors: float (M,), similarities of impostors in any order.
        fars: shares, each in [0, 1].
        total: number of impostors, if ``impostors`` holds only the largest of them; default M.
    Returns:
        float64 (K,); -inf where every impostor may pass.
    Raises:
        ValueError: if there is no impostor, a similarity is not a number, a FAR is not in [0, 1], or
            ``impostors`` holds too few of the ``total`` to tell.
    """
    scores = _checked_scores(impostors, "impostors")
    count = len(scores) if total is None else total
    if count < max(len(scores), 1):
        raise ValueError(f"impostors holds {len(scores)} similarities of a total of {count}: at least one is needed")
    falling = np.sort(scores)[::-1]
    thresholds = []
    for far in fars:
        allowed = allowed_impostors(far, count)
        if allowed >= count:
            thresholds.append(-np.inf)
        elif allowed < len(falling):
            thresholds.append(float(np.nextafter(falling[allowed], falling.dtype.type(np.inf))))
        else:
            raise ValueError(f"FAR {far} needs the {allowed + 1} largest impostors, but only {len(falling)} are given")
    return np.array(thresholds, dtype=np.float64)


def allowed_impostors(far: float, total: int) -> int:
    """Count how many of ``total`` impostors a false accept rate lets in; ValueError if it is not in [0, 1]."""
    if not 0 <= far <= 1:
        raise ValueError(f"a false accept rate lies between 0 and 1, not {far}")
    return int(np.floor(far * total * (1 + _ROUNDING)))


def tar_at_far(genuine: ArrayLike, impostors: ArrayLike, fars: Sequence[float]) -> TarAtFar:
    """Measure the share of genuine pairs accepted where at most the given shares of impostors are.

    Args:
        genuine: float (G,), similarities of pairs of one person.
        impostors: float (M,), similarities of pairs of two people.
        fars: shares in [0, 1]. Below 1 / M no impostor may pass.
    Raises:
        ValueError: as ``thresholds_at_far``, or if there is no genuine pair.
    """
    accepted = _checked_scores(genuine, "genuine")
    refused = _checked_scores(impostors, "impostors")
    if not len(accepted):
        raise ValueError("genuine holds no pair")
    thresholds = thresholds_at_far(refused, fars)
    return TarAtFar(
        requested_far=np.array(fars, dtype=np.float64),
        far=share_at_or_above(refused, thresholds),
        tar=share_at_or_above(accepted, thresholds),
        thresholds=thresholds,
    )


def share_at_or_above(similarities: ArrayLike, thresholds: ArrayLike) -> NDArray[np.float64]:
    """Give, for each threshold (K,), the share of the similarities (N,) at or above it; ValueError if N is 0."""
    rising = np.sort(_checked_scores(similarities, "similarities").astype(np.float64))
    if not len(rising):
        raise ValueError("similarities is empty: no share of nothing")
    below = np.searchsorted(rising, np.asarray(thresholds, dtype=np.float64), side="left")
    return np.asarray((len(rising) - below) / len(rising), dtype=np.float64)


def _checked_scores(similarities: ArrayLike, name: str) -> NDArray[np.floating]:
    """Return a float (N,) array in its own precision (whole numbers as float64); ValueError if it is not one."""
    scores = np.asarray(similarities)
    if scores.ndim != 1:
        raise ValueError(f"{name} has shape {scores.shape}, not (N,)")
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(np.float64)
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ValueError(f"{name}[{row}] is {scores[row]}, not a finite number")
    return scores


def _checked_pairs(
    similarities: ArrayLike, same: ArrayLike, *, both_kinds: bool = True
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    scores = _checked_scores(similarities, "similarities")
    genuine = np.asarray(same, dtype=np.bool_)
    if genuine.shape != scores.shape:
        raise ValueError(f"same has shape {genuine.shape}, but similarities has shape {scores.shape}")
    if not len(scores):
        raise ValueError("similarities is empty: there is no pair to measure")
    if both_kinds and (genuine.all() or not genuine.any()):
        raise ValueError(f"same is {bool(genuine[0])} for all {len(scores)} pairs: both kinds are needed")
    return scores, genuine
