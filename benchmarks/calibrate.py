"""Measure real embeddings, so that ``benchmarks.synthetic`` can make some that are alike.

``python -m benchmarks.likeness`` runs this, writes the calibration, and shows how alike they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.synthetic import QUANTILE_LEVELS, Calibration, face_blocks_of_sizes

# Photos with 1, 2, 3, … annotated faces of 40 pixels or more, in our 300 photos of WIDER FACE (train).
WIDER_PHOTOS = (80, 101, 20, 19, 13, 11, 4, 4, 2, 2, 1, 2, 4, 0, 1)
# How faces scatter around their person is learnt from people with at least this many of them.
_MANY_FACES = 8
# Where pairs are counted no more faces of a person are taken, lest one person decide.
_FACES_ENOUGH = 20
# Departures of two faces that correlate more than this were not drawn apart (at 100 dimensions: 3.5 sigma).
_SAME_OCCASION = 0.35
# Share of the generator's doubles whose first faces are as alike as nine in ten pairs of one person.
_DOUBLES_SEEN = 0.82
# What is tried for the looks that people share.
_LOOKS = (250, 500, 1000, 2000, 4000)
_LOOK_SHARES = (0.2, 0.3, 0.4, 0.5, 0.6)
_TAIL_FARS = (1e-3, 1e-4, 1e-5)


def calibrate(
    embeddings: NDArray[np.float32], labels: ArrayLike, *, photos_by_faces: Sequence[float] = WIDER_PHOTOS
) -> Calibration:
    """Measure what ``Calibration`` holds.

    Args:
        embeddings: float (N, D), unit rows.
        labels: int (N,), the person of each row.
        photos_by_faces: numbers of photos with 1, 2, 3, … faces, in any unit.
    Raises:
        ValueError: if labels do not fit, or fewer than ten people have eight faces or more.
    """
    rows = np.asarray(embeddings, dtype=np.float64)
    _, person, sizes = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    if len(person) != len(rows):
        raise ValueError(f"labels holds {len(person)} people, but embeddings has {len(rows)} rows")
    many = [rows[person == p] for p in np.flatnonzero(sizes >= _MANY_FACES)]
    if len(many) < 10:
        raise ValueError(f"only {len(many)} people have {_MANY_FACES} faces or more: ten are needed to calibrate on")
    mean, between_std, within_std = _spectra(rows, person, sizes)
    cosines = [_cosines_to_person(faces @ faces.T) for faces in many]
    quantiles, spread = _radii(cosines)
    few = [faces[:_FACES_ENOUGH] for faces in many]
    chance, share = _occasions(few, [g[:_FACES_ENOUGH] for g in cosines])
    first = np.unique(person, return_index=True)[1]
    genuine = np.concatenate([_upper(faces @ faces.T) for faces in few])
    base = Calibration(
        mean=tuple(mean),
        between_std=tuple(between_std),
        within_std=tuple(within_std),
        radius_quantiles=tuple(quantiles),
        radius_spread=spread,
        looks=1,
        look_share=0.0,
        double_share=_double_share(rows[first], genuine),
        occasion_chance=chance,
        occasion_share=share,
        size_exponent=_zipf_exponent(sizes),
        largest_size=int(sizes.max()),
        faces_per_photo=tuple(np.asarray(photos_by_faces, dtype=np.float64) / np.sum(photos_by_faces)),
    )
    return _with_looks(base, rows[first].astype(np.float32))


def _spectra(
    rows: NDArray[np.float64], person: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give (mean, between std, within std) along the principal axes of the between-person covariance.

    Each person counts once for the mean and for the covariance of all faces; what faces of one person
    differ by (n - 1 degrees of freedom) is taken off that.
    """
    means = np.zeros((len(sizes), rows.shape[1]))
    np.add.at(means, person, rows)
    means /= sizes[:, None]
    residuals = rows - means[person]
    within = residuals.T @ residuals / np.sum(sizes - 1)
    centred = rows - means.mean(axis=0)
    total = (centred / sizes[person][:, None]).T @ centred / len(sizes)
    variances, axes = np.linalg.eigh(total - within)
    along = np.einsum("ij,ik,kj->j", axes, within, axes)
    return means.mean(axis=0) @ axes, np.sqrt(np.maximum(variances, 0)), np.sqrt(along)


