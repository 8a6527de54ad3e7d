"""What humans said is kept, can be taken back, and never contradicts itself."""

import dataclasses
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.people import Conflict, FaceRef, NameTaken, NoSuchPerson, PeopleError, PeopleState, PeopleStore
from indexer.people.anchors import by_photo

FACES = {number: FaceRef(number, f"{number // 2:032x}", (number % 2 * 50, 10, 30, 40)) for number in range(1, 6)}
NOTHING = PeopleState({}, {}, frozenset(), frozenset(), (), ())
NOON = datetime(2024, 5, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))


def refs(*numbers):
    return [FACES[number] for number in numbers]


@pytest.fixture
def store(tmp_path):
    with PeopleStore(tmp_path / "people.sqlite", who="ann", clock=lambda: NOON) as opened:
        yield opened


# One action at a time


def test_a_new_store_holds_nothing(store):
    assert store.state() == NOTHING
    assert store.history() == []
    assert store.faces() == {}


def test_naming_makes_a_person_and_the_log_says_who_did_what_and_when(store):
    action = store.assign(refs(1, 2, 1), "  Ann   Lee ", add_to_existing=False)
    assert store.state() == dataclasses.replace(NOTHING, persons={1: "Ann Lee"}, person_of={1: 1, 2: 1})
    assert store.history() == [action]
    assert (action.at, action.who, action.text) == ("2024-05-01T12:00:00+00:00", "ann", 'name 2 faces "Ann Lee"')
    assert store.faces() == {1: FACES[1], 2: FACES[2]}


@pytest.mark.parametrize("again", ["ZOË WEISS", "zoe\u0308  weiß", " Zoë\tWeiß"])
def test_a_name_that_is_there_is_taken_however_it_is_written(store, again):
    store.assign(refs(1), "Zoë Weiß", add_to_existing=False)
    with pytest.raises(NameTaken, match=r'"Zoë Weiß" already, with 1 face: .* choose another name'):
        store.assign(refs(2), again, add_to_existing=False)
    store.assign(refs(2), again, add_to_existing=True)
    assert store.state().persons == {1: "Zoë Weiß"}
    assert store.state().person_of == {1: 1, 2: 1}
    assert store.state().person_named(again) == 1
    assert store.state().person_named("Zoe") is None


@pytest.mark.parametrize("name", ["", " \t", "Ann\x00", "Ann\udce9"])
def test_a_name_that_is_no_text_is_refused(store, name):
    with pytest.raises(PeopleError, match="name"):
        store.assign(refs(1), name, add_to_existing=False)


def test_enrolling_again_writes_only_what_is_new(store):
    store.assign(refs(1, 2), "Ann", add_to_existing=True, kind="enroll")
    assert store.assign(refs(1, 2), "ann", add_to_existing=True, kind="enroll") is None
    action = store.assign(refs(1, 2, 3), "Ann", add_to_existing=True, kind="enroll")
    assert action.text == 'enroll 1 face as "Ann"'
    assert len(store.history()) == 2


def test_naming_a_group_takes_no_face_from_a_person_but_enrolling_does(store):
    store.assign(refs(1, 2), "Ann", add_to_existing=False)
    with pytest.raises(Conflict, match=r'cannot name 2 faces "Bob", because face 2 is "Ann". Leave') as refused:
        store.assign(refs(2, 3), "Bob", add_to_existing=False)
    assert refused.value.facts == ('face 2 is "Ann"',)
    assert store.state().persons == {1: "Ann"}
    store.assign(refs(2, 3), "Bob", add_to_existing=False, kind="enroll")
    assert store.state().person_of == {1: 1, 2: 2, 3: 2}


