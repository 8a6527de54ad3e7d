"""The vocabulary of the people file: facts, the state that they make, names, refusals. Opens no file."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Literal

Pair = tuple[int, int]


class PeopleError(Exception):
    """What was asked of the people file cannot be done: says what was found, and the remedy."""


class NameTaken(PeopleError):
    """Another person has this name already."""


class NoSuchPerson(PeopleError):
    """No person has this id: it was never given, or the person was merged or undone."""


@dataclass(frozen=True)
class Reason:
    """A fact that stands against what is to be said."""

    kind: Literal["is", "is not", "ignored", "same", "different"]
    face: int
    other: int = 0
    """a person_id where the face is somebody, or not; a face_id of a pair"""


class Conflict(PeopleError):
    """What is to be said contradicts what was said before.

    Attributes:
        reasons: what stands against it.
        facts: each of them in words.
        because: what is refused, and why, in words.
        remedy: what can be done about it, in words; a command may know better.
    """

    def __init__(self, refused: str, reasons: Sequence[Reason], facts: Iterable[str], remedy: str) -> None:
        self.reasons, self.facts, self.remedy = tuple(reasons), tuple(facts), remedy
        shown = "; ".join(self.facts[:8])
        more = f"; and {len(self.facts) - 8} more" if len(self.facts) > 8 else ""
        self.because = f"cannot {refused}, because {shown}{more}"
        super().__init__(f"{self.because}. {remedy}")

    def against(self) -> set[int]:
        """Collect the faces that stand against it; not those that only link them to others."""
        pairs = {face for reason in self.reasons if reason.kind == "different" for face in (reason.face, reason.other)}
        return pairs | {reason.face for reason in self.reasons if reason.kind not in ("same", "different")}


def clean_name(name: str) -> str:
    """Write a name the one way it is stored: Unicode NFC, single spaces, none at the ends.

    Raises:
        PeopleError: if nothing is left, or it holds control characters or bytes that are no text.
    """
    cleaned = " ".join(unicodedata.normalize("NFC", name).split())
    if not cleaned:
        raise PeopleError("a person needs a name, and this one is empty: give a name with a letter in it")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in cleaned):
        raise PeopleError(f"the name {name!a} holds characters that are no text: write it without them")
    return cleaned


def name_key(name: str) -> str:
    """Give names that a human takes for one name the same key: NFC, capitals and white space do not count."""
    return unicodedata.normalize("NFC", clean_name(name).casefold())


def ordered(a: int, b: int) -> Pair:
    """Write a pair of faces the one way it is stored: the lower face_id first."""
    return (a, b) if a < b else (b, a)


def lowest_joined(pairs: Iterable[Pair]) -> dict[int, int]:
    """Join what pairs link, directly or through others: each member of a pair -> the lowest of its piece."""
    above: dict[int, int] = {}

    def top(member: int) -> int:
        while (higher := above.setdefault(member, member)) != member:
            above[member] = above[higher]  # halves the way for the next time
            member = above[member]
        return member

    for a, b in pairs:
        low, high = sorted((top(a), top(b)))
        above[high] = low
    return {member: top(member) for member in above}


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Write "1 face", "2 faces"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


@dataclass(frozen=True)
class Facts:
    """The facts of one action. Each field is a fact table of the file, each tuple in it a row."""

    created: tuple[tuple[int, str], ...] = ()
    """(person_id, name)"""
    renamed: tuple[tuple[int, str], ...] = ()
    """(person_id, new name)"""
    merged: tuple[Pair, ...] = ()
    """(person_id that ends, person_id that takes its faces)"""
    assigned: tuple[Pair, ...] = ()
    """(face_id, person_id)"""
    rejected: tuple[Pair, ...] = ()
    """(face_id, person_id)"""
    ignored: tuple[tuple[int], ...] = ()
    """(face_id,)"""
    same: tuple[Pair, ...] = ()
    """(face_id, higher face_id), as in the next two"""
    different: tuple[Pair, ...] = ()
    retracted: tuple[Pair, ...] = ()
    reanchored: tuple[Pair, ...] = ()
    """(face_id so far, face_id from now on)"""

    def faces(self) -> set[int]:
        """Collect the face_ids that the facts speak of, but for the old ones of ``reanchored``."""
        faces = {face for face, _ in chain(self.assigned, self.rejected)}
        faces.update(face for (face,) in self.ignored)
        faces.update(chain.from_iterable(chain(self.same, self.different, self.retracted)))
        faces.update(face for _, face in self.reanchored)
        return faces


@dataclass(frozen=True)
class PeopleState:
    """What holds now, of all that was said, and what follows from it. A snapshot: later actions do not change it."""

    persons: dict[int, str]
    """person_id -> name. A person may have no face left."""
    person_of: dict[int, int]
    """face_id -> person_id, as it was said; ``whose`` adds what follows from that"""
    rejected: frozenset[Pair]
    """(face_id, person_id): this face is not that person."""
    ignored: frozenset[int]
    """face_ids that are never to be shown; none of them has a person."""
    same: tuple[Pair, ...]
    """Pairs of face_ids said to be one person, lower id first, sorted."""
    different: tuple[Pair, ...]
    """Pairs of face_ids said to be two people, likewise."""

    @cached_property
    def heads(self) -> dict[int, int]:
        """face_id -> the lowest of those that were said to be the same, for every face in ``same``."""
        return lowest_joined(self.same)

    @cached_property
    def whose(self) -> dict[int, int]:
        """face_id -> person_id: a face that is the same as one of Ann's is Ann's. Ignored faces are nobody's."""
        owner = {self.heads[face]: person for face, person in self.person_of.items() if face in self.heads}
        return {
            face: owner[head] for face, head in self.heads.items() if head in owner and face not in self.ignored
        } | self.person_of

    @cached_property
    def not_whose(self) -> frozenset[Pair]:
        """(head, person_id) for each person whom a face, or one that is the same, was said not to be.

        The head of a face that is not in ``heads`` is the face itself.
        """
        return frozenset((self.heads.get(face, face), person) for face, person in self.rejected)

    def faces(self) -> frozenset[int]:
        """Collect the face_ids that anything holds for."""
        pairs = chain.from_iterable(chain(self.same, self.different))
        return self.ignored.union(self.person_of, (face for face, _ in self.rejected), pairs)

    def person_named(self, name: str) -> int | None:
        """Look up who has this name, in whatever capitals and spacing; None if nobody has.

        Raises:
            PeopleError: if it cannot be a name: it is empty, say.
        """
        key = name_key(name)
        return next((person for person, known in self.persons.items() if name_key(known) == key), None)
