"""A sitting of review: answers become facts, and can be taken back whole."""

from __future__ import annotations

import pytest

from indexer.archive import Archive, read_archive
from indexer.people import Conflict, PeopleError, PeopleState, PeopleStore
from indexer.review.board import NOBODY
from indexer.review.questions import Question
from indexer.review.replies import Reply, Word
from indexer.review.session import ReviewSession
from indexer.review.start import read_board
from tests.indexer.made_up_faces import near


@pytest.fixture
def archive(make_album, run) -> Archive:
    """Three people with five, four and two photos in a group each, and a face that is nobody else."""
    photos = {f"{who}{i}.png": [near(who, 10 * who + i)] for who, n in enumerate((5, 4, 2, 1)) for i in range(n)}
    album = make_album(photos)
    assert run("cluster", "--album", album.root).exit_code == 0
    return read_archive(album)


@pytest.fixture
def store(archive):
    with PeopleStore(archive.album.people) as store:
        yield store


@pytest.fixture
def session(archive, store) -> ReviewSession:
    return ReviewSession(*read_board(archive), store, archive.ref)


def _rows(archive: Archive, who: int) -> list[int]:
    return [row for row, path in enumerate(archive.paths) if path.rsplit("/", 1)[1].startswith(str(who))]


def _named(archive: Archive, state: PeopleState) -> dict[str, list[int]]:
    people: dict[str, list[int]] = {}
    for face, person in state.person_of.items():
        people.setdefault(state.persons[person], []).append(archive.row_of[face])
    return {name: sorted(rows) for name, rows in people.items()}


def test_a_name_is_given_to_the_whole_group(archive, store, session) -> None:
    question = session.question()
    assert question is not None and not question.candidates
    session.answer(question, Reply(Word.BUT, (), "Ann"))
    assert _named(archive, store.state()) == {"Ann": sorted(_rows(archive, 0))}
    assert session.tally.named == 5
    following = session.question()
    assert following is not None and following.target in _rows(archive, 1)


def test_exceptions_are_taken_out_and_the_rest_is_named(archive, store, session) -> None:
    question = session.question()
    shown, _ = session.shown(question)
    session.answer(question, Reply(Word.BUT, (2,), "Ann"))
    out = int(shown[1])
    assert _named(archive, store.state()) == {"Ann": sorted(set(_rows(archive, 0)) - {out})}
    ids = archive.faces.face_ids
    assert any(int(ids[out]) in pair for pair in store.state().different)
    assert session.board.person[out] == NOBODY


def test_the_name_of_somebody_known_adds_to_them(archive, store, session) -> None:
    assert session.answer(session.question(), Reply(Word.BUT, (), "Ann")) == "Ann, who is new: 5"
    assert session.answer(session.question(), Reply(Word.BUT, (), "ann")) == "ann: 4 more"
    assert _named(archive, store.state()) == {"Ann": sorted(_rows(archive, 0) + _rows(archive, 1))}


def test_undo_takes_back_an_answer_of_several_facts_whole(archive, store, session) -> None:
    before, question = store.state(), session.question()
    session.answer(question, Reply(Word.BUT, (2, 3), "Ann"))
    assert len(store.history()) == 1, "one answer is one action, for `visavis undo` too"
    state = store.state()
    assert len(state.different) == 2 and len(state.person_of) == 3
    session.undo()
    assert store.state() == before and session.question() == question and session.tally.answers == 0


def test_undo_goes_on_to_the_answers_before_and_then_refuses(archive, store, session) -> None:
    before = store.state()
    first = session.question()
    session.answer(first, Reply(Word.BUT, (), "Ann"))
    session.answer(session.question(), Reply(Word.SKIP))
    session.answer(session.question(), Reply(Word.BUT, (), "Cleo"))
    for _ in range(3):
        session.undo()
    assert store.state() == before and session.question() == first
    with pytest.raises(PeopleError, match="no answer of this review"):
        session.undo()


def test_undo_never_takes_back_what_somebody_else_said(archive, store, session) -> None:
    session.answer(session.question(), Reply(Word.BUT, (), "Ann"))
    with PeopleStore(archive.album.people, who="somebody else") as other:
        other.ignore([archive.ref(_rows(archive, 3)[0])])
    with pytest.raises(PeopleError, match="something else was said last: ignore 1 face"):
        session.undo()
    assert _named(archive, store.state())["Ann"] == sorted(_rows(archive, 0))