def test_corrections_override_what_was_said_and_namings_do_not(store):
    store.assign(refs(1, 2, 3), "Ann", add_to_existing=False)
    store.reject(refs(1, 4), 1)
    store.ignore(refs(2))
    assert store.state() == dataclasses.replace(
        NOTHING,
        persons={1: "Ann"},
        person_of={3: 1},
        rejected=frozenset({(1, 1), (4, 1)}),
        ignored=frozenset({2}),
    )
    for kind in ("name", "enroll"):
        with pytest.raises(Conflict, match='face 1 was said not to be "Ann"; face 2 is ignored'):
            store.assign(refs(1, 2), "Ann", add_to_existing=True, kind=kind)
    store.move(refs(1, 2), 1)
    assert store.state().person_of == {1: 1, 2: 1, 3: 1}
    assert store.state().rejected == {(4, 1)}
    assert store.state().ignored == frozenset()


def test_merging_joins_faces_and_rejections_under_the_first_name(store):
    store.assign(refs(1), "Ann", add_to_existing=False)
    store.assign(refs(2), "Annie", add_to_existing=False)
    store.reject(refs(3), 2)
    store.merge(1, 2)
    assert store.state().persons == {1: "Ann"}
    assert store.state().person_of == {1: 1, 2: 1}
    assert store.state().rejected == {(3, 1)}
    with pytest.raises(NoSuchPerson, match="no person 2"):
        store.rename(2, "Anna")
    store.assign(refs(4), "Annie", add_to_existing=False)
    assert store.state().persons == {1: "Ann", 3: "Annie"}


def test_renaming_frees_the_old_name_and_respects_the_others(store):
    store.assign(refs(1), "Ann", add_to_existing=False)
    store.assign(refs(2), "Bob", add_to_existing=False)
    with pytest.raises(NameTaken, match='"bob" already: choose another name, or merge'):
        store.rename(1, "bob")
    store.rename(1, "ANN")
    store.rename(1, "Cleo")
    assert store.rename(1, "Cleo") is None
    store.rename(2, "Ann")
    assert store.state().persons == {1: "Cleo", 2: "Ann"}


def test_what_holds_already_is_not_written_again(store):
    store.assign(refs(1, 2), "Ann", add_to_existing=False)
    store.reject(refs(3), 1)
    store.ignore(refs(4))
    store.same(FACES[1], FACES[2])
    store.different(FACES[1], FACES[3])
    before = store.history()
    assert store.assign(refs(1, 2), "Ann", add_to_existing=False) is None
    assert store.move(refs(2), 1) is None
    assert store.reject(refs(3), 1) is None
    assert store.ignore(refs(4)) is None
    assert store.same(FACES[2], FACES[1]) is None
    assert store.different(FACES[3], FACES[1]) is None
    assert store.retract(FACES[4], FACES[1]) is None
    assert store.history() == before


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda store: store.undo(), "nothing to undo"),
        (lambda store: store.merge(1, 1), "one person already"),
        (lambda store: store.same(FACES[1], FACES[1]), "compared with itself"),
        (lambda store: store.move(refs(1), 9), "no person 9"),
        (lambda store: store.reject(refs(1), 9), "no person 9"),
    ],
)
def test_the_impossible_is_refused_with_a_reason(tmp_path, act, message):
    with PeopleStore(tmp_path / "people.sqlite") as store:
        store.assign(refs(1), "Ann", add_to_existing=False)
        if "undo" in message:
            store.undo()
        before = store.history()
        with pytest.raises(PeopleError, match=message):
            act(store)
        assert store.history() == before


def test_no_faces_and_one_id_for_two_places_are_mistakes_of_the_caller(store):
    with pytest.raises(ValueError, match="empty"):
        store.ignore([])
    moved = dataclasses.replace(FACES[1], box=(9, 9, 9, 9))
    with pytest.raises(ValueError, match="two places"):
        store.ignore([FACES[1], moved])
    store.ignore(refs(1))
    with pytest.raises(PeopleError, match="face 1 is known as"):
        store.same(moved, FACES[2])
    assert store.state().same == ()


# Contradictions


