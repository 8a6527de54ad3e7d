"""How often a stranger looks this much like somebody in the album: similarity, false alarm rate, threshold.

A stranger is a person who is not in the album; a false alarm is a stranger who would be given a name. The rate
grows with the number of people that a face is compared with, so that no similarity means the same everywhere.
What is known beforehand is a table fitted on lfw-dev. What the album itself shows, each of its people taken
for a stranger to the others, moves and stretches that: the more, the more people there are. Arrays in, arrays
out; opens no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from indexer.naming.calibration_tables import FACES, PEOPLE, RATES, TABLES, StrangerTable

Doubles = NDArray[np.float64]

# The album's own evidence. On albums drawn at random from lfw-dev the table alone is within a few per cent; on
# albums of people who resemble each other (400 neighbours of somebody) it names 2 to 4 times too many. Named
# people are not quite what strangers are: more of them are relatives. So their word is never the whole truth.
_ALBUM_SHARE = 0.7  # of its word in a large album
_PLACE_PEOPLE = 20  # of so many people it is worth half of that about where the middle of the strangers lies
_SPREAD_PEOPLE = 100  # of so many about how far they are spread
_BODY = 0.1  # quantiles from the middle to this rate are looked at: what lies beyond is relatives first of all
_MIN_BEYOND = 5  # people beyond a quantile for it to be looked at
_PAIRS = 500  # faces that share a photo with the person they are compared with: of so many half is believed
_SAME = 1e-5  # if so few strangers are as similar, the two are one person twice: a mirror, a poster, a collage

# A network without a table: from the middle of the strangers to their 1 % quantile, as a share of the way to 1.
# SFace has 0.14 to 0.22 and dlib's network 0.26 to 0.45; a larger share makes a higher threshold.
_UNKNOWN_WIDTH = 0.5
_UNKNOWN_SPREAD_PEOPLE = 20  # instead of _SPREAD_PEOPLE; the place is the album's own at once
_UNKNOWN_PEOPLE = 100  # with fewer there is a warning

_MIN_MARGIN = 0.15  # of the way from the middle of the strangers to their 1 % quantile

_STEPS = 512  # knots of a curve
_LEAST_KNOT = 1e-9
LEAST_RATE = 1e-6
"""Rarer strangers are not told apart: no album holds the evidence, and everybody may have a twin."""

_RATES = np.array(RATES)
_MIDDLE, _ONE_PERCENT = RATES.index(0.5), RATES.index(0.01)


@dataclass(frozen=True)
class AlbumImpostors:
    """Similarities in the album of faces and people that are known to be different.

    Attributes:
        best: (K,) similarity of a face to the most similar of the other people, its own left out.
        people: (K,) whose face that is.
        shared_photo: (M,) similarity of an unnamed face to a person who is named elsewhere in its photo.
    """

    best: Doubles
    people: NDArray[np.int64]
    shared_photo: Doubles


@dataclass(frozen=True)
class Calibration:
    """The false alarm curve of one album.

    Attributes:
        similarities: (K,) rising.
        rates: (K,) falling, share of strangers who are at least this similar to somebody of the album.
        min_margin: a face that is less than this nearer to one person than to the next is ambiguous.
        source: what the curve rests on, for people to read.
        warning: why it should not be trusted too far, or None.
    """

    similarities: Doubles
    rates: Doubles
    min_margin: float
    source: str
    warning: str | None

    def threshold(self, false_alarm: float) -> float:
        """Give the similarity that ``false_alarm``, in (0, 1), of all strangers reach; inf if none may be named.

        Raises:
            ValueError: if ``false_alarm`` is no share between 0 and 1.
        """
        if not 0 < false_alarm < 1:
            raise ValueError(f"the false alarm rate is {false_alarm}; it must lie between 0 and 1, as in 0.01")
        if not len(self.rates):
            return float("inf")
        return float(np.interp(-np.log(false_alarm), -np.log(self.rates), self.similarities))

    def false_alarm_rate(self, similarity: ArrayLike) -> Doubles:
        """Give the share of strangers that are at least this similar to somebody: from ``LEAST_RATE`` to 1.

        1 in N strangers is the inverse. The rate never rises with the similarity.
        """
        asked = np.asarray(similarity, np.float64)
        if not len(self.rates):
            return np.ones_like(asked)
        return np.maximum(np.exp(np.interp(asked, self.similarities, np.log(self.rates))), LEAST_RATE)

    def probability(self, similarity: ArrayLike) -> Doubles:
        """Give the probability that a stranger would be less similar than this: 1 - false alarm rate.

        It is no posterior: how often strangers turn up in an archive is not known to it. It lies in [0, 1] and
        never falls with the similarity.
        """
        return 1 - self.false_alarm_rate(similarity)


def calibrate(
    network: str,
    faces_per_person: NDArray[np.integer],
    album: AlbumImpostors,
    tables: Mapping[str, StrangerTable] = TABLES,
) -> Calibration:
    """Fit the false alarm curve of an album.

    Args:
        network: name of the network that made the embeddings.
        faces_per_person: (P,) faces of each person in the gallery.
        album: what the album itself shows; empty arrays if nothing.
        tables: what is known beforehand, by network.
    Returns:
        a curve; one that lets nobody be named where there is neither a table nor two people to judge by.
    Raises:
        ValueError: if a similarity is not a number.
    """
    if not (np.isfinite(album.best).all() and np.isfinite(album.shared_photo).all()):
        raise ValueError("a similarity of the album's impostors is not a number; `visavis verify` finds the shard")
    people, table = len(faces_per_person), tables.get(network)
    shown = _Shown.of(album)
    if people == 0 or (table is None and not shown.people):
        return Calibration(np.empty(0), np.empty(0), 0.0, "nothing", _warning(network, shown) if people else None)
    if table is None:
        before, now = (_shape(shown.middle, count) for count in (people - 1, people))
    else:
        before, now = (_quantiles(table, count, faces_per_person) for count in (people - 1, people))
    place, spread = _weights(shown.people, table is not None)
    similarities, rates = _curve(_moved(now, before, shown, place, spread))
    rates = _with_shared_photos(similarities, rates, album.shared_photo)
    known = f"{shown.people} people of the album" if shown.people else ""
    source = " and ".join(filter(None, [f"the table for {network}" if table else "", known]))
    curve = Calibration(similarities, rates, 0.0, source, None if table else _warning(network, shown))
    return replace(curve, min_margin=_MIN_MARGIN * (curve.threshold(0.01) - curve.threshold(0.5)))


def reached_by_half(network: str, people: int) -> float:
    """Give the similarity that half of all strangers reach with one of so many people; -1 for an unknown network."""
    table = TABLES.get(network)
    return -1.0 if table is None else float(_quantiles(table, people, np.ones(1, np.int64))[_MIDDLE])


@dataclass(frozen=True)
class _Shown:
    """What the album's people reach when taken for strangers: best similarities, falling, and the share of each."""

    best: Doubles
    shares: Doubles
    people: int

    @staticmethod
    def of(album: AlbumImpostors) -> _Shown:
        _, which, counts = np.unique(album.people, return_inverse=True, return_counts=True)
        order = np.argsort(-album.best, kind="stable")
        return _Shown(album.best[order], (1 / (counts[which] * max(len(counts), 1)))[order], len(counts))

    @property
    def middle(self) -> float:
        return float(self.quantiles(np.array([0.5]))[0])

    def quantiles(self, rates: Doubles) -> Doubles:
        """Give the similarities that these shares of the people reach."""
        return np.asarray(np.interp(rates, np.cumsum(self.shares) - self.shares / 2, self.best))