def test_a_group_that_is_not_one_person_is_parted_and_asked_about(archive, store, session) -> None:
    question = session.question()
    session.answer(question, Reply(Word.NO))
    assert store.state().different == (), "which two are different is not known yet"
    assert session.tally.answers == 0, "and so nothing is kept yet"
    parts = session.question()
    assert parts is not None and len(parts.candidates) == 1
    bundles = {parts.target, *parts.candidates}
    assert {int(b) for b in session.board.bundle[_rows(archive, 0)]} == bundles
    session.answer(parts, Reply(Word.NO))
    assert len(store.state().different) == 1 and session.tally.answers == 1
    assert session.question() != parts
    session.undo()
    session.undo()
    assert session.question() == question and session.tally.answers == 0


def test_two_faces_that_are_not_one_person_are_different(archive, store, session) -> None:
    question = Question(min(_rows(archive, 2)), NOBODY, (), (0.9,), 2.0)
    session.answer(question, Reply(Word.NO))
    a, b = (int(archive.faces.face_ids[row]) for row in _rows(archive, 2))
    assert store.state().different == ((min(a, b), max(a, b)),)


def _ask(session: ReviewSession, archive: Archive, target: int, *others: int) -> Question:
    """Make up a question whether people are the same as another."""
    bundles = [int(session.board.bundle[_rows(archive, who)[0]]) for who in (target, *others)]
    person = int(session.board.person[bundles[0]])
    return Question(bundles[0], person, tuple(bundles[1:]), (0.5,) * len(others), 1.0)


def test_candidates_of_a_named_person_get_the_name_or_are_rejected(archive, store, session) -> None:
    session.answer(_ask(session, archive, 0), Reply(Word.BUT, (), "Ann"))
    told = session.answer(_ask(session, archive, 0, 1, 2, 3), Reply(Word.BUT, (2,)))
    assert told == "2 the same, 1 not"
    state = store.state()
    assert _named(archive, state) == {"Ann": sorted(_rows(archive, 0) + _rows(archive, 1) + _rows(archive, 3))}
    assert {archive.row_of[face] for face, _ in state.rejected} == set(_rows(archive, 2))
    assert (session.tally.named, session.tally.rejected) == (10, 2)
    before = session.board
    session.undo()
    assert _named(archive, store.state()) == {"Ann": sorted(_rows(archive, 0))} and not store.state().rejected
    assert session.board is not before


def test_candidates_of_somebody_without_a_name_become_same_and_different(archive, store, session) -> None:
    session.answer(_ask(session, archive, 0, 1, 2), Reply(Word.BUT, (2,)))
    state = store.state()
    assert (len(state.same), len(state.different)) == (1, 1)
    assert len(set(session.board.bundle[_rows(archive, 0) + _rows(archive, 1)].tolist())) == 1
    session.answer(_ask(session, archive, 1), Reply(Word.BUT, (), "Ann"))
    assert _named(archive, store.state()) == {"Ann": sorted(_rows(archive, 0) + _rows(archive, 1))}


def test_yes_and_no_are_all_and_none(archive, store, session) -> None:
    session.answer(_ask(session, archive, 0, 1), Reply(Word.NO))
    assert (len(store.state().same), len(store.state().different)) == (0, 1)
    session.answer(_ask(session, archive, 0, 2), Reply(Word.YES))
    assert (len(store.state().same), len(store.state().different)) == (1, 1)


def test_an_answer_against_the_facts_leaves_no_trace_and_is_not_asked_again(archive, store, session) -> None:
    with PeopleStore(archive.album.people) as other:
        other.different(archive.ref(_rows(archive, 0)[0]), archive.ref(_rows(archive, 2)[0]))
        other.same(archive.ref(_rows(archive, 0)[0]), archive.ref(_rows(archive, 0)[1]))
    before = store.state()
    session.answer(_ask(session, archive, 0), Reply(Word.BUT, (), "Ann"))
    question = _ask(session, archive, 0, 1, 2)
    board = session.board
    with pytest.raises(Conflict, match="different people"):
        session.answer(question, Reply(Word.YES))
    assert set(_named(archive, store.state())["Ann"]) == set(_rows(archive, 0))
    assert session.board.bundle.tolist() == board.bundle.tolist()
    assert question.keys <= session.board.skipped
    session.undo()
    assert store.state() == before
