"""Which questions settle most faces for an answer. Arrays in, records out; opens no file.

A question shows somebody, a *target*, and asks either who that is, or which of some *candidates* are the same person.
The answer is one word, and the numbers of the exceptions. Questions are ranked by

    faces settled = w Σ n p / (1 + Σ n (1 − p))

over what is asked about, n faces each with the chance p of being right: the faces that are expected to be right, for
one answer and the exceptions that are expected to be typed with it. w is 1, and a half where candidates are compared
with somebody without a name: it takes one more answer until they have one. Of the candidates of a target those are
shown with which this is highest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from embedder.vectors import UnitRows
from indexer.grouping.face_constraints import photo_pairs
from indexer.grouping.likelihoods import chance_same
from indexer.review.board import NOBODY, Board

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MIN_CHANCE = 0.1
"""Candidates that are less likely the same person are not asked about."""
MOST_CANDIDATES = 24
"""Candidates in one question."""
_UNNAMED = 0.5


@dataclass(frozen=True)
class Material:
    """What the questions are made from, as the last clustering left it. It does not change with the answers.

    Attributes:
        embeddings: (N, D), indexing gives float32 unit rows.
        offset: float32 (N,), cosine: by how much a face is more like strangers than usual.
        photo: int64 (N,), faces of one photo have the same number.
        chance: float32 (N,), how likely a face is rightly in its group or with the person proposed; 0 alone.
        proposed: int64 (N,), the person that a face was grouped with; ``NOBODY`` for others.
        group: int64 (N,), the number of each face's group; 0 for none.
        links: int64 (L, 2), rows that are alike though they are in different groups.
        threshold, spread: cosine, see ``indexer.grouping.likelihoods.chance_same``.
    """

    embeddings: UnitRows | npt.NDArray[np.float32]
    offset: npt.NDArray[np.float32]
    photo: Ints
    chance: npt.NDArray[np.float32]
    proposed: Ints
    group: Ints
    links: Ints
    threshold: float
    spread: float


@dataclass(frozen=True)
class Question:
    """Something to ask.

    Attributes:
        target: the bundle that it is about.
        person: who the target is; ``NOBODY`` if it has no name.
        candidates: bundles that may be the same person, likeliest first; none: the question is who the target is.
        chances: for each candidate; for a question without, one number: the chance that a face of the target is
            rightly there.
        settles: the figure by which questions are ranked.
    """

    target: int
    person: int
    candidates: tuple[int, ...]
    chances: tuple[float, ...]
    settles: float

    @property
    def keys(self) -> frozenset[tuple[int, int]]:
        """What is to be put into ``Board.skipped`` so that this is not asked again."""
        if not self.candidates:
            return frozenset({(self.target, NOBODY)})
        return frozenset(_key(self.target, candidate) for candidate in self.candidates)


@dataclass(frozen=True)
class _Bundles:
    """The bundles of a board: number, faces, person, and the place of each row's bundle among them (-1 for none)."""

    number: Ints
    size: Ints
    person: Ints
    place: Ints


def rank_questions(material: Material, board: Board, most: int = 1) -> list[Question]:
    """Give the questions that settle most faces for an answer, best first; those that are urgent before all."""
    bundles = _bundles(board)
    asked = _ask_candidates(bundles, *_candidate_pairs(material, board, bundles), most)
    names = _ask_names(material, board, bundles, most)
    urgent = [Question(min(key), NOBODY, (max(key),), (0.5,), float("inf")) for key in board.urgent]
    ranked = sorted([*asked, *names], key=lambda question: (-question.settles, question.target))
    return [*urgent, *ranked][:most]


def settled_by_name(faces: Ints, chance: Floats) -> Floats:
    """Give the figure by which names are asked for: faces settled by saying who they are.

    Args:
        faces: (G,), how many there are in each group.
        chance: (G,), how likely one of them is rightly there.
    """
    settled: Floats = faces * chance / (1 + faces * (1 - chance))
    return settled


def _bundles(board: Board) -> _Bundles:
    rows = np.flatnonzero(board.bundle >= 0)
    number, first, inverse, size = np.unique(
        board.bundle[rows], return_index=True, return_inverse=True, return_counts=True
    )
    place = np.full(len(board.bundle), -1, np.int64)
    place[rows] = inverse
    return _Bundles(number, size, board.person[rows[first]], place)


