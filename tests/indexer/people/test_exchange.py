"""Facts move between albums as one JSON document."""

import copy
import json
import math

import pytest

from indexer.people import Conflict, FaceRef, PeopleError, PeopleStore

ANN, ANN_AGAIN, BOB, HAND, CHILD = (FaceRef(n, f"{n:032x}", (10, 20, 60, 80)) for n in (1, 2, 3, 4, 2**62 + 1))


@pytest.fixture
def document(tmp_path):
    with PeopleStore(tmp_path / "from.sqlite", who="ann") as store:
        store.assign([ANN, ANN_AGAIN], "Ann Lee", add_to_existing=False)
        store.assign([BOB], "Bob", add_to_existing=False)
        store.reject([CHILD], store.state().person_named("Bob"))
        store.ignore([HAND])
        store.same(ANN, ANN_AGAIN)
        store.different(ANN, CHILD)
        return store.export_facts()


@pytest.fixture
def store(tmp_path):
    with PeopleStore(tmp_path / "to.sqlite", who="bob") as opened:
        yield opened


def test_a_document_survives_json_and_reads_as_described(document, store):
    text = json.dumps(document)
    assert document["people"][0] == {"name": "Ann Lee", "faces": ["1", "2"], "rejected": []}
    assert document["faces"][str(CHILD.face_id)] == {"photo_id": CHILD.photo_id, "box": list(CHILD.box)}
    assert store.import_facts(json.loads(text)).text == "import 5 faces and 2 new people"
    assert store.export_facts() == document
    assert store.import_facts(document) is None


def test_an_import_finds_faces_by_photo_and_box_and_people_by_name(document, store):
    near = {face.photo_id: [FaceRef(face.face_id + 50, face.photo_id, (*face.box[:2], 55, 82))] for face in (ANN, BOB)}
    store.assign(near[ANN.photo_id], "ANN LEE", add_to_existing=False)
    store.import_facts(document, near)
    state = store.state()
    assert state.persons == {1: "ANN LEE", 2: "Bob"}
    assert state.person_of == {51: 1, 2: 1, 53: 2}
    assert state.same == ((2, 51),)
    assert store.import_facts(document, near) is None
    assert store.import_facts(document) is None


def test_an_import_follows_faces_that_drifted_away_box_by_box(document, store):
    store.import_facts(document)
    for step in (1, 2):
        box = (ANN.box[0] + 15 * step, *ANN.box[1:])  # IoU with the one before .6, after two steps .33
        store.reanchor({ANN.photo_id: [FaceRef(50 + step, ANN.photo_id, box)]})
    assert store.state().person_of[52] == store.state().person_named("Ann Lee")
    assert store.import_facts(document) is None


def test_an_import_overrules_nothing_and_is_refused_whole(document, store):
    store.assign([ANN], "Cleo", add_to_existing=False)
    store.assign([HAND], "Dora", add_to_existing=False)
    before = store.state()
    with pytest.raises(Conflict, match='face 1 is "Cleo"; face 4 is "Dora"'):
        store.import_facts(document)
    assert store.state() == before
    assert len(store.history()) == 2


def test_an_import_rejects_and_ignores_no_face_that_has_this_name_here(document, store):
    store.assign([CHILD], "Bob", add_to_existing=False)
    with pytest.raises(Conflict, match=f'because face {CHILD.face_id} is "Bob"'):
        store.import_facts(document)


def test_an_import_that_contradicts_what_was_said_of_pairs_is_refused(document, store):
    store.different(ANN, ANN_AGAIN)
    with pytest.raises(Conflict, match="faces 1 and 2 were said to be different people"):
        store.import_facts(document)
    assert store.state().persons == {}


def test_a_newer_document_is_refused_with_a_remedy(document, store):
    with pytest.raises(PeopleError, match=r"version 2, .* versions up to 1: install a newer"):
        store.import_facts(document | {"version": 2})


def damaged(change):
    def apply(document):
        changed = copy.deepcopy(document)
        change(changed)
        return changed

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda document: [document], "no export of people"),
        (lambda document: document | {"format": "shopping list"}, "no export of people"),
        (lambda document: document | {"version": "1"}, "damaged"),
        (lambda document: {key: document[key] for key in document if key != "same"}, "damaged.*same"),
        (damaged(lambda d: d["same"].append(["1"])), "damaged"),
        (damaged(lambda d: d["same"].append(["1", "1"])), "damaged.*itself"),
        (damaged(lambda d: d["ignored"].append("99")), "lacks face 99"),
        (damaged(lambda d: d["faces"]["1"].pop("box")), "damaged.*box"),
        (damaged(lambda d: d["faces"]["1"].update(box=[0, 0, 0, 5])), "damaged"),
        (damaged(lambda d: d["faces"]["1"].update(box=[0, 0, math.inf, 5])), "damaged.*infinity"),
        (damaged(lambda d: d["faces"]["1"].update(box=[math.nan, 0, 5, 5])), "damaged.*NaN"),
        (lambda document: document | {"version": True}, "damaged.*True"),
        (damaged(lambda d: d["people"][0].update(name=7)), "damaged"),
        (damaged(lambda d: d["people"][1].update(name="ann  lee")), "two people"),
        (damaged(lambda d: d["people"][1]["faces"].append("1")), 'face 1 is "Ann Lee" and is "Bob"'),
        (damaged(lambda d: d["people"][0]["rejected"].append("1")), 'face 1 is "Ann Lee" and is not "Ann Lee"'),
        (damaged(lambda d: d["ignored"].append("1")), 'face 1 is "Ann Lee" and is ignored'),
    ],
)
def test_a_damaged_document_is_refused_and_changes_nothing(document, store, damage, message):
    with pytest.raises(PeopleError, match=message):
        store.import_facts(damage(document))
    assert store.history() == []
