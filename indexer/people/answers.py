"""The answer to a question about many faces, as the facts of one action. Opens no file."""

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.people.anchors import FaceRef
from indexer.people.facts import Facts, Pair, PeopleError, clean_name, count, name_key
from indexer.people.refusals import name_of, two_faces
from indexer.people.replay import Pairs, Replay

RefPair = tuple[FaceRef, FaceRef]


@dataclass(frozen=True)
class Answer:
    """What one answer says. All of it holds, or nothing.

    Args:
        faces: get the name.
        rejected: are not this person.
        name: who that is, new or known; None where ``person`` says it, or where nothing is said of a person.
        person: who that is, by number.
        same: pairs of faces that are one person, whoever that is.
        different: pairs of faces that are two.
    """

    faces: Sequence[FaceRef] = ()
    rejected: Sequence[FaceRef] = ()
    name: str | None = None
    person: int | None = None
    same: Sequence[RefPair] = ()
    different: Sequence[RefPair] = ()

    def refs(self) -> dict[int, FaceRef]:
        """Give every face that the answer speaks of, by face_id."""
        pairs = [face for pair in (*self.same, *self.different) for face in pair]
        return {face.face_id: face for face in (*self.faces, *self.rejected, *pairs)}


def facts_of_answer(answer: Answer, replay: Replay, *, next_person: int) -> tuple[Facts, str]:
    """List what an answer says and a state does not hold yet, and write it as an order for humans.

    Args:
        answer: the answer.
        replay: what holds.
        next_person: the first person_id that is free.
    Raises:
        NoSuchPerson: if the person is no more.
        PeopleError: if the name is none, or the answer contradicts itself.
    """
    person, name, created = _whom(answer, replay, next_person)
    facts = Facts(
        created=created,
        assigned=tuple((f.face_id, person) for f in answer.faces if replay.person_of.get(f.face_id) != person),
        rejected=tuple(
            (f.face_id, person) for f in answer.rejected if f.face_id not in replay.rejected.get(person, ())
        ),
        same=_new_pairs(answer.same, replay.same),
        different=_new_pairs(answer.different, replay.different),
    )
    told = [
        (facts.assigned, f'name {count(len(facts.assigned), "face")} "{name}"'),
        (facts.rejected, f'reject {count(len(facts.rejected), "face")} as not "{name}"'),
        (facts.same, _of_pairs(facts.same, "the same person", "one person")),
        (facts.different, _of_pairs(facts.different, "different people", "two people")),
    ]
    return facts, "; ".join(text for said, text in told if said)


def _whom(answer: Answer, replay: Replay, next_person: int) -> tuple[int, str, tuple[tuple[int, str], ...]]:
    """Find the person that is spoken of: (number, name, what makes the person if it is a new one)."""
    if both := {face.face_id for face in answer.faces} & {face.face_id for face in answer.rejected}:
        raise PeopleError(
            f"the answer says that face {min(both)} is this person, and that it is not: keep one of these"
        )
    if answer.person is not None:
        return answer.person, name_of(replay, answer.person), ()
    if answer.name is None:
        if answer.faces or answer.rejected:
            raise PeopleError("the answer does not say who these faces are: give a name")
        return 0, "", ()
    name = clean_name(answer.name)
    known = replay.person_by_key.get(name_key(name))
    if known is not None:
        return known, replay.persons[known], ()
    return next_person, name, ((next_person, name),) if answer.faces or answer.rejected else ()


def _new_pairs(pairs: Sequence[RefPair], known: Pairs) -> tuple[Pair, ...]:
    found = (two_faces(*pair)[1] for pair in pairs)
    return tuple(dict.fromkeys(pair for pair in found if pair not in known))


def _of_pairs(pairs: Sequence[Pair], which: str, each: str) -> str:
    if len(pairs) == 1:
        return f"say that faces {pairs[0][0]} and {pairs[0][1]} are {which}"
    return f"say of {len(pairs)} pairs of faces that each is {each}"