def _ask_names(material: Material, board: Board, bundles: _Bundles, most: int) -> list[Question]:
    """Ask who a bundle of two or more is; the best ``most`` of these questions."""
    rows = np.flatnonzero(bundles.place >= 0)
    sure = np.where(material.chance[rows] > 0, material.chance[rows], 1.0)  # alone in its group: joined by a human
    chance = np.bincount(bundles.place[rows], sure, minlength=len(bundles.number)) / bundles.size
    settles = settled_by_name(bundles.size, chance)
    open_ = (bundles.person < 0) & (bundles.size > 1)
    open_[[bundles.place[row] for row, other in board.skipped if other == NOBODY]] = False
    unnamed = np.flatnonzero(open_)
    best = unnamed[np.argsort(-settles[unnamed], kind="stable")][:most]
    return [Question(int(bundles.number[b]), NOBODY, (), (float(chance[b]),), float(settles[b])) for b in best]


def _ask_candidates(bundles: _Bundles, pairs: Ints, chance: Floats, barred: Ints, most: int) -> list[Question]:
    """Gather candidates by target: of a pair the one with a name, else the larger one. Each stands with one target.

    Args:
        barred: sorted keys of pairs that are two people: no two candidates of one question are.
        most: the best so many questions are enough.
    """
    one, other = pairs.T
    known, larger = bundles.person[one] >= 0, bundles.size[one] >= bundles.size[other]
    first = known | (larger & (bundles.person[other] < 0))
    target, candidate = np.where(first, one, other), np.where(first, other, one)
    weight = np.where(known | (bundles.person[other] >= 0), 1, _UNNAMED)
    order = np.lexsort((target, -chance * weight, candidate))
    order = order[np.unique(candidate[order], return_index=True)[1]]
    order = order[np.lexsort((candidate[order], -chance[order], target[order]))]
    starts = np.flatnonzero(np.diff(target[order], prepend=-1))
    bounds = _bounds(bundles.size[candidate[order]], chance[order], starts) * weight[order[starts]]
    ends = np.append(starts[1:], len(order))
    questions: list[Question] = []
    for number in np.argsort(-bounds, kind="stable").tolist():
        if len(questions) >= most and bounds[number] < sorted(q.settles for q in questions)[-most]:
            break
        places = order[starts[number] : ends[number]]
        places = places[_compatible(candidate[places], bundles, barred)]
        asked = candidate[places], chance[places], float(weight[places[0]])
        questions.append(_best_prefix(bundles, int(target[places[0]]), *asked))
    return questions


def _best_prefix(bundles: _Bundles, target: int, candidates: Ints, chance: Floats, weight: float) -> Question:
    """Ask about as many candidates, likeliest first, as settle most."""
    size = bundles.size[candidates]
    settles = weight * np.cumsum(size * chance) / (1 + np.cumsum(size * (1 - chance)))
    end = int(settles.argmax()) + 1
    asked = tuple(bundles.number[candidates[:end]].tolist())
    chances = tuple(chance[:end].tolist())
    return Question(int(bundles.number[target]), int(bundles.person[target]), asked, chances, float(settles[end - 1]))


def _bounds(size: Ints, chance: Floats, starts: Ints) -> Floats:
    """Tell what each target's question settles at the most, float64 (T,).

    Of all sets of candidates one of those with the highest chances is the best; so no set that leaves some out, since
    they cannot be together or are too many, settles more.

    Args:
        size, chance: (P,) of candidates, grouped by target, the likeliest first.
        starts: (T,) where each target's candidates start.
    """
    if not len(starts):
        return np.empty(0)
    right, wrong = np.cumsum(size * chance), np.cumsum(size * (1 - chance))
    part = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(size)))
    before = starts[part] - 1
    right = right - np.where(before >= 0, right[before], 0)
    wrong = wrong - np.where(before >= 0, wrong[before], 0)
    return np.maximum.reduceat(right / (1 + wrong), starts)


def _compatible(candidates: Ints, bundles: _Bundles, barred: Ints) -> list[int]:
    """Choose candidates, first come first served, of which no two are two people for certain."""
    chosen: list[int] = []
    for number, candidate in enumerate(candidates.tolist()):
        before = candidates[chosen]
        pairs = np.sort(np.stack([before, np.full(len(before), candidate)], axis=1), axis=1)
        if not _is_among(_keys(pairs, bundles), barred).any():
            chosen.append(number)
        if len(chosen) == MOST_CANDIDATES:
            break
    return chosen


