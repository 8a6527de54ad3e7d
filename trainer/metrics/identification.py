"""Who is this, where some of the people asked about are strangers: open-set identification.

A search names the most similar person of the gallery if that similarity is at or above a threshold.
Terms as in NIST's FRVT 1:N reports and in Phillips et al. 2011 (detection and identification rate).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.metrics.verification import share_at_or_above, thresholds_at_far


@dataclass(frozen=True)
class DetCurve:
    """Miss rate against false alarm rate, threshold falling: from no stranger named to all of them."""

    thresholds: NDArray[np.float64]  # (T,) just above each distinct similarity of a stranger; last -inf
    fpir: NDArray[np.float64]  # (T,) share of strangers that are named
    fnir: NDArray[np.float64]  # (T,) share of probes that do not get their right name


@dataclass(frozen=True)
class OpenSet:
    """Open-set figures; arrays are (K,), in the order of the requested rates.

    A probe is a face of a person in the gallery, a stranger a face of nobody in it.
    """

    rank1: float  # share of probes whose most similar person is the right one, at any similarity
    requested_fars: NDArray[np.float64]
    fpir: NDArray[np.float64]  # share of strangers named at the threshold, at most what was requested
    dir_at_far: NDArray[np.float64]  # share of probes with the right person on top and above the threshold
    thresholds: NDArray[np.float64]
    det: DetCurve
    probes: int
    strangers: int

    @property
    def fnir_at_fpir(self) -> NDArray[np.float64]:
        """Share of probes missed at the threshold: unnamed or named wrongly; with one candidate, 1 - DIR."""
        return 1 - self.dir_at_far


def open_set_identification(
    top_similarity: ArrayLike,
    top_is_right: ArrayLike,
    stranger_similarity: ArrayLike,
    fars: Sequence[float] = (0.001, 0.01, 0.1),
) -> OpenSet:
    """Measure how many known faces get their name where few strangers get one.

    The threshold of a rate is the smallest at which at most that share of strangers is named, as in
    ``thresholds_at_far``. A rate below 1 / S lets no stranger be named.

    Args:
        top_similarity: float (P,), similarity of each probe to the most similar person of the gallery.
        top_is_right: bool (P,), whether that person is the probe's.
        stranger_similarity: float (S,), similarity of each stranger to the most similar person.
        fars: shares of strangers that may be named.
    Raises:
        ValueError: if there is no probe or no stranger, shapes differ, a similarity is not finite, or a
            rate is not in [0, 1].
    """
    top, right = np.asarray(top_similarity, dtype=np.float64), np.asarray(top_is_right, dtype=np.bool_)
    strangers = np.asarray(stranger_similarity, dtype=np.float64)
    if top.shape != right.shape:
        raise ValueError(f"top_is_right has shape {right.shape}, but top_similarity has shape {top.shape}")
    if not top.size or not strangers.size:
        raise ValueError(
            f"open-set identification needs probes and strangers: there are {top.size} and {strangers.size}"
        )
    thresholds = thresholds_at_far(strangers, fars)
    every = np.append(np.nextafter(np.unique(strangers)[::-1], np.inf), -np.inf)
    return OpenSet(
        rank1=float(right.mean()),
        requested_fars=np.array(fars, dtype=np.float64),
        fpir=share_at_or_above(strangers, thresholds),
        dir_at_far=_named_rightly(top, right, thresholds),
        thresholds=thresholds,
        det=DetCurve(every, share_at_or_above(strangers, every), 1 - _named_rightly(top, right, every)),
        probes=len(top),
        strangers=len(strangers),
    )


def _named_rightly(
    top: NDArray[np.float64], right: NDArray[np.bool_], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give, for each threshold, the share of all probes that are right and at or above it."""
    if not right.any():
        return np.zeros(len(thresholds))
    return share_at_or_above(top[right], thresholds) * float(right.mean())
