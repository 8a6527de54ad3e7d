"""Facts about many faces at once: a chain of "same" joins them to one person, a correction opens it. Opens no file.

What is said here of pairs is what a human said of a whole: of the faces of a group, or of a part of one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations, pairwise

from indexer.people.facts import Facts, Pair, ordered
from indexer.people.replay import Pairs, Replay


def chained(faces: Iterable[int], same: Pairs) -> tuple[Pair, ...]:
    """Link faces one after the other, where the two are not linked yet."""
    links = (ordered(a, b) for a, b in pairwise(sorted(faces)))
    return tuple(link for link in links if link not in same)


def parted(parts: Sequence[Iterable[int]], replay: Replay) -> Facts:
    """Say that the faces of each part are one person, and any two parts two, and take back what was said against it.

    Args:
        parts: two or more, none empty, no face in two of them.
        replay: what holds.
    """
    part_of = {face: number for number, part in enumerate(parts) for face in part}
    crossing = {
        ordered(face, other)
        for face, number in part_of.items()
        for other in replay.same.of(face)
        if part_of.get(other, number) != number
    }
    heads = [min(part) for part in parts]
    apart = (ordered(a, b) for a, b in combinations(heads, 2))
    return Facts(
        same=tuple(link for part in parts for link in chained(part, replay.same)),
        different=tuple(pair for pair in apart if pair not in replay.different),
        retracted=tuple(sorted(crossing)),
    )


def loosened(facts: Facts, faces: Iterable[int], replay: Replay) -> Facts:
    """Add to facts about faces, if there are any, that these faces are not the same as others any more.

    The others stay linked to each other, and keep their name.
    """
    if facts == Facts():
        return facts
    gone = set(faces)
    links: list[Pair] = []
    seen: set[int] = set()
    for face in sorted(gone):
        if face not in seen:
            whole = replay.said_same(face)
            seen |= whole
            links += chained(_heads(whole - gone, replay.same), replay.same)
    retracted = {ordered(face, other) for face in gone for other in replay.same.of(face) if other not in gone}
    named = (*facts.assigned, *names_left(gone, replay))
    return replace(facts, assigned=named, same=tuple(links), retracted=tuple(sorted(retracted)))


def merged_loosely(keep: int, other: int, replay: Replay) -> Facts:
    """Say that two people are one, and take back what was said against it: that faces are two people, or not this one.

    Args:
        keep: the person who takes the faces.
        other: the person who is no more.
        replay: what holds.
    """
    named = replay.faces_of[keep] | replay.faces_of[other]
    faces = named.union(*(replay.said_same(face) for face in named if replay.same.has(face)))
    rejected = (replay.rejected.get(keep, set()) | replay.rejected.get(other, set())) & faces - replay.ignored
    apart = {ordered(face, far) for face in faces for far in replay.different.of(face) if far in faces}
    assigned = tuple((face, keep) for face in sorted(rejected))
    return Facts(merged=((other, keep),), assigned=assigned, retracted=tuple(sorted(apart)))


def names_left(gone: set[int], replay: Replay) -> tuple[Pair, ...]:
    """Name faces that had their name only from faces which leave the person: one of those that are the same, for all.

    Args:
        gone: the faces that leave.
        replay: what holds before they do.
    Returns:
        (face, person) for each piece of "same" that would lose its name.
    """
    named: dict[int, int] = {}
    for face in gone.intersection(replay.person_of):
        left = replay.said_same(face) - gone - replay.ignored
        if left and left.isdisjoint(replay.person_of):
            named[min(left)] = replay.person_of[face]
    return tuple(named.items())


def _heads(faces: set[int], same: Pairs) -> list[int]:
    """Give the lowest face of each piece that is linked within ``faces``."""
    heads, left = [], set(faces)
    while left:
        fresh = [min(left)]
        heads.append(fresh[0])
        left.discard(fresh[0])
        while fresh:
            near = left.intersection(same.of(fresh.pop()))
            left -= near
            fresh += near
    return heads
