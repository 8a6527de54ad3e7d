"""What humans said, as one JSON document that can go to another album. Opens no file.

The document says what holds, not how it came about. Faces carry their photo_id and box, by which another album, or
another detector, finds them again; their ids in it only link its parts:

    {"format": "visavis people", "version": 1,
     "faces": {"17": {"photo_id": "5f0c...", "box": [x, y, w, h]}, ...},
     "people": [{"name": "Ann Lee", "faces": ["17"], "rejected": ["23"]}, ...],
     "ignored": ["31"], "same": [["40", "41"]], "different": [["40", "42"]]}
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from indexer.people.anchors import FaceRef, by_photo, reanchor
from indexer.people.facts import Facts, Pair, PeopleError, PeopleState, clean_name, name_key, ordered
from indexer.people.replay import Replay

DOCUMENT_FORMAT = "visavis people"
DOCUMENT_VERSION = 1


@dataclass(frozen=True)
class ExportedPerson:
    """One person of a document; ``faces`` and ``rejected`` are face_ids."""

    name: str
    faces: tuple[int, ...]
    rejected: tuple[int, ...]


@dataclass(frozen=True)
class Exported:
    """A document, read and found sound. Its face_ids are those of the album that it comes from."""

    faces: dict[int, FaceRef]
    people: tuple[ExportedPerson, ...]
    ignored: tuple[int, ...]
    same: tuple[Pair, ...]
    different: tuple[Pair, ...]


def to_document(state: PeopleState, faces: Mapping[int, FaceRef]) -> dict[str, Any]:
    """Write a state as a document: the same state, whatever the person_ids, gives the same document.

    Args:
        state: what holds.
        faces: face_id -> place, for every face that ``state`` speaks of at least.
    """
    faces_of: defaultdict[int, list[int]] = defaultdict(list)
    rejected_of: defaultdict[int, list[int]] = defaultdict(list)
    for face, person in state.person_of.items():
        faces_of[person].append(face)
    for face, person in state.rejected:
        rejected_of[person].append(face)
    people = sorted(state.persons.items(), key=lambda item: name_key(item[1]))
    return {
        "format": DOCUMENT_FORMAT,
        "version": DOCUMENT_VERSION,
        "faces": {
            str(face): {"photo_id": faces[face].photo_id, "box": list(faces[face].box)}
            for face in sorted(state.faces())
        },
        "people": [
            {"name": name, "faces": _keys(faces_of[person]), "rejected": _keys(rejected_of[person])}
            for person, name in people
        ],
        "ignored": _keys(state.ignored),
        "same": [[str(face), str(other)] for face, other in state.same],
        "different": [[str(face), str(other)] for face, other in state.different],
    }


def from_document(document: object) -> Exported:
    """Read a document, as it comes out of JSON.

    Raises:
        PeopleError: if it is none, of a newer version, damaged, or says two things of one face that cannot both be.
    """
    if not isinstance(document, dict) or document.get("format") != DOCUMENT_FORMAT:
        raise PeopleError(f'this is no export of people: that is a JSON object with "format": "{DOCUMENT_FORMAT}"')
    version = document.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise PeopleError(f'the export is damaged: its "version" is {version!r}; export it again')
    if version > DOCUMENT_VERSION:
        raise PeopleError(
            f"the export is of version {version}, and this visavis knows versions up to {DOCUMENT_VERSION}: install a"
            " newer visavis to import it"
        )
    try:
        exported = Exported(
            faces={
                int(key): FaceRef(int(key), str(place["photo_id"]), _box(place["box"]))
                for key, place in document["faces"].items()
            },
            people=tuple(
                ExportedPerson(clean_name(person["name"]), _ids(person["faces"]), _ids(person["rejected"]))
                for person in document["people"]
            ),
            ignored=_ids(document["ignored"]),
            same=tuple({_pair(keys): None for keys in document["same"]}),
            different=tuple({_pair(keys): None for keys in document["different"]}),
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise PeopleError(f"the export is damaged ({error!r}): export it again") from error
    _require_sound(exported)
    return exported


def find_places(exported: Exported, here: Iterable[FaceRef], replay: Replay) -> dict[int, FaceRef]:
    """Find the faces of a document again in an album: face_id of the document -> face here.

    One that has no box near enough here keeps its id and its box.
    """
    known = {ref.face_id: ref for ref in here}
    found = reanchor(exported.faces.values(), by_photo(known.values()))
    ids = {face: found.get(face, replay.face_now(face)) for face in exported.faces}
    return {face: ref if ids[face] == face else known[ids[face]] for face, ref in exported.faces.items()}


def missing_facts(exported: Exported, refs: Mapping[int, FaceRef], replay: Replay, *, next_person: int) -> Facts:
    """List what a document says and a state does not hold yet.

    Args:
        exported: the document.
        refs: its face_ids -> faces here, for every face of it.
        replay: the state here. People of one name are one person.
        next_person: the first person_id that is free.
    """
    place = {face: ref.face_id for face, ref in refs.items()}
    created: list[tuple[int, str]] = []
    assigned: list[Pair] = []
    rejected: list[Pair] = []
    for person in exported.people:
        known = replay.person_by_key.get(name_key(person.name))
        person_id = next_person + len(created) if known is None else known
        if known is None:
            created.append((person_id, person.name))
        assigned += [(place[face], person_id) for face in person.faces]
        rejected += [(place[face], person_id) for face in person.rejected]
    ignored = (place[face] for face in exported.ignored)
    same = (ordered(place[a], place[b]) for a, b in exported.same)
    different = (ordered(place[a], place[b]) for a, b in exported.different)
    return Facts(
        created=tuple(created),
        assigned=tuple((face, person) for face, person in assigned if replay.person_of.get(face) != person),
        rejected=tuple((face, person) for face, person in rejected if face not in replay.rejected.get(person, ())),
        ignored=tuple((face,) for face in ignored if face not in replay.ignored),
        same=tuple(pair for pair in same if pair not in replay.same),
        different=tuple(pair for pair in different if pair not in replay.different),
    )


def _require_sound(exported: Exported) -> None:
    said: defaultdict[int, list[str]] = defaultdict(list)
    names: set[str] = set()
    spoken_of = set(exported.ignored)
    for pair in (*exported.same, *exported.different):
        spoken_of.update(pair)
    for person in exported.people:
        if name_key(person.name) in names:
            raise PeopleError(f'the export names two people "{person.name}": merge or rename them where it was made')
        names.add(name_key(person.name))
        spoken_of.update(person.faces, person.rejected)
        for face in person.faces:
            said[face].append(f'is "{person.name}"')
        for face in set(person.faces).intersection(person.rejected):
            said[face].append(f'is not "{person.name}"')
    for face in exported.ignored:
        said[face].append("is ignored")
    for face, facts in said.items():
        if len(facts) > 1:
            raise PeopleError(f"the export contradicts itself: face {face} {' and '.join(facts)}. Keep one of these")
    if unknown := spoken_of - exported.faces.keys():
        raise PeopleError(f'the export is damaged: "faces" lacks face {min(unknown)}; export it again')


def _keys(faces: Sequence[int] | frozenset[int]) -> list[str]:
    return [str(face) for face in sorted(faces)]


def _ids(keys: Sequence[str]) -> tuple[int, ...]:
    return tuple({int(key): None for key in keys})


def _pair(keys: Sequence[str]) -> Pair:
    a, b = (int(key) for key in keys)
    if a == b:
        raise ValueError(f"a pair of face {a} with itself")
    return ordered(a, b)


def _box(box: Sequence[int]) -> tuple[int, int, int, int]:
    x, y, w, h = (int(edge) for edge in box)
    return x, y, w, h
