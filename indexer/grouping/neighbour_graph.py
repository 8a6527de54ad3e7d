"""Read neighbour lists: what similarity each face has with strangers, and which pairs are more alike than that.

Some faces, blurred or of a kind that the network saw seldom, are similar to everybody; their neighbour lists tell,
since most of a list are strangers. A similarity that is corrected by this background separates better than the cosine
itself (lfw-dev, best threshold: BCubed F .992 -> .994 with SFace, .951 -> .963 with dlib's network; hard copies .982 ->
.984 and .875 -> .898). Opens no file.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Nodes = npt.NDArray[np.int32]
Similarities = npt.NDArray[np.float32]

STRANGERS = 20
"""Most similar strangers that make a face's background. From 10 to 50 the figures above change by less than .003."""
MIN_STRANGERS = 8
"""Fewer strangers in a list than this, and the face's background stays unknown."""
HIGHEST_SHARE = 0.98
"""Backgrounds above this quantile are lowered to it: their strangers are likely missed photos of the same person."""
POOR = 1 / 3
"""Share of the album's median quality below which a face is linked by a greater similarity only. With half of the
median or a fixed .5 fewer faces of crowds are grouped, but hard copies lose up to .0114 of BCubed F with dlib's
network (by hand), here .0015."""
DISTRUST = 0.6
"""By what share of the distance from the network's usual threshold to a cosine of 1 two faces of quality 0 must be more
alike than others; half of it if one is. `benchmarks.grouping_crowds` has what it gives."""
BLOCK_ROWS = 1 << 15
"""Lists looked at together: bounds the memory beside the lists."""


@dataclass(frozen=True)
class Background:
    """How similar each face is to strangers.

    Args:
        offset: float64 (N,), cosine: by how much it is more similar to its nearest strangers than the usual face is; 0
            where it is not known.
        known: bool (N,): whether its list holds enough strangers.
        level: the usual similarity to the nearest strangers: the median of the known; nan if nothing is known.
        spread: the usual distance, in cosine, from the last of these strangers to their mean; nan if nothing is known.
    """

    offset: Floats
    known: Bools
    level: float
    spread: float


@dataclass(frozen=True)
class Pairs:
    """Pairs of faces that are alike.

    Args:
        a, b: int32 (E,), rows, a < b.
        excess: float32 (E,), by how much the corrected similarity is above the threshold: > 0.
    """

    a: Nodes
    b: Nodes
    excess: Similarities


def no_background(faces: int) -> Background:
    """Correct nothing: what to use before any grouping, and where no strangers are in the lists."""
    return Background(np.zeros(faces), np.zeros(faces, np.bool_), float("nan"), float("nan"))


def check_lists(neighbours: Ints | Nodes, similarities: Similarities) -> None:
    """Refuse lists that cannot be.

    Args:
        neighbours: int64 or int32 (N, k), rows; -1 is nobody. An entry of a face in its own list is passed over.
        similarities: float32 (N, k), cosine; passed over where nobody is.
    Raises:
        ValueError: if the shapes differ, a row number is outside -1..N-1 or a similarity is nan or infinite.
    """
    if neighbours.ndim != 2 or neighbours.shape != similarities.shape:
        raise ValueError(f"neighbours {neighbours.shape} and similarities {similarities.shape} are not both (N, k)")
    for rows in _blocks(len(neighbours)):
        others, values = neighbours[rows], similarities[rows]
        wrong = (others < -1) | (others >= len(neighbours))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise ValueError(
                f"face {rows.start + row} has the neighbour {others[row, column]}, of {len(neighbours)} faces"
            )
        wrong = ~np.isfinite(values) & (others >= 0)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            pair = f"faces {rows.start + row} and {others[row, column]}"
            raise ValueError(f"the similarity of {pair} is {values[row, column]}, not a number from -1 to 1")


