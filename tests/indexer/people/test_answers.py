"""An answer of many parts is one action: all of it holds, or nothing."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.people import Answer, Conflict, FaceRef, NoSuchPerson, PeopleError, PeopleStore

FACES = [FaceRef(number, f"photo{number // 2}", (number * 10, 0, 9, 9)) for number in range(1, 9)]


@pytest.fixture
def store(tmp_path):
    with PeopleStore(tmp_path / "people.sqlite", who="ann") as store:
        yield store


def test_names_rejections_and_pairs_are_one_action_that_one_undo_takes_back(store):
    before = store.state()
    store.settle(Answer(faces=FACES[:2], name="Ann"))
    action = store.settle(
        Answer(
            faces=FACES[2:4],
            rejected=FACES[4:5],
            person=1,
            same=[(FACES[5], FACES[6])],
            different=[(FACES[6], FACES[7]), (FACES[5], FACES[7])],
        )
    )
    assert action.kind == "review"
    assert action.text == (
        'name 2 faces "Ann"; reject 1 face as not "Ann"; say that faces 6 and 7 are the same person; '
        "say of 2 pairs of faces that each is two people"
    )
    state = store.state()
    assert state.person_of == {1: 1, 2: 1, 3: 1, 4: 1} and state.rejected == {(5, 1)}
    assert state.same == ((6, 7),) and state.different == ((6, 8), (7, 8))
    store.undo(only=action.action_id)
    assert store.state().person_of == {1: 1, 2: 1}
    store.undo()
    assert store.state() == before


def test_what_holds_already_is_not_said_again(store):
    answer = Answer(faces=FACES[:2], rejected=FACES[2:3], name="Ann", different=[(FACES[0], FACES[3])])
    assert store.settle(answer) is not None
    assert store.settle(answer) is None and len(store.history()) == 1


def test_an_answer_of_which_one_part_cannot_be_leaves_no_trace(store):
    store.assign(FACES[3:4], "Bob", add_to_existing=False)
    store.ignore(FACES[4:5])
    before = store.state()
    for wrong in (FACES[3], FACES[4]):
        with pytest.raises(Conflict):
            store.settle(Answer(faces=[FACES[0], wrong], name="Ann", same=[(FACES[1], FACES[2])]))
    with pytest.raises(Conflict):
        store.settle(Answer(faces=FACES[:2], name="Ann", different=[(FACES[0], FACES[1])]))
    assert store.state() == before and len(store.history()) == 2


def test_a_person_who_is_no_more_and_a_name_that_lacks_are_told(store):
    store.assign(FACES[:1], "Ann", add_to_existing=False)
    store.undo()
    with pytest.raises(NoSuchPerson):
        store.settle(Answer(faces=FACES[:1], person=1))
    with pytest.raises(PeopleError, match="give a name"):
        store.settle(Answer(faces=FACES[:1]))
    with pytest.raises(PeopleError, match="face 1 is this person, and that it is not"):
        store.settle(Answer(faces=FACES[:1], rejected=FACES[:2], name="Ann"))
    with pytest.raises(PeopleError, match="compared with itself"):
        store.settle(Answer(same=[(FACES[0], FACES[0])]))


def test_no_other_action_than_the_one_meant_is_taken_back(store):
    first = store.settle(Answer(faces=FACES[:1], name="Ann"))
    store.ignore(FACES[1:2])
    before = store.state()
    with pytest.raises(PeopleError, match="something else was said last: ignore 1 face"):
        store.undo(only=first.action_id)
    assert store.state() == before


some_faces = st.lists(st.sampled_from(FACES), max_size=3, unique=True)
some_pairs = st.lists(st.tuples(st.sampled_from(FACES), st.sampled_from(FACES)), max_size=2)
answers = st.builds(
    Answer, faces=some_faces, rejected=some_faces, name=st.sampled_from(["Ann", "Bob"]), same=some_pairs,
    different=some_pairs,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(answers, max_size=5))
def test_any_answers_hold_whole_or_not_at_all_and_undo_exactly(sequence):
    with tempfile.TemporaryDirectory() as folder, PeopleStore(Path(folder) / "people.sqlite") as store:
        states = [store.state()]
        for answer in sequence:
            try:
                action = store.settle(answer)
            except PeopleError:
                assert store.state() == states[-1]
                continue
            state = store.state()
            assert (action is None) == (state == states[-1])
            person = state.person_named(answer.name) if answer.faces else None
            assert all(state.person_of[face.face_id] == person for face in answer.faces)
            rejected_from = state.person_named(answer.name)
            assert all((face.face_id, rejected_from) in state.rejected for face in answer.rejected)
            for said, holds in ((answer.same, state.same), (answer.different, state.different)):
                assert {tuple(sorted((a.face_id, b.face_id))) for a, b in said} <= set(holds)
            if action is not None:
                states.append(state)
        with PeopleStore(Path(folder) / "people.sqlite") as again:
            assert again.state() == states[-1], "replayed from the start"
        for state in reversed(states[:-1]):
            store.undo()
            assert store.state() == state