def test_same_same_different_is_refused_by_naming_the_facts(store):
    store.same(FACES[1], FACES[2])
    store.same(FACES[2], FACES[3])
    with pytest.raises(Conflict) as refused:
        store.different(FACES[1], FACES[3])
    assert str(refused.value).startswith("cannot say that faces 1 and 3 are different people, because ")
    assert refused.value.facts == (
        "faces 1 and 2 were said to be the same person",
        "faces 2 and 3 were said to be the same person",
    )
    assert store.state().different == ()
    store.retract(FACES[1], FACES[2])
    store.different(FACES[1], FACES[3])
    assert store.state().same == ((2, 3),)
    assert store.state().different == ((1, 3),)
    store.retract(FACES[3], FACES[1])
    store.same(FACES[1], FACES[3])
    assert store.state().different == ()


def test_faces_said_different_cannot_have_one_name_nor_two_faces_said_same_two(store):
    store.different(FACES[1], FACES[2])
    with pytest.raises(Conflict, match="faces 1 and 2 were said to be different people"):
        store.assign(refs(1, 2), "Ann", add_to_existing=False)
    store.assign(refs(1), "Ann", add_to_existing=False)
    store.assign(refs(2), "Annie", add_to_existing=False)
    with pytest.raises(Conflict, match=r'different people; face 1 is "Ann"; face 2 is "Annie"'):
        store.merge(1, 2)
    with pytest.raises(Conflict, match=r'face 1 is "Ann"; face 2 is "Annie"'):
        store.same(FACES[1], FACES[2])
    store.same(FACES[2], FACES[3])
    with pytest.raises(Conflict, match="faces 2 and 3 were said to be the same person"):
        store.move(refs(3), 1)
    with pytest.raises(Conflict, match=r'because faces 3 and 2 were said to be the same person; face 2 is "Annie"\.'):
        store.reject(refs(3), 2)
    assert store.state().person_of == {1: 1, 2: 2}


# Undo and history


def test_two_people_who_cannot_be_one_are_told_by_the_names_they_have(store):
    store.assign(refs(1, 2), "Kim", add_to_existing=False)
    store.reject(refs(2), 1)
    store.assign(refs(2, 3), "Eva", add_to_existing=False)
    store.different(FACES[1], FACES[3])
    for keep, other, told in ((1, 2, '"Eva" into "Kim"'), (2, 1, '"Kim" into "Eva"')):
        with pytest.raises(Conflict, match=f"cannot merge {told}") as refused:
            store.merge(keep, other)
        assert set(refused.value.facts) in (
            {'face 2 was said not to be "Kim"', 'face 2 is "Eva"'},
            {"faces 1 and 3 were said to be different people", 'face 1 is "Kim"', 'face 3 is "Eva"'},
        )
        pairs = "different people" in str(refused.value)
        assert ("visavis retract" in str(refused.value)) == pairs, "which takes back no rejection"
        assert "visavis move --to NAME FACE" in str(refused.value)
    before = store.state()
    action = store.merge(1, 2, loosen=True)
    taken_back = "the rejection of 1 face, and take back that these are two people: faces 1 and 3"
    assert action.text == f'merge "Eva" into "Kim", and take back {taken_back}'
    assert store.state() == dataclasses.replace(NOTHING, persons={1: "Kim"}, person_of={1: 1, 2: 1, 3: 1})
    store.undo()
    assert store.state() == before
    store.retract(FACES[1], FACES[3])
    store.move(refs(2), 1)
    assert store.merge(1, 2).text == 'merge "Eva" into "Kim"', "as the remedies say"


def test_undo_takes_back_one_action_after_the_other_whole(store):
    store.assign(refs(1, 2), "Ann", add_to_existing=False)
    named = store.state()
    store.move(refs(2), store.state().person_named("Ann") or 0)
    store.ignore(refs(1, 2))
    assert store.undo().text == "undo 2: ignore 2 faces"
    assert store.state() == named
    store.undo()
    assert store.state() == NOTHING
    store.assign(refs(3), "Bob", add_to_existing=False)
    assert [(action.kind, action.undone) for action in store.history()] == [
        ("name", False),
        ("undo", False),
        ("undo", False),
        ("ignore", True),
        ("name", True),
    ]
    assert store.history(2) == store.history()[:2]
    assert store.state().persons == {2: "Bob"}  # the number of an undone person is not given again