def measure_background(neighbours: Ints | Nodes, similarities: Similarities, groups: Ints) -> Background:
    """Take the nearest neighbours outside a face's own group as strangers, and average their similarity.

    Args:
        neighbours, similarities: see ``check_lists``; k = 64 leaves room for strangers beside a person's other photos.
        groups: int64 (N,), a first grouping; a rough one will do.
    """
    mean, lowest, count = (np.empty(len(neighbours)) for _ in range(3))
    for rows in _blocks(len(neighbours)):
        others, values = neighbours[rows], similarities[rows]
        strangers = (others >= 0) & (groups[others] != groups[rows, None])
        values = np.sort(np.where(strangers, values, -np.inf), axis=1)[:, ::-1][:, :STRANGERS]
        found = np.isfinite(values)
        count[rows] = found.sum(1)
        mean[rows] = np.where(found, values, 0).sum(1) / np.maximum(count[rows], 1)
        lowest[rows] = np.where(found, values, np.inf).min(1, initial=np.inf)
    known = count >= MIN_STRANGERS
    if not known.any():
        return no_background(len(neighbours))
    level = float(np.median(mean[known]))
    full = known & (count == count.max())
    capped = np.minimum(mean, np.quantile(mean[known], HIGHEST_SHARE))
    offset: Floats = np.where(known, capped - level, 0.0)
    return Background(offset, known, level, float(np.median(mean[full] - lowest[full])))


def distrust_poor_faces(background: Background, qualities: npt.NDArray[np.floating], prior: float) -> Background:
    """Raise the background of poor faces: the network took little from them, and much of that is the blur they share.

    Args:
        qualities: float (N,), 0 to 1, as ``embedder.quality`` gives them.
        prior: the network's usual threshold, cosine.
    """
    enough = POOR * float(np.median(qualities)) if len(qualities) else 0.0
    if enough <= 0:
        return background
    lacking = np.clip(1 - qualities / enough, 0, 1)
    return replace(background, offset=background.offset + DISTRUST * (1 - prior) * lacking)


def similar_pairs(
    neighbours: Ints | Nodes, similarities: Similarities, background: Background, threshold: float
) -> Pairs:
    """List the pairs whose corrected similarity is above a threshold.

    Returns:
        Each pair once, ordered by a and then b. Of two similarities of one pair the greater one counts.
    """
    faces = len(neighbours)
    keys, excesses = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    offset = background.offset.astype(np.float32)
    for rows in _blocks(faces):
        here = np.arange(rows.start, rows.stop)[:, None]
        others = neighbours[rows]
        above = similarities[rows] - (offset[rows, None] + offset[others]) / 2 - np.float32(threshold)
        row, column = np.nonzero((others >= 0) & (others != here) & (above > 0))
        one, other = row + rows.start, others[row, column]
        keys.append(np.minimum(one, other) * faces + np.maximum(one, other))
        excesses.append(above[row, column].astype(np.float32, copy=False))
    key, excess = np.concatenate(keys), np.concatenate(excesses)
    del keys, excesses
    order = np.argsort(key)
    key, excess = key[order], excess[order]
    del order
    first = np.flatnonzero(np.diff(key, prepend=-1))
    if len(first):
        key, excess = key[first], np.maximum.reduceat(excess, first)
    a, b = np.divmod(key, max(faces, 1))
    return Pairs(a.astype(np.int32), b.astype(np.int32), excess)


def excess_histogram(
    neighbours: Ints | Nodes,
    similarities: Similarities,
    background: Background,
    edges: Floats,
    photo: Ints | None = None,
) -> Floats:
    """Count pairs by how far they are above the background of both faces, in units of its spread.

    Only pairs of faces with a known background are counted. A pair that stands in both lists counts half in each:
    one is in the other's list if it is not less similar than the last entry there.

    Args:
        edges: float64 (B + 1,), ascending in even steps, from 0 on: a list is complete only above the background.
        photo: int64 (N,), where only pairs of one photo are to be counted: its number, or -1 for none.
    Returns:
        float64 (B,), pairs in each interval.
    """
    counts = np.zeros(len(edges) - 1)
    if not len(neighbours) or not neighbours.shape[1]:
        return counts
    last = np.where(neighbours >= 0, similarities, np.inf).min(1)
    step = (edges[-1] - edges[0]) / len(counts)
    offset = np.where(background.known, background.offset, np.inf)  # lowers the unknown below every edge
    for rows in _blocks(len(neighbours)):
        here = np.arange(rows.start, rows.stop)[:, None]
        others, values = neighbours[rows], similarities[rows]
        above = values - (offset[rows, None] + offset[others]) / 2 - background.level - background.spread * edges[0]
        wanted = (above >= 0) & (others >= 0) & (others != here)
        if photo is not None:
            wanted &= (photo[others] == photo[rows, None]) & (photo[rows, None] >= 0)
        row, column = np.nonzero(wanted)
        place = np.floor(above[row, column] / (background.spread * step)).astype(np.int64)
        weight = np.where(values[row, column] >= last[others[row, column]], 0.5, 1.0)
        inside = place < len(counts)
        counts += np.bincount(place[inside], weight[inside], minlength=len(counts))
    return counts


def _blocks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, rows))
