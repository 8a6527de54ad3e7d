"""What cannot be said, found before anything is written, and in words. Opens no file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from indexer.people.anchors import FaceRef
from indexer.people.facts import Conflict, Facts, NameTaken, NoSuchPerson, Pair, PeopleError, Reason, count, ordered
from indexer.people.replay import Replay


def require_nothing_overruled(replay: Replay, facts: Facts, order: str, *, moving: bool) -> None:
    """Refuse facts that would undo an earlier word without being a correction.

    Raises:
        Conflict: see ``Replay.overruled``.
    """
    if against := replay.overruled(facts, moving=moving):
        facts_against = [_in_words(reason, replay.persons) for reason in against]
        raise Conflict(order, against, facts_against, "Leave these faces out, or correct them first")


def contradicted(order: str, reasons: Sequence[Reason], facts: Facts, before: Replay) -> Conflict:
    """Refuse what cannot hold together with what was said before, in the words of before.

    Args:
        order: what is refused.
        reasons: a contradiction in the state that the facts would make.
        facts: what was to be said: no reason against itself, unless there is no other.
        before: the state without them.
    """
    earlier = [_as_before(reason, facts, before) for reason in reasons if not _is_said_in(facts, reason)]
    earlier = earlier or list(reasons)
    kinds = {reason.kind for reason in earlier}
    ways = ["`visavis retract FACE FACE` takes back what was said of two faces"] * bool(kinds & {"same", "different"})
    ways += ["`visavis move --to NAME FACE` says who a face is after all"] * bool(kinds & {"is", "is not"})
    names = before.persons | dict(facts.created)
    remedy = f"If that is wrong, correct it and say this again: {'; '.join(ways)}"
    return Conflict(order, earlier, [_in_words(reason, names) for reason in earlier], remedy)


def _is_said_in(facts: Facts, reason: Reason) -> bool:
    pair = reason.face, reason.other
    rows: dict[str, Sequence[Pair]] = {"is": facts.assigned, "is not": facts.rejected}
    rows |= {"same": facts.same, "different": facts.different}
    return pair in rows[reason.kind] or (reason.kind in ("same", "different") and pair[::-1] in rows[reason.kind])


def _as_before(reason: Reason, facts: Facts, before: Replay) -> Reason:
    """Name the person of whom it was said: those who are one by the new facts were two."""
    if reason.kind == "is":
        return replace(reason, other=before.person_of.get(reason.face, reason.other))
    if reason.kind == "is not":
        merged = (person for person, into in facts.merged if into == reason.other)
        was = (person for person in (reason.other, *merged) if reason.face in before.rejected.get(person, ()))
        return replace(reason, other=next(was, reason.other))
    return reason


def _in_words(reason: Reason, names: Mapping[int, str]) -> str:
    face, other = reason.face, reason.other
    match reason.kind:
        case "is":
            return f'face {face} is "{names[other]}"'
        case "is not":
            return f'face {face} was said not to be "{names[other]}"'
        case "ignored":
            return f"face {face} is ignored"
        case "same":
            return f"faces {face} and {other} were said to be the same person"
        case "different":
            return f"faces {face} and {other} were said to be different people"


def name_taken(replay: Replay, person: int, remedy: str) -> NameTaken:
    """Say that somebody has the name that a new person shall get."""
    faces = count(len(replay.faces_of[person]), "face")
    return NameTaken(f'there is a "{replay.persons[person]}" already, with {faces}: {remedy}, or choose another name')


def name_of(replay: Replay, person: int) -> str:
    """Give the name of a person who must be there.

    Raises:
        NoSuchPerson: if the person is not, or no longer.
    """
    if person not in replay.persons:
        raise NoSuchPerson(f"there is no person {person}, or no longer: `people` lists those that there are")
    return replay.persons[person]


def two_faces(a: FaceRef, b: FaceRef) -> tuple[dict[int, FaceRef], Pair]:
    """Write two faces as a pair, with their places by face_id.

    Raises:
        PeopleError: if they are one.
    """
    if a.face_id == b.face_id:
        raise PeopleError(f"face {a.face_id} is compared with itself: name two faces")
    return {a.face_id: a, b.face_id: b}, ordered(a.face_id, b.face_id)
