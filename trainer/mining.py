"""Which faces of a batch are compared: the triplets and pairs from which a network learns most.

Everything here takes a batch's embeddings and labels and gives row numbers. No gradient runs through
it, and nothing is ever as large as pairs times faces: similarities are computed a block of rows at a
time. Equally hard faces are settled by the lower row number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

_BLOCK = 1 << 18  # similarities at once: 1 MB in float32, which stays in the cache of a core
_STRETCH = 64  # columns of a row that are searched together
_NARROW = 1024  # with fewer columns there is nothing to be won by that


class Triplets(NamedTuple):
    """Row numbers, int64 (T,) each: a face, another face of the same person, a face of somebody else."""

    anchors: Tensor
    positives: Tensor
    negatives: Tensor


class Comparisons(NamedTuple):
    """Triplets, and how similar each face is to the other two: float (T,) each."""

    triplets: Triplets
    same_similarities: Tensor
    different_similarities: Tensor


class Pairs(NamedTuple):
    """Row numbers, int64 (2, P) and (2, Q), the lower row of a pair first; each pair stands once."""

    same: Tensor
    different: Tensor


@torch.no_grad()
def hardest_triplets(embeddings: Tensor, labels: Tensor) -> Triplets:
    """Pick, for each face, its least similar same-person face and most similar other-person face.

    Batch-hard mining, Hermans et al. 2017 (arXiv 1703.07737), eq. 5.

    Args:
        embeddings: float (N, D), rows of unit length: a dot product is a cosine.
        labels: int64 (N,), the person of each row, on the same device.
    Returns:
        At most N triplets, anchors rising. A face with no partner or no stranger in the batch is
        left out; there are none if that is every face.
    Raises:
        ValueError: if ``labels`` is not one label for each row of ``embeddings``.
    """
    return Triplets(*hardest_rows(embeddings, labels))


@torch.no_grad()
def hardest_rows(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Give the triplets of ``hardest_triplets`` as one tensor, int64 (3, T)."""
    check_batch(embeddings, labels)
    found = []
    for rows, similarities, same in _blocks(embeddings, labels):
        _except_oneself(similarities, rows, math.inf)
        least, positives = _smallest(_only(same, similarities, math.inf))
        most, negatives = _largest(_only(~same, similarities, -math.inf))
        whole = torch.nonzero((least < math.inf) & (most > -math.inf)).squeeze(1)
        found.append(torch.stack([whole + rows.start, positives[whole], negatives[whole]]))
    return found[0] if len(found) == 1 else torch.cat([labels.new_empty((3, 0)), *found], dim=1)


def semihard_triplets(embeddings: Tensor, labels: Tensor) -> Triplets:
    """Take all anchor-positive pairs, and for each the most similar stranger that is farther than the positive.

    FaceNet's online mining, Schroff et al. 2015 (arXiv 1503.03832), section 3.2. A pair to which every
    stranger is at least as near as the positive gets the most similar stranger of all.

    Args, Raises: as ``hardest_triplets``.

    Returns:
        A triplet for each ordered pair of one person's faces, by anchor, then by positive; none if there
        is only one person. The work grows with pairs times faces.
    """
    return semihard_comparisons(embeddings, labels).triplets