def _quantiles(table: StrangerTable, people: int, faces_per_person: NDArray[np.integer]) -> Doubles:
    """Read the table between its rows: similarities (R,) that ``RATES`` of the strangers reach, with P people."""
    best, logs = np.array(table.best), np.log(PEOPLE)
    asked = np.log(max(people, 1))
    row = np.array([np.interp(asked, logs, column) for column in best.T])
    if asked > logs[-1]:
        row = _of_more_people(row, people / PEOPLE[-1])
    faces, with_so_many = np.unique(np.maximum(faces_per_person, 1), return_counts=True)
    more = [np.interp(np.log2(faces), np.log2(FACES), column) for column in np.array(table.by_faces).T]
    return np.asarray(row + np.average(more, axis=1, weights=with_so_many))


def _of_more_people(quantiles: Doubles, times: float) -> Doubles:
    """Give quantiles for so many times as many people: whoever is like none of them is like none of each part.

    The chance of that is a power of what it is for one part, as if the parts were independent. The table's row for
    1,000 people follows from that for 500 to within 0.002 at rates from 0.9 to 0.01, for both networks. The tail is
    exponential.
    """
    rates = -np.expm1(np.log1p(-_RATES) / times)
    fall = (quantiles[-1] - quantiles[_ONE_PERCENT]) / np.log(RATES[_ONE_PERCENT] / RATES[-1])
    beyond = fall * np.maximum(np.log(RATES[-1] / rates), 0)
    return np.asarray(np.interp(-np.log(rates), -np.log(_RATES), quantiles) + beyond)