def _candidate_pairs(material: Material, board: Board, bundles: _Bundles) -> tuple[Ints, Floats, Ints]:
    """Find pairs of bundles that may be one person, and nothing known is against it.

    Returns:
        (int64 (P, 2) places of bundles, float64 (P,) chances, at least ``MIN_CHANCE``, sorted keys of pairs that are
        two people).
    """
    linked = _unique_pairs(bundles.place[material.links], len(bundles.number))
    linked = linked[(bundles.person[linked] < 0).any(axis=1)]
    likely = _pair_chances(material, bundles, linked)
    proposed, sure = _proposed_pairs(material, board, bundles)
    pairs, chance = np.concatenate([proposed, linked]), np.concatenate([sure, likely])
    enough = chance >= MIN_CHANCE
    pairs, chance = pairs[enough], chance[enough]
    barred = np.unique(_keys(_barred_pairs(material, board, bundles, pairs), bundles))
    allowed = ~_is_among(_keys(pairs, bundles), barred)
    pairs, chance = pairs[allowed], chance[allowed]
    first = np.unique(_keys(pairs, bundles), return_index=True)[1]  # a proposal stands before a link
    return pairs[first], chance[first], barred


def _pair_chances(material: Material, bundles: _Bundles, pairs: Ints) -> Floats:
    """Compare the mean faces of pairs of bundles."""
    wanted = np.unique(pairs)
    rows = np.flatnonzero(np.isin(bundles.place, wanted))
    part = np.searchsorted(wanted, bundles.place[rows])
    gather = sparse.csr_array((np.ones(len(rows), np.float32), (part, np.arange(len(rows)))), (len(wanted), len(rows)))
    mean = gather @ material.embeddings[rows]
    mean = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    offset = (gather @ material.offset[rows]) / bundles.size[wanted]
    a, b = np.searchsorted(wanted, pairs).T
    similarity = (mean[a] * mean[b]).sum(axis=1) - (offset[a] + offset[b]) / 2
    smaller = bundles.size[pairs].min(axis=1)
    return chance_same(similarity.astype(np.float64), smaller.astype(np.float64), material.threshold, material.spread)


def _proposed_pairs(material: Material, board: Board, bundles: _Bundles) -> tuple[Ints, Floats]:
    """Pair each unnamed face that a person is proposed for with that person."""
    rows = np.flatnonzero((material.proposed >= 0) & (board.person < 0) & (bundles.place >= 0))
    named = np.flatnonzero(bundles.person >= 0)
    named = named[np.argsort(bundles.person[named])]
    at = np.searchsorted(bundles.person[named], material.proposed[rows])
    there = at < len(named)
    there[there] = bundles.person[named[at[there]]] == material.proposed[rows[there]]
    pairs = np.sort(np.stack([bundles.place[rows[there]], named[at[there]]], axis=1), axis=1)
    return pairs.reshape(-1, 2), material.chance[rows[there]].astype(np.float64)


def _barred_pairs(material: Material, board: Board, bundles: _Bundles, pairs: Ints) -> Ints:
    """List pairs of bundles that are two people by a fact or a shared photo, or were skipped: int64 (C, 2) places."""
    count = len(bundles.number)
    links = sparse.coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    region = connected_components(links, directed=False)[1].astype(np.int64) if count else np.empty(0, np.int64)
    part = bundles.place >= 0
    together = photo_pairs(material.photo[part], bundles.place[part], region)
    told = bundles.place[board.different]
    rows, people = board.rejected.T
    named = np.flatnonzero(bundles.person >= 0)
    named = named[np.argsort(bundles.person[named])]
    at = np.minimum(np.searchsorted(bundles.person[named], people), max(len(named) - 1, 0))
    there = bundles.person[named[at]] == people if len(named) else np.zeros(len(people), bool)
    rejected = np.stack([bundles.place[rows[there]], named[at[there]]], axis=1)
    skipped = bundles.place[np.array([key for key in board.skipped if NOBODY not in key], np.int64).reshape(-1, 2)]
    found = np.concatenate([told, rejected, skipped])
    found = found[((found >= 0) & (found != found[:, ::-1])).all(axis=1)]
    return np.concatenate([np.sort(found, axis=1), np.sort(together, axis=1)])


def _unique_pairs(pairs: Ints, count: int) -> Ints:
    """Give each pair of places below ``count`` once, the lower one first; none with -1, or of a place with itself."""
    pairs = np.sort(pairs[(pairs >= 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])], axis=1)
    keys = np.unique(pairs[:, 0] * count + pairs[:, 1])
    return np.stack(np.divmod(keys, max(count, 1)), axis=1)


def _keys(pairs: Ints, bundles: _Bundles) -> Ints:
    return np.asarray(pairs[:, 0] * len(bundles.number) + pairs[:, 1], np.int64)


def _is_among(keys: Ints, ordered: Ints) -> npt.NDArray[np.bool_]:
    if not len(ordered):
        return np.zeros(len(keys), bool)
    return np.asarray(ordered[np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)] == keys)


def _key(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)
