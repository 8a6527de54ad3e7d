"""What humans said about faces, replayed: facts in, the state that follows from them out. Opens no file.

The rules of the replay:

- A face belongs to one person at most. ``assigned`` puts it there, away from where it was.
- ``rejected`` (this face is not that person) and ``ignored`` (never show this face) take the face away from the
  person. A later ``assigned`` takes the ignoring back, and the rejection of that person.
- ``merged`` gives the faces and the rejections of one person to another; the first one is no more.
- ``same`` and ``different`` stand until ``retracted``; an action retracts before it says anew. Faces said to be the
  same, one after the other, are one person, and so are the faces of a person: with ``different`` or ``rejected``
  among them, that is a contradiction.
- ``reanchored`` gives all that was said of one face so far to another: the one that a new detector shows there.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from itertools import pairwise

from indexer.people.facts import Facts, Pair, PeopleState, Reason, name_key, ordered


class Pairs:
    """A set of pairs of faces, lower face_id first, that knows the pairs of each face."""

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        self._others: defaultdict[int, set[int]] = defaultdict(set)
        for pair in pairs:
            self.add(pair)

    def add(self, pair: Pair) -> None:
        self._others[pair[0]].add(pair[1])
        self._others[pair[1]].add(pair[0])

    def discard(self, pair: Pair) -> None:
        self._others[pair[0]].discard(pair[1])
        self._others[pair[1]].discard(pair[0])

    def of(self, face: int) -> list[int]:
        """List the faces that this one is in a pair with, in order."""
        return sorted(self._others.get(face, ()))

    def has(self, face: int) -> bool:
        """Tell whether the face is in any pair."""
        return bool(self._others.get(face))

    def __contains__(self, pair: Pair) -> bool:
        return pair[1] in self._others.get(pair[0], ())

    def __iter__(self) -> Iterator[Pair]:
        return ((face, other) for face, others in self._others.items() for other in others if face < other)


class Replay:
    """The state while facts are added to it, with what it takes to add one quickly."""

    def __init__(self) -> None:
        self.persons: dict[int, str] = {}
        self.person_by_key: dict[str, int] = {}
        self.person_of: dict[int, int] = {}
        self.faces_of: dict[int, set[int]] = {}
        self.rejected: defaultdict[int, set[int]] = defaultdict(set)  # person -> faces
        self.ignored: set[int] = set()
        self.same = Pairs()
        self.different = Pairs()
        self._moved_to: dict[int, int] = {}  # face -> face that its facts were carried over to

    def state(self) -> PeopleState:
        """Take a snapshot."""
        return PeopleState(
            persons=dict(self.persons),
            person_of=dict(self.person_of),
            rejected=frozenset((face, person) for person, faces in self.rejected.items() for face in faces),
            ignored=frozenset(self.ignored),
            same=tuple(sorted(self.same)),
            different=tuple(sorted(self.different)),
        )

    def face_now(self, face: int) -> int:
        """Tell which face stands for this one since the last re-anchoring: itself, if it was not moved."""
        while face in self._moved_to:
            face = self._moved_to[face]
        return face

    def apply(self, facts: Facts) -> None:
        """Add the facts of the next action, which must not contradict what is there."""
        for person, name in facts.created:
            self.faces_of[person] = set()
            self._set_name(person, name)
        for person, name in facts.renamed:
            del self.person_by_key[name_key(self.persons[person])]
            self._set_name(person, name)
        for person, into in facts.merged:
            self._merge(person, into)
        for face, person in facts.rejected:
            self._leave(face, person)
            self.rejected[person].add(face)
        for (face,) in facts.ignored:
            self._leave(face, self.person_of.get(face))
            self.ignored.add(face)
        for face, person in facts.assigned:
            self._leave(face, self.person_of.get(face))
            self.person_of[face] = person
            self.faces_of[person].add(face)
            self.rejected[person].discard(face)
            self.ignored.discard(face)
        self._apply_pairs(facts)
        if facts.reanchored:
            self._reanchor(dict(facts.reanchored))

    def overruled(self, facts: Facts, *, moving: bool) -> list[Reason]:
        """List what was said before and would be undone by new facts, did they but follow it in time.

        Args:
            facts: what is to be said, in a tone that must not correct anything: naming a group, an import.
            moving: whether a face may leave its person all the same.
        Returns:
            each fact in the way.
        """
        against: list[Reason] = []
        for face, person in facts.assigned:
            if self.person_of.get(face, person) != person and not moving:
                against.append(self._is(face))
            if face in self.rejected.get(person, ()):
                against.append(Reason("is not", face, person))
            if face in self.ignored:
                against.append(Reason("ignored", face))
        for face, person in facts.rejected:
            if self.person_of.get(face) == person:
                against.append(self._is(face))
        against += [self._is(face) for (face,) in facts.ignored if face in self.person_of]
        return against

    def contradiction(self, faces: Iterable[int]) -> list[Reason]:
        """Find facts around the given faces that cannot hold together.

        Returns:
            the facts of one contradiction; empty if everything can hold.
        """
        seen: set[int] = set()
        for face in sorted(filter(self._spoken_of_twice, faces)):
            if face in seen:
                continue
            group = self.said_same(face)
            seen |= group
            if facts := self._contradiction_in(group):
                return facts
        return []

    def _spoken_of_twice(self, face: int) -> bool:
        """Tell whether more is said of a face than who it is; of most nothing is, and nothing can contradict that."""
        rejected = face in self.rejected.get(self.person_of.get(face, 0), ())
        return rejected or self.same.has(face) or self.different.has(face)

    def _contradiction_in(self, group: set[int]) -> list[Reason]:
        named = sorted(face for face in group if face in self.person_of)
        for a, b in pairwise(named):
            if self.person_of[a] != self.person_of[b]:
                return [self._is(a), self._is(b), *self._same_chain(a, {b})[1]]
        person = self.person_of[named[0]] if named else None
        for face in sorted(group):
            if person is not None and face in self.rejected.get(person, ()):
                holder, links = self._same_chain(face, self.person_of)
                return [Reason("is not", face, person), *links, self._is(holder)]
            for other in self.different.of(face):
                said = Reason("different", face, other)
                if other in group:
                    return [said, *self._same_chain(face, {other})[1]]
                if person is not None and any(self.person_of.get(f) == person for f in self.said_same(other)):
                    ends = [self._same_chain(end, self.person_of) for end in (face, other)]
                    return [said] + [fact for holder, links in ends for fact in (*links, self._is(holder))]
        return []

    def said_same(self, face: int) -> set[int]:
        """Collect the faces that were said to be the same as this one, directly or through others."""
        group, fresh = {face}, [face]
        while fresh:
            for other in self.same.of(fresh.pop()):
                if other not in group:
                    group.add(other)
                    fresh.append(other)
        return group

    def _same_chain(self, start: int, goal: Container[int]) -> tuple[int, list[Reason]]:
        """Go from a face, along "same", to the nearest face of ``goal``, which must be within reach."""
        reached: dict[int, list[Reason]] = {start: []}
        for face in (queue := [start]):
            if face in goal:
                return face, reached[face]
            for other in self.same.of(face):
                if other not in reached:
                    reached[other] = [*reached[face], Reason("same", face, other)]
                    queue.append(other)
        raise AssertionError(f"face {start} is not linked to any face asked for")

    def _is(self, face: int) -> Reason:
        return Reason("is", face, self.person_of[face])

    def _set_name(self, person: int, name: str) -> None:
        self.persons[person] = name
        self.person_by_key[name_key(name)] = person

    def _leave(self, face: int, person: int | None) -> None:
        if person is not None and self.person_of.get(face) == person:
            del self.person_of[face]
            self.faces_of[person].discard(face)

    def _merge(self, person: int, into: int) -> None:
        faces = self.faces_of.pop(person)
        self.person_of.update(dict.fromkeys(faces, into))
        self.faces_of[into] |= faces
        self.rejected[into] |= self.rejected.pop(person, set())
        del self.person_by_key[name_key(self.persons.pop(person))]

    def _apply_pairs(self, facts: Facts) -> None:
        for pair in facts.retracted:
            self.same.discard(pair)
            self.different.discard(pair)
        for pair in facts.same:
            self.same.add(pair)
        for pair in facts.different:
            self.different.add(pair)

    def _reanchor(self, new: dict[int, int]) -> None:
        def moved(faces: Iterable[int]) -> set[int]:
            return {new.get(face, face) for face in faces}

        def moved_pairs(pairs: Pairs) -> Pairs:
            return Pairs(ordered(new.get(a, a), new.get(b, b)) for a, b in pairs)

        self.person_of = {new.get(face, face): person for face, person in self.person_of.items()}
        self.faces_of = {person: moved(faces) for person, faces in self.faces_of.items()}
        self.rejected = defaultdict(set, ((person, moved(faces)) for person, faces in self.rejected.items()))
        self.ignored = moved(self.ignored)
        self.same, self.different = moved_pairs(self.same), moved_pairs(self.different)
        self._moved_to.update(new)
        for face in new.values():
            self._moved_to.pop(face, None)