def _shape(middle: float, people: int) -> Doubles:
    """Give quantiles for a network without a table: the mean shape of the known ones around ``middle``."""
    known = np.array([_quantiles(table, people, np.ones(1, np.int64)) for table in TABLES.values()])
    width = known[:, _ONE_PERCENT] - known[:, _MIDDLE]
    shape = ((known - known[:, [_MIDDLE]]) / width[:, None]).mean(axis=0)
    return np.asarray(middle + (1 - middle) * _UNKNOWN_WIDTH * shape)


def _weights(people: int, has_table: bool) -> tuple[float, float]:
    """Say how far the album is believed about the place and about the spread of the strangers: 0 to 1 each."""
    if not has_table:
        return 1.0, people / (people + _UNKNOWN_SPREAD_PEOPLE)
    return _ALBUM_SHARE * people / (people + _PLACE_PEOPLE), _ALBUM_SHARE * people / (people + _SPREAD_PEOPLE)


def _moved(now: Doubles, before: Doubles, shown: _Shown, place: float, spread: float) -> Doubles:
    """Move and stretch the quantiles ``now`` by what leads from those ``before`` to the album's.

    That is a weighted straight line through the quantiles of the upper half, as far as they hold people enough.

    Args:
        place, spread: 0 leaves them where they are, 1 follows the album.
    """
    if not shown.people:
        return now
    used = (_RATES == 0.5) | ((_RATES < 0.5) & (_RATES >= _BODY) & (_RATES * shown.people >= _MIN_BEYOND))
    expected, found = before[used], shown.quantiles(_RATES[used])
    weights = _RATES[used] / (1 - _RATES[used])  # the variance of a quantile is about the inverse
    x, y = (float(np.average(quantiles, weights=weights)) for quantiles in (expected, found))
    slope = 1.0
    if used.sum() > 1:
        fit = np.sum(weights * (expected - x) * (found - y)) / np.sum(weights * (expected - x) ** 2)
        slope = float(np.clip(fit, 0.25, 4)) ** spread
    return np.asarray(x + place * (y - x) + slope * (now - x))


def _curve(quantiles: Doubles) -> tuple[Doubles, Doubles]:
    """Draw the curve through quantiles at ``RATES``: (similarities, rates), (K,) each. The tail is exponential."""
    fall = np.log(RATES[_ONE_PERCENT] / RATES[-1]) / (quantiles[-1] - quantiles[_ONE_PERCENT])
    far = quantiles[-1] + np.log(RATES[-1] / _LEAST_KNOT) / fall
    low = quantiles[0] - 2 * (quantiles[1] - quantiles[0])
    knots = np.concatenate([[low], quantiles, [far]])
    similarities = np.linspace(low, far, _STEPS)
    logs = np.log(np.concatenate([[1.0], _RATES, [_LEAST_KNOT]]))
    return similarities, np.exp(np.interp(similarities, knots, logs))


def _with_shared_photos(similarities: Doubles, rates: Doubles, pairs: Doubles) -> Doubles:
    """Take every stranger for one who stands beside somebody of the album, and is as like them as ``pairs`` are."""
    pairs = np.sort(pairs[np.interp(pairs, similarities, rates) > _SAME])
    if not len(pairs):
        return rates
    beyond = 1 - np.searchsorted(pairs, similarities) / len(pairs)
    return np.asarray(1 - (1 - rates) * (1 - beyond * len(pairs) / (len(pairs) + _PAIRS)))


def _warning(network: str, shown: _Shown) -> str | None:
    if shown.people >= _UNKNOWN_PEOPLE:
        return None
    unknown = f"how alike strangers look to the network {network!r} is not known"
    if not shown.people:
        return f"{unknown}, and one person is too few to judge by: nobody is named"
    return f"{unknown}, and {shown.people} people are few to judge by: the threshold is set high"