@torch.no_grad()
def semihard_comparisons(embeddings: Tensor, labels: Tensor) -> Comparisons:
    """Give the triplets of ``semihard_triplets`` with their similarities, which are known when they are chosen."""
    check_batch(embeddings, labels)
    none, unknown = labels.new_empty(0), embeddings.new_empty(0)
    found = [(none, none, none, unknown, unknown)]
    all_anchors, all_positives, first = _same_person(labels)
    for rows, similarities in _products(embeddings):
        own = slice(first[rows.start], first[rows.stop])
        anchors, positives = all_anchors[own] - rows.start, all_positives[own]
        limits = similarities[anchors, positives]
        strangers = similarities.index_put_((anchors, positives), limits.new_full((), -math.inf))
        most, hardest = _largest(strangers)
        chosen = (anchors + rows.start != positives) & (most[anchors] > -math.inf)
        anchors, positives, limits = anchors[chosen], positives[chosen], limits[chosen]
        negatives, different = hardest[anchors], most[anchors]
        # Where the most similar stranger is farther than the positive, it is the one; the others are searched for.
        hard = torch.nonzero(different >= limits).squeeze(1)
        for some in hard.split(max(1, _BLOCK // len(embeddings))):  # type: ignore[no-untyped-call]
            below, columns = _largest_below(strangers.index_select(0, anchors[some]), limits[some])
            there = below > -math.inf
            negatives[some] = torch.where(there, columns, negatives[some])
            different[some] = torch.where(there, below, different[some])
        found.append((anchors + rows.start, positives, negatives, limits, different))
    anchors, positives, negatives, same, different = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Comparisons(Triplets(anchors, positives, negatives), same, different)


@torch.no_grad()
def balanced_pairs(embeddings: Tensor, labels: Tensor, *, within: float = math.inf) -> Pairs:
    """Take all same-person pairs, and as many of the nearest other-person pairs.

    dlib's choice (``loss_metric`` in dlib/dnn/loss.h, King 2017). Other-person pairs that are exactly as
    far apart as the last one taken are taken, too.

    Args:
        embeddings: float (N, D), of any length: distances are Euclidean.
        labels: as for ``hardest_triplets``.
        within: other-person pairs that are farther apart than this distance are left out.
    Raises:
        ValueError: as ``hardest_triplets``.
    """
    check_batch(embeddings, labels)
    squares = embeddings.square().sum(dim=1)
    same_pairs, pairs = [labels.new_empty((2, 0))], [labels.new_empty((2, 0))]
    distances = [squares.new_empty(0)]
    for rows, products, same in _blocks(embeddings, labels):
        squared = products.mul_(-2).add_(squares[rows].unsqueeze(1)).add_(squares).clamp_min_(0)
        later = torch.ones_like(same).triu_(rows.start + 1)  # each pair once: the second face in a later row
        same_pairs.append(_rows_of(same & later, rows))
        near = ~same & later & (squared <= within * within)
        pairs.append(_rows_of(near, rows))
        distances.append(squared[near])
    same_person, different, squared = torch.cat(same_pairs, 1), torch.cat(pairs, 1), torch.cat(distances)
    wanted = same_person.shape[1]
    if wanted == 0:
        different = different[:, :0]
    elif wanted < len(squared):
        different = different[:, squared <= squared.kthvalue(wanted).values]
    return Pairs(same_person, different)


def check_batch(embeddings: Tensor, labels: Tensor) -> None:
    """Raise ValueError unless there is one label for each row of ``embeddings``."""
    if embeddings.ndim != 2:
        raise ValueError(f"embeddings must be (N, D), one row for each face, not {tuple(embeddings.shape)}")
    if labels.shape != embeddings.shape[:1]:
        raise ValueError(f"{len(embeddings)} embeddings need as many labels, not {tuple(labels.shape)}")
    if labels.dtype != torch.int64:
        raise ValueError(f"labels must be int64, the number of a person each, not {labels.dtype}")


def _blocks(embeddings: Tensor, labels: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield a range of rows, their dot products with all faces (R, N), and whose person is the same (R, N)."""
    for rows, products in _products(embeddings):
        yield rows, products, labels[rows].unsqueeze(1) == labels


def _products(embeddings: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield a range of rows, and their dot products with all faces (R, N)."""
    step = max(1, _BLOCK // max(1, len(embeddings)))
    for start in range(0, len(embeddings), step):
        rows = slice(start, min(start + step, len(embeddings)))
        yield rows, embeddings[rows] @ embeddings.T


def _same_person(labels: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """List all ordered pairs of one person's faces, each with itself too, without comparing all labels with all.

    Returns:
        (int64 (T,) rows, rising; int64 (T,) the other row, rising for each; for each row where its pairs begin, and T).
    """
    _, people, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    by_person, first_of_person = people.argsort(stable=True), counts.cumsum(0) - counts
    times = counts[people]
    rows, ends = torch.repeat_interleave(times), times.cumsum(0)
    place = torch.ones_like(rows).cumsum(0) - 1 - (ends - times)[rows]
    return rows, by_person[first_of_person[people[rows]] + place], [0, *ends.tolist()]


def _largest(block: Tensor) -> tuple[Tensor, Tensor]:
    """Give the largest value of each row of (R, N), and its first column.

    What ``max(dim=1)`` gives, in a third of the time on a CPU: the largest of each stretch of columns is
    found by vector instructions, and only the best stretch is searched for the column.
    """
    width = block.shape[1]
    if width < _NARROW:
        values, columns = block.max(dim=1)
        return values, columns
    whole = width // _STRETCH * _STRETCH
    largest = block[:, :whole].unfold(1, _STRETCH, _STRETCH).amax(dim=2)
    if whole < width:
        largest = torch.cat([largest, block[:, whole:].amax(dim=1, keepdim=True)], dim=1)
    start = largest.argmax(dim=1, keepdim=True) * _STRETCH
    columns = (start + torch.arange(_STRETCH, device=block.device)).clamp_max_(width - 1)
    stretch = block.gather(1, columns)
    place = stretch.argmax(dim=1, keepdim=True)
    return stretch.gather(1, place).squeeze(1), columns.gather(1, place).squeeze(1)


def _smallest(block: Tensor) -> tuple[Tensor, Tensor]:
    if block.shape[1] < _NARROW:
        values, columns = block.min(dim=1)
        return values, columns
    values, columns = _largest(block.neg_())
    return -values, columns


def _largest_below(block: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
    """Give the largest value of each row of (R, N) below its limit (R,), -inf if there is none, and its first column.

    A value below has a negative difference, and of negative numbers' bits, read as an integer, those of the one
    nearest to zero are the smallest: so a subtraction and one search do what a comparison, a choice and a search
    would. Values that differ by less than the difference can tell count as equal.
    """
    bits = torch.int64 if block.dtype == torch.float64 else torch.int32
    _, columns = _largest((block - limits.unsqueeze(1)).view(bits).bitwise_not_())
    values = block.gather(1, columns.unsqueeze(1)).squeeze(1)
    return _only(values < limits, values, -math.inf), columns


def _only(chosen: Tensor, block: Tensor, elsewhere: float) -> Tensor:
    """Keep a block's chosen values, and set all others to ``elsewhere``."""
    return torch.where(chosen, block, block.new_full((), elsewhere))


def _except_oneself(block: Tensor, rows: slice, value: float) -> Tensor:
    """Set, in a block of some rows against all, what a face says of itself; in place."""
    block.diagonal(offset=rows.start).fill_(value)
    return block


def _rows_of(chosen: Tensor, rows: slice) -> Tensor:
    pairs = torch.nonzero(chosen).T
    pairs[0] += rows.start
    return pairs