# Other boxes


def test_a_new_detector_keeps_every_fact_on_its_face(store):
    store.assign(refs(1, 2), "Ann", add_to_existing=False)
    store.reject(refs(3), 1)
    store.ignore(refs(4))
    store.same(FACES[1], FACES[2])
    store.different(FACES[1], FACES[3])
    before = store.state()
    new = {number: FaceRef(100 + number, face.photo_id, (face.box[0] + 3, 8, 32, 41)) for number, face in FACES.items()}
    present = {
        face.photo_id: [other for other in new.values() if other.photo_id == face.photo_id] for face in new.values()
    }
    assert store.reanchor(present).text == "re-anchor 4 faces to other boxes"
    assert store.state() == PeopleState(
        persons={1: "Ann"},
        person_of={101: 1, 102: 1},
        rejected=frozenset({(103, 1)}),
        ignored=frozenset({104}),
        same=((101, 102),),
        different=((101, 103),),
    )
    assert store.reanchor(present) is None
    with pytest.raises(PeopleError, match="face 1 is face 101 since"):
        store.ignore(refs(1))
    assert store.undo().text.startswith("undo 5: ")  # goes past the re-anchoring
    assert store.state().different == ()
    old = {
        face.photo_id: [other for other in FACES.values() if other.photo_id == face.photo_id] for face in new.values()
    }
    store.reanchor(old)
    assert store.state() == dataclasses.replace(before, different=())
    store.move(refs(4), 1)
    assert store.state().person_of == {1: 1, 2: 1, 4: 1}


# Any sequence of actions, against the rules spelled out slowly

SPELLINGS = {
    "Ann": ("Ann", "a"),
    " aNN ": ("aNN", "a"),
    "Bob": ("Bob", "b"),
    "Zoe\u0308": ("Zoë", "z"),
    "ZOË": ("ZOË", "z"),
}
"""What is typed -> what is stored, and a letter for those that are one name."""

face = st.integers(1, len(FACES))
group = st.lists(face, min_size=1, max_size=3, unique=True)
person = st.integers(1, 4)
two_faces = st.tuples(face, face).filter(lambda pair: pair[0] < pair[1])
actions = st.lists(
    st.one_of(
        st.tuples(
            st.just("assign"),
            group,
            st.sampled_from(sorted(SPELLINGS)),
            st.booleans(),
            st.sampled_from(["name", "enroll"]),
        ),
        st.tuples(st.just("rename"), person, st.sampled_from(sorted(SPELLINGS))),
        st.tuples(st.just("merge"), person, person),
        st.tuples(st.just("move"), group, person),
        st.tuples(st.just("reject"), group, person),
        st.tuples(st.just("ignore"), group),
        st.tuples(st.sampled_from(["same", "same", "different", "different", "retract"]), two_faces),
        st.tuples(st.just("undo")),
    ),
    max_size=16,
)


def act(store, action):
    match action:
        case ("assign", faces, name, add, kind):
            return store.assign(refs(*faces), name, add_to_existing=add, kind=kind)
        case ("move" | "reject", faces, who):
            return getattr(store, action[0])(refs(*faces), who)
        case ("ignore", faces):
            return store.ignore(refs(*faces))
        case ("same" | "different" | "retract", (a, b)):
            return getattr(store, action[0])(FACES[a], FACES[b])
        case _:
            return getattr(store, action[0])(*action[1:])


def taken_from_persons(state, faces):
    return {face: who for face, who in state.person_of.items() if face not in faces}