def _cosines_to_person(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the cosine g of each face to its person from s_ij = g_i g_j (departures of two faces are independent)."""
    sums = similarity.sum(axis=1) - np.diag(similarity)
    cosines = np.full(len(sums), np.sqrt(max(sums.mean() / (len(sums) - 1), 1e-6)))
    for _ in range(100):
        cosines = np.clip(sums / (cosines.sum() - cosines), 1e-2, 0.999)
    return cosines


def _radii(cosines: list[NDArray[np.float64]]) -> tuple[NDArray[np.float64], float]:
    """Split log radii into each person's median and the faces' rest: (quantiles of the rest, std of the medians)."""
    logs = [np.log(np.sqrt(1 - g**2) / g) for g in cosines]
    medians = np.array([np.median(x) for x in logs])
    rest = np.concatenate([x - np.median(x) for x in logs])
    # A median of n normal draws has pi / 2 of the variance of their mean.
    noise = np.mean([np.pi / 2 * rest.var() / len(x) for x in logs])
    quantiles = np.exp(np.median(medians) + np.quantile(rest, QUANTILE_LEVELS))
    return quantiles, float(np.sqrt(max(medians.var(ddof=1) - noise, 0)))


def _occasions(faces: list[NDArray[np.float64]], cosines: list[NDArray[np.float64]]) -> tuple[float, float]:
    """Give (chance that a face is of the occasion of the one before, share of variance that they have in common)."""
    alike: list[NDArray[np.floating]] = []
    neighbours = 0
    for rows, g in zip(faces, cosines, strict=True):
        common = (rows @ rows.T - np.outer(g, g)) / np.sqrt(np.outer(1 - g**2, 1 - g**2))
        pairs = _upper(common)
        alike.append(pairs[pairs > _SAME_OCCASION])
        neighbours += len(rows) - 1
    # Runs of a chance c have c / (1 - c) pairs for each pair of neighbours.
    shared = np.concatenate(alike)
    share = float(np.clip(shared.mean(), 0, 0.99)) if len(shared) else 0.0
    return len(shared) / (len(shared) + neighbours), share


def _double_share(one_each: NDArray[np.float64], genuine: NDArray[np.float64]) -> float:
    """Count the pairs of people that are as alike as nine in ten pairs of one person, for each person."""
    pairs = _upper(one_each @ one_each.T)
    return float(np.count_nonzero(pairs >= np.quantile(genuine, 0.1)) / _DOUBLES_SEEN / len(one_each))


def _zipf_exponent(sizes: NDArray[np.int64]) -> float:
    """Find the exponent of Zipf's law, cut off at the largest size, that makes these sizes most likely."""
    log_sizes = np.log(np.arange(1, sizes.max() + 1))
    exponents = np.arange(0, 6, 0.005)
    normaliser = np.log(np.exp(-np.outer(exponents, log_sizes)).sum(axis=1))
    return float(exponents[np.argmin(exponents * np.log(sizes).mean() + normaliser)])


def _with_looks(base: Calibration, one_each: NDArray[np.float32]) -> Calibration:
    """Try numbers of looks and their shares, and keep those with strangers as alike as the real ones, one face each."""
    wanted = _stranger_thresholds(one_each)
    best, least = base, np.inf
    for looks in _LOOKS:
        for share in _LOOK_SHARES:
            tried = replace(base, looks=looks, look_share=share)
            blocks = face_blocks_of_sizes(tried, np.ones(len(one_each), dtype=np.int64), seed=0)
            found = _stranger_thresholds(np.concatenate([block.embeddings for block in blocks]))
            error = float(np.sum((found - wanted) ** 2))
            if error < least:
                best, least = tried, error
    return best


def _stranger_thresholds(one_each: NDArray[np.float32]) -> NDArray[np.float64]:
    pairs = _upper(one_each @ one_each.T)
    ranks = [len(pairs) - 1 - int(far * len(pairs)) for far in _TAIL_FARS]
    return np.partition(pairs, ranks)[ranks].astype(np.float64)


def _upper(matrix: NDArray[np.floating]) -> NDArray[np.floating]:
    return matrix[np.triu_indices(len(matrix), k=1)]
