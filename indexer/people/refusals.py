"""What cannot be said, found before anything is written, and in words. Opens no file."""

from indexer.people.anchors import FaceRef
from indexer.people.facts import Conflict, Facts, NameTaken, NoSuchPerson, Pair, PeopleError, count, ordered
from indexer.people.replay import Replay


def require_nothing_overruled(replay: Replay, facts: Facts, order: str, *, moving: bool) -> None:
    """Refuse facts that would undo an earlier word without being a correction.

    Raises:
        Conflict: see ``Replay.overruled``.
    """
    if against := replay.overruled(facts, moving=moving):
        raise Conflict(order, against, "Leave these faces out, or correct them first")


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