def said_same(state, face):
    """Collect the faces that are the same as this one, slowly."""
    faces = {face}
    for _ in FACES:
        faces.update(number for pair in state.same if faces & set(pair) for number in pair)
    return faces


def whose(state):
    """Say who each face is by what was said, slowly."""
    people = {face: {state.person_of.get(other) for other in said_same(state, face)} - {None} for face in FACES}
    return {face: min(who) for face, who in people.items() if who and face not in state.ignored}


def expected(state, action, next_person):
    """Say by the rules, and as slowly as need be, what holds after an action; None if it must be refused."""
    match action:
        case ("assign", faces, name, add, kind):
            stored, letter = SPELLINGS[name]
            letters = {dict(SPELLINGS.values())[known]: who for who, known in state.persons.items()}
            who = letters.get(letter, next_person)
            new = [face for face in faces if state.person_of.get(face) != who]
            taken = who in state.persons and not add and new
            elsewhere = kind == "name" and any(state.person_of.get(face, who) != who for face in faces)
            if taken or elsewhere or any((face, who) in state.rejected or face in state.ignored for face in faces):
                return None
            persons = {who: stored} | state.persons
            after = dataclasses.replace(state, persons=persons, person_of=state.person_of | dict.fromkeys(faces, who))
        case ("rename", who, name):
            stored, letter = SPELLINGS[name]
            others = [dict(SPELLINGS.values())[known] for other, known in state.persons.items() if other != who]
            if who not in state.persons or letter in others:
                return None
            after = dataclasses.replace(state, persons=state.persons | {who: stored})
        case ("merge", keep, other):
            if keep == other or not {keep, other} <= state.persons.keys():
                return None
            after = dataclasses.replace(
                state,
                persons={who: name for who, name in state.persons.items() if who != other},
                person_of={face: keep if who == other else who for face, who in state.person_of.items()},
                rejected=frozenset((face, keep if who == other else who) for face, who in state.rejected),
            )
        case ("move", faces, who):
            new = {face for face in faces if state.person_of.get(face) != who}
            after = dataclasses.replace(
                state,
                person_of=state.person_of | dict.fromkeys(faces, who),
                rejected=state.rejected - {(face, who) for face in new},
                ignored=state.ignored - new,
            )
        case ("reject", faces, who):
            mine = {face for face in faces if state.person_of.get(face) == who}
            after = dataclasses.replace(
                state,
                person_of=taken_from_persons(state, mine),
                rejected=state.rejected | {(face, who) for face in faces},
            )
        case ("ignore", faces):
            ignored = state.ignored.union(faces)
            person_of = taken_from_persons(state, faces)
            for left in sorted(state.whose.keys() - ignored):  # whose name came from a face that is ignored now
                named = person_of.keys() & said_same(state, left)
                person_of |= {} if named else {left: state.whose[left]}
            after = dataclasses.replace(state, person_of=person_of, ignored=ignored)
        case ("same" | "different" as said, pair):
            after = dataclasses.replace(state, **{said: tuple(sorted({*getattr(state, said), pair}))})
        case ("retract", pair):
            after = dataclasses.replace(
                state,
                same=tuple(said for said in state.same if said != pair),
                different=tuple(said for said in state.different if said != pair),
            )
    known = set(after.persons) >= {who for _, who in after.rejected} | set(after.person_of.values())
    return after if known and can_be_true(after) else None


def can_be_true(state):
    people = {number: {number} for number in FACES}
    for _ in FACES:
        for a in FACES:
            for b in FACES:
                named_alike = a in state.person_of and state.person_of[a] == state.person_of.get(b)
                if named_alike or (a, b) in state.same or (b, a) in state.same:
                    people[a] = people[b] = people[a] | people[b]
    for together in people.values():
        names = {state.person_of[face] for face in together if face in state.person_of}
        if len(names) > 1 or any(face in together and who in names for face, who in state.rejected):
            return False
        if any(together.issuperset(pair) for pair in state.different):
            return False
    return True


