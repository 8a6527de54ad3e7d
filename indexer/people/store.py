"""The store of what humans said about faces: names, same, different, not this person, ignore.

Every human action is appended with its facts, and nothing is ever changed or removed. What holds is found by
replaying the actions that are not undone; undoing is an action too.

What may override what: ``assign`` and ``import_facts`` never go against an earlier word (enrolling may take a face
from another person, as ``move`` does). ``move``, ``reject`` and ``ignore`` are corrections: the later word holds.
No action may make the facts contradict each other. Whatever is refused leaves no trace.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from indexer.people.anchors import FaceRef, by_id, by_photo, reanchor
from indexer.people.answers import Answer, facts_of_answer
from indexer.people.exchange import find_places, from_document, missing_facts, to_document
from indexer.people.facts import Facts, NameTaken, PeopleError, PeopleState, clean_name, count, name_key
from indexer.people.joining import chained, loosened, merged_loosely, names_left, parted
from indexer.people.log import Action, PeopleLog
from indexer.people.orders import TAKING_BACK, both, whole, with_taken_back
from indexer.people.refusals import name_of, name_taken, require_nothing_overruled, two_faces

FILE_NAME = "people.sqlite"
"""The store's place in an album."""


class PeopleStore:
    """An open people file. Each action is written whole, at once, or not at all.

    The methods that say something return the action, or None if all of it held already: then nothing is written.
    They raise ``PeopleError``, or a kind of it, for what cannot be.
    """

    def __init__(
        self, path: Path, *, who: str | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Open the file, or make it.

        Args:
            path: the file; its folder must be there.
            who: the user that the actions are put down to; None for the login name.
            clock: tells the time, with its zone.
        Raises:
            PeopleError: if it cannot be made or read, is no people file, or one of a newer visavis.
        """
        self._log = PeopleLog(path, who=who, clock=clock)

    def close(self) -> None:
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    # Reading

    def state(self) -> PeopleState:
        """Tell what holds now, with what other processes said."""
        with self._log.reading() as replay:
            return replay.state()

    def faces(self, face_ids: Iterable[int] | None = None) -> dict[int, FaceRef]:
        """List faces that were ever spoken of, by face_id: those of the given ids, all if None."""
        with self._log.reading():
            return self._log.faces(face_ids)

    def history(self, limit: int | None = None) -> list[Action]:
        """List the latest actions, latest first; all of them if ``limit`` is None."""
        with self._log.reading():
            return self._log.actions(limit)

    def export_facts(self) -> dict[str, Any]:
        """Write what holds as one JSON document, described in ``indexer.people.exchange``."""
        with self._log.reading() as replay:
            return to_document(replay.state(), self._log.faces())

    # People

    def assign(
        self, faces: Sequence[FaceRef], name: str, *, add_to_existing: bool, kind: Literal["name", "enroll"] = "name"
    ) -> Action | None:
        """Give faces a name: of a new person or, with ``add_to_existing``, of one that is there.

        Raises:
            NameTaken: if the person is there, and ``add_to_existing`` is not said.
            Conflict: if a face is ignored or was said not to be this person, or, when naming, is another person
                (enrolling takes it from there); or if the facts would contradict each other.
        """
        refs, name = by_id(faces), clean_name(name)
        with self._log.writing() as replay:
            known = replay.person_by_key.get(name_key(name))
            person = self._log.next_person() if known is None else known
            new = [face for face in refs if replay.person_of.get(face) != person]
            if not new:
                return None
            if known is not None and not add_to_existing:
                raise name_taken(replay, known, "say that these faces are to be added to that person")
            facts = Facts(
                created=((person, name),) if known is None else (),
                assigned=tuple((face, person) for face in new),
            )
            known_as = "as " if kind == "enroll" else ""
            order = f'{kind} {count(len(new), "face")} {known_as}"{replay.persons.get(person, name)}"'
            require_nothing_overruled(replay, facts, order, moving=kind == "enroll")
            return self._say(kind, order, facts, refs)

    def rename(self, person: int, name: str) -> Action | None:
        """Give a person another name.

        Raises:
            NameTaken: if somebody else has it.
        """
        name = clean_name(name)
        with self._log.writing() as replay:
            old = name_of(replay, person)
            if replay.person_by_key.get(name_key(name), person) != person:
                raise NameTaken(f'there is a "{name}" already: choose another name, or merge the two')
            if name == old:
                return None
            return self._say("rename", f'rename "{old}" to "{name}"', Facts(renamed=((person, name),)))

    def merge(self, keep: int, other: int, *, loosen: bool = False) -> Action | None:
        """Say that two people are one: the first keeps its name and takes the faces of the other.

        Args:
            keep: the first.
            other: the other, who is no more.
            loosen: take back what was said against it, of two faces or of one.
        Raises:
            Conflict: if a face of one was said to be different from one of the other, or not to be this person.
        """
        with self._log.writing() as replay:
            order = f'merge "{name_of(replay, other)}" into "{name_of(replay, keep)}"'
            if keep == other:
                raise PeopleError(f"cannot {order}: that is one person already, so name another one")
            facts = merged_loosely(keep, other, replay) if loosen else Facts(merged=((other, keep),))
            if facts.assigned:
                order += f"{TAKING_BACK}the rejection of {count(len(facts.assigned), 'face')}"
            return self._say("merge", with_taken_back(order, facts, "two people"), facts)

    # Faces

    def move(self, faces: Sequence[FaceRef], person: int, *, loosen: bool = False) -> Action | None:
        """Put faces to a person, whoever they were before, and though they were ignored or rejected.

        Args:
            faces: the faces.
            person: their person from now on.
            loosen: take back, too, that they are the same as other faces.
        Raises:
            Conflict: if the facts on same and different faces are against it.
        """
        refs = by_id(faces)
        with self._log.writing() as replay:
            name = name_of(replay, person)
            new = tuple((face, person) for face in refs if replay.person_of.get(face) != person)
            order = f'move {count(len(new), "face")} to "{name}"'
            facts = loosened(Facts(assigned=new), refs if loosen else (), replay)
            return self._say("move", with_taken_back(order, facts), facts, refs)

    def move_to_new(self, faces: Sequence[FaceRef], name: str, *, loosen: bool = False) -> Action | None:
        """Put faces to a new person, as ``move`` does.

        Raises:
            NameTaken: if somebody has this name.
            Conflict: see ``move``.
        """
        refs, name = by_id(faces), clean_name(name)
        with self._log.writing() as replay:
            if (known := replay.person_by_key.get(name_key(name))) is not None:
                raise name_taken(replay, known, "move the faces to that person")
            person = self._log.next_person()
            order = f'move {count(len(refs), "face")} to "{name}", who is new'
            facts = Facts(created=((person, name),), assigned=tuple((face, person) for face in refs))
            facts = loosened(facts, refs if loosen else (), replay)
            return self._say("move", with_taken_back(order, facts), facts, refs)

    def reject(self, faces: Sequence[FaceRef], person: int, *, loosen: bool = False) -> Action | None:
        """Say that faces are not this person; those that were, are nobody from now on.

        Args:
            faces: the faces.
            person: who they are not.
            loosen: take back, too, that they are the same as other faces.
        Raises:
            Conflict: if a face was said to be the same as one that stays with this person.
        """
        refs = by_id(faces)
        with self._log.writing() as replay:
            name = name_of(replay, person)
            new = tuple((face, person) for face in refs if face not in replay.rejected.get(person, ()))
            order = f'reject {count(len(new), "face")} as not "{name}"'
            facts = loosened(Facts(rejected=new), refs if loosen else (), replay)
            return self._say("reject", with_taken_back(order, facts), facts, refs)

    def ignore(self, faces: Sequence[FaceRef]) -> Action | None:
        """Never show faces again; those that were somebody are nobody from now on. Others that are the same stay so."""
        refs = by_id(faces)
        with self._log.writing() as replay:
            new = tuple((face,) for face in refs if face not in replay.ignored)
            facts = Facts(ignored=new, assigned=names_left({face for (face,) in new}, replay))
            return self._say("ignore", f"ignore {count(len(new), 'face')}", facts, refs)

    def join(self, faces: Sequence[FaceRef], *, of: str | None = None) -> Action | None:
        """Say that faces are one person, all of them, whoever that is.

        Args:
            faces: the faces.
            of: where they come from, for humans: ``groups 3 and 7``.
        Raises:
            Conflict: if it follows from what was said that some of them are two.
        """
        refs = by_id(faces)
        with self._log.writing() as replay:
            order = f"join {whole(len(refs), of)} to one person"
            return self._say("join", order, Facts(same=chained(refs, replay.same)), refs)

    def split(self, parts: Sequence[Sequence[FaceRef]], *, of: str | None = None) -> Action | None:
        """Say that the faces of each part are one person, and any two parts two, whoever they are.

        That faces of two parts are the same, is taken back where it was said of just these two.

        Args:
            parts: two or more; no face is in two of them.
            of: where they come from, for humans: ``group 3``.
        Raises:
            Conflict: if it follows from what else was said that it cannot be so.
        """
        parts_by_id = [by_id(part) for part in parts]
        refs = by_id([face for part in parts for face in part])
        if len(parts) < 2 or len(refs) < sum(map(len, parts_by_id)):
            raise ValueError("parts must be two or more, and no face in two of them")
        with self._log.writing() as replay:
            order = f"split {whole(len(refs), of)} into {len(parts)} people"
            facts = parted(parts_by_id, replay)
            return self._say("split", with_taken_back(order, facts), facts, refs)

    def same(self, a: FaceRef, b: FaceRef) -> Action | None:
        """Say that two faces are one person, whoever that is.

        Raises:
            Conflict: if it follows from what was said that they are two.
        """
        refs, pair = two_faces(a, b)
        with self._log.writing() as replay:
            new = () if pair in replay.same else (pair,)
            return self._say("same", f"say that {both(pair)} are the same person", Facts(same=new), refs)

    def different(self, a: FaceRef, b: FaceRef) -> Action | None:
        """Say that two faces are two people, whoever they are.

        Raises:
            Conflict: if it follows from what was said that they are one.
        """
        refs, pair = two_faces(a, b)
        with self._log.writing() as replay:
            new = () if pair in replay.different else (pair,)
            return self._say("different", f"say that {both(pair)} are different people", Facts(different=new), refs)

    def retract(self, a: FaceRef, b: FaceRef) -> Action | None:
        """Take back what was said of two faces as a pair, same or different, however long ago."""
        refs, pair = two_faces(a, b)
        with self._log.writing() as replay:
            new = (pair,) if pair in replay.same or pair in replay.different else ()
            return self._say("retract", f"retract what was said of {both(pair)}", Facts(retracted=new), refs)

    def settle(self, answer: Answer) -> Action | None:
        """Write all that an answer says as one action.

        Raises:
            Conflict: if a face that gets the name is somebody else, ignored or was said not to be this person; or if
                the facts would contradict each other.
            NoSuchPerson: if the person that it speaks of is no more.
        """
        refs = answer.refs()
        with self._log.writing() as replay:
            facts, order = facts_of_answer(answer, replay, next_person=self._log.next_person())
            require_nothing_overruled(replay, replace(facts, rejected=()), order, moving=False)
            return self._say("review", order, facts, refs)

    # The whole

    def undo(self, only: int | None = None) -> Action:
        """Take back the latest action that is not undone, whole. Undoing again goes on to the one before.

        Re-anchoring is passed over: what it says is measured, and no word of a human.

        Args:
            only: the action_id that is to be taken back, and no other.
        Raises:
            PeopleError: if there is nothing to undo, or the latest action is another than ``only``.
        """
        with self._log.writing():
            last = self._log.last_word()
            if last is None:
                raise PeopleError("there is nothing to undo: `history` shows no action that still holds")
            if only is not None and last.action_id != only:
                raise PeopleError(f"not taken back, since something else was said last: {last.text}")
            return self._log.append("undo", f"undo {last.action_id}: {last.text}", Facts(), {}, undoes=last.action_id)

    def import_facts(self, document: object, present: Mapping[str, Sequence[FaceRef]] | None = None) -> Action | None:
        """Take over what an export says, as one action. People of one name are taken for one person.

        Args:
            document: what ``export_facts`` gave, here or in another album, perhaps by way of a JSON file.
            present: photo_id -> the faces that this album has there. The document's faces are found again among
                them and the faces spoken of here; those that are not keep their ids.
        Raises:
            Conflict: if anything in it goes against what was said here.
            PeopleError: if it is no such document, a damaged one, or one of a newer visavis.
        """
        exported = from_document(document)
        with self._log.writing() as replay:
            here = {ref.face_id: ref for refs in (present or {}).values() for ref in refs}
            here |= self._log.current_faces()
            refs = find_places(exported, here.values(), replay)
            facts = missing_facts(exported, refs, replay, next_person=self._log.next_person())
            people = count(len(facts.created), "new person", "new people")
            order = f"import {count(len(facts.faces()), 'face')} and {people}"
            require_nothing_overruled(replay, facts, order, moving=False)
            return self._say("import", order, facts, {ref.face_id: ref for ref in refs.values()})

    def reanchor(self, present: Mapping[str, Sequence[FaceRef]]) -> Action | None:
        """Carry all that was said over to the faces that a new detector shows at the same places.

        Args:
            present: photo_id -> all faces that the photo has now. Photos left out stay as they are.
        """
        now = {ref.face_id: ref for refs in present.values() for ref in refs}
        with self._log.writing():
            current = self._log.current_faces()
            lost = [ref for face, ref in current.items() if face not in now]
            found = reanchor(lost, by_photo(ref for face, ref in now.items() if face not in current))
            refs = {face: now[face] for face in found.values()}
            order = f"re-anchor {count(len(found), 'face')} to other boxes"
            return self._say("reanchor", order, Facts(reanchored=tuple(found.items())), refs)

    def _say(self, kind: str, order: str, facts: Facts, refs: Mapping[int, FaceRef] | None = None) -> Action | None:
        if facts == Facts():
            return None
        places = dict(refs or {})
        places |= self._log.faces(facts.faces() - places.keys())  # faces that others were linked to were spoken of
        return self._log.append(kind, order, facts, places)
