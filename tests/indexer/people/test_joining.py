"""Words about many faces at once: a chain joins them, a correction opens it, and the rest stays as it was."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.people import Conflict, FaceRef, NameTaken, PeopleStore

FACES = {number: FaceRef(number, f"{number:032x}", (0, 10, 30, 40)) for number in range(1, 8)}


def refs(*numbers):
    return [FACES[number] for number in numbers]


@pytest.fixture
def store(tmp_path):
    with PeopleStore(tmp_path / "people.sqlite", who="ann") as opened:
        yield opened


def together(state):
    """Give the set of faces that "same" joins each face to, slowly."""
    people = {number: {number} for number in FACES}
    for _ in FACES:
        for a, b in state.same:
            for face in people[a] | people[b]:
                people[face] = people[a] | people[b]
    return people


def test_a_group_is_joined_by_a_chain_that_one_undo_opens(store):
    store.same(FACES[2], FACES[3])
    before = store.state()
    action = store.join(refs(1, 3, 2, 5))
    assert action.text == "join 4 faces to one person"
    assert store.state().same == ((1, 2), (2, 3), (3, 5))
    assert store.join(refs(5, 1, 2)).text == "join 3 faces to one person"
    assert store.join(refs(1, 3, 2, 5)) is None
    store.undo()
    store.undo()
    assert store.state() == before


def test_two_faces_said_to_be_different_are_not_joined_by_a_third(store):
    store.different(FACES[1], FACES[3])
    with pytest.raises(Conflict, match="cannot join 3 faces to one person, because faces 1 and 3 were said to be diff"):
        store.join(refs(1, 2, 3))
    assert store.state().same == ()


def test_a_split_holds_though_two_faces_were_said_to_be_the_same(store):
    store.join(refs(1, 2))
    taken_back = ", and take back that these are the same person: faces 1 and 2"
    assert store.split([refs(1), refs(2)]).text == f"split 2 faces into 2 people{taken_back}"
    assert (store.state().same, store.state().different) == ((), ((1, 2),))
    assert store.split([refs(2), refs(1)]) is None
    store.undo()
    assert (store.state().same, store.state().different) == (((1, 2),), ())
    with PeopleStore(store._log._path) as again:
        assert again.state() == store.state()


def test_a_split_that_a_name_stands_against_is_refused(store):
    store.assign(refs(1, 2), "Ann", add_to_existing=False)
    with pytest.raises(Conflict, match='cannot split 2 faces into 2 people, because face 1 is "Ann"; face 2 is "Ann"'):
        store.split([refs(1), refs(2)])
    assert store.state().different == ()


@pytest.mark.parametrize("parts", [[refs(1, 2)], [refs(1, 2), refs(2, 3)], [refs(1), []]])
def test_parts_that_are_none_are_mistakes_of_the_caller(store, parts):
    with pytest.raises(ValueError, match=r"faces is empty|parts must"):
        store.split(parts)


def test_a_face_leaves_a_person_and_those_it_was_linked_with(store):
    store.join(refs(1, 2, 3))
    store.assign(refs(1, 2, 3), "Ann", add_to_existing=False)
    with pytest.raises(Conflict, match="faces 2 and 1 were said to be the same person"):
        store.reject(refs(2), 1)
    store.reject(refs(2), 1, loosen=True)
    assert store.state().person_of == {1: 1, 3: 1}
    assert store.state().same == ((1, 3),)
    with pytest.raises(NameTaken, match='"Ann" already, with 2 faces: move the faces to that person'):
        store.move_to_new(refs(3), "ann")
    assert store.move_to_new(refs(3), "Bob", loosen=True).text == (
        'move 1 face to "Bob", who is new, and take back that these are the same person: faces 1 and 3'
    )
    assert (store.state().person_of, store.state().same) == ({1: 1, 3: 2}, ())
    assert store.move(refs(3), 2, loosen=True) is None


def test_faces_that_were_the_same_as_one_that_leaves_keep_their_name(store):
    store.join(refs(1, 2, 3))
    store.assign(refs(2), "Ann", add_to_existing=False)
    store.move_to_new(refs(2), "Eva", loosen=True)
    assert store.state().whose == {1: 1, 2: 2, 3: 1} and store.state().same == ((1, 3),)
    store.undo()
    with pytest.raises(Conflict, match='faces 3 and 2 were said to be the same person; face 2 is "Ann"'):
        store.reject(refs(3), 1)
    store.reject(refs(3), 1, loosen=True)
    assert store.state().whose == {1: 1, 2: 1}
    store.reject(refs(2), 1)
    assert store.state().whose == {}, "what is said of a face is said of those that are the same"


number = st.integers(1, len(FACES))
pairs = st.lists(st.tuples(number, number).filter(lambda pair: pair[0] < pair[1]), max_size=6)


def with_said(folder, same, different):
    store = PeopleStore(Path(folder) / "people.sqlite", who="ann")
    for say, said in ((store.same, same), (store.different, different)):
        for a, b in said:
            try:
                say(FACES[a], FACES[b])
            except Conflict:
                continue
    return store


@settings(max_examples=60, deadline=None)
@given(pairs, pairs, st.lists(st.integers(0, 3), min_size=len(FACES), max_size=len(FACES)))
def test_whatever_was_said_a_split_makes_one_person_of_each_part_or_is_refused(same, different, part_of):
    """Part 0 takes no part in the split."""
    parts = [[n for n in FACES if part_of[n - 1] == part] for part in (1, 2, 3)]
    parts = [part for part in parts if part]
    if len(parts) < 2:
        return
    with tempfile.TemporaryDirectory() as folder, with_said(folder, same, different) as store:
        before = store.state()
        try:
            store.split([refs(*part) for part in parts])
        except Conflict:
            inside = any(set(pair) <= set(part) for pair in before.different for part in parts)
            by_others = any(part_of[a - 1] == 0 or part_of[b - 1] == 0 for a, b in before.same + before.different)
            assert inside or by_others
            assert store.state() == before
            return
        people = together(store.state())
        assert all(people[part[0]].issuperset(part) for part in parts)
        assert all(people[a[0]].isdisjoint(b) for a in parts for b in parts if a is not b)
        assert set(before.same) - set(store.state().same) <= {
            (a, b) for a, b in before.same if 0 != part_of[a - 1] != part_of[b - 1] != 0
        }
        assert set(before.different) <= set(store.state().different)
        if store.history() and store.history()[0].kind == "split":
            store.undo()
            assert store.state() == before


@settings(max_examples=60, deadline=None)
@given(pairs, st.lists(number, min_size=1, max_size=3, unique=True))
def test_faces_that_are_moved_loosely_leave_the_others_as_they_were(same, moved):
    with tempfile.TemporaryDirectory() as folder, with_said(folder, same, []) as store:
        before = together(store.state())
        store.move_to_new(refs(*moved), "Ann", loosen=True)
        after = together(store.state())
        for face in FACES:
            if face in moved:
                assert after[face] <= set(moved)
            else:
                assert after[face] == before[face] - set(moved)