def by_name(state):
    """Write a state without the numbers of the people, which an import gives anew."""
    return dataclasses.replace(
        state,
        persons=sorted(state.persons.values()),
        person_of={face: state.persons[who] for face, who in state.person_of.items()},
        rejected={(face, state.persons[who]) for face, who in state.rejected},
    )


def renumbered(state):
    """Write a state with other face_ids, as another detector has them."""
    return dataclasses.replace(
        state,
        person_of={100 + face: who for face, who in state.person_of.items()},
        rejected=frozenset((100 + face, who) for face, who in state.rejected),
        ignored=frozenset(100 + face for face in state.ignored),
        same=tuple((100 + a, 100 + b) for a, b in state.same),
        different=tuple((100 + a, 100 + b) for a, b in state.different),
    )


@settings(max_examples=80, deadline=None)
@given(actions)
def test_any_sequence_of_actions_ends_as_the_rules_say(sequence):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.sqlite"
        with PeopleStore(path, who="ann") as store:
            states = [NOTHING]  # before each action that holds, and now
            next_person = 1
            for action in sequence:
                before = store.history()
                refused = done = None
                try:
                    done = act(store, action)
                except PeopleError as error:
                    refused = error
                if action == ("undo",):
                    assert (refused is not None) == (len(states) == 1)
                    states = states[:-1] or [NOTHING]
                else:
                    after = expected(states[-1], action, next_person)
                    assert (refused is not None) == (after is None), (action, refused)
                    assert (done is not None) == (after not in (None, states[-1])), action
                    if done is not None:
                        next_person += len(after.persons.keys() - {*range(next_person)})
                        states.append(after)
                assert store.state() == states[-1]
                assert store.state().whose == whose(states[-1])
                assert len(store.history()) == len(before) + (done is not None)
        with PeopleStore(path) as again:
            assert again.state() == states[-1], "replayed from the start"
            document = again.export_facts()
        with PeopleStore(Path(folder) / "other.sqlite") as other:
            other.import_facts(document)
            assert by_name(other.state()) == by_name(states[-1])
            assert other.import_facts(document) is None
            assert other.export_facts() == document
            if other.history():
                other.undo()
            assert other.state() == NOTHING
        with PeopleStore(path) as moved:
            moved.reanchor(by_photo(FaceRef(100 + n, FACES[n].photo_id, (*FACES[n].box[:2], 33, 38)) for n in FACES))
            assert moved.state() == renumbered(states[-1])
            for _ in states[1:]:
                moved.undo()
            assert moved.state() == NOTHING


def test_the_clock_is_right_by_default_and_the_user_has_a_name(tmp_path):
    with PeopleStore(tmp_path / "people.sqlite") as store:
        action = store.ignore(refs(1))
    assert abs(datetime.fromisoformat(action.at) - datetime.now(UTC)) < timedelta(minutes=1)
    assert action.who


def test_a_face_is_whose_the_faces_are_that_it_is_the_same_as(store):
    store.assign(refs(2), "Ann", add_to_existing=False)
    store.same(FACES[2], FACES[3])
    store.same(FACES[3], FACES[4])
    assert store.state().whose == {2: 1, 3: 1, 4: 1} and store.state().person_of == {2: 1}
    store.ignore(refs(3))
    assert store.state().whose == {2: 1, 4: 1}
    store.ignore(refs(2))
    assert store.state().whose == {4: 1}, "the name stays with the face that is shown"
    store.undo()
    store.move(refs(3), 1)
    store.retract(FACES[3], FACES[4])
    assert store.state().whose == {2: 1, 3: 1}


def test_no_fact_is_lost_from_the_faces_of_a_state(store):
    store.assign(refs(1), "Ann", add_to_existing=False)
    store.reject(refs(2), 1)
    store.ignore(refs(3))
    store.different(FACES[4], FACES[5])
    assert store.state().faces() == set(FACES) == set(chain(store.faces()))
