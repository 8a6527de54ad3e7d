"""The board of a review: what is taken for one person, and what an answer changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.review.board import (
    NOBODY,
    Board,
    Said,
    give_name,
    join,
    lay_out,
    part,
    reject,
    rows_of,
    skip,
    take_out,
    tell_apart,
)

NO_PAIRS = np.empty((0, 2), np.int64)


def _board(groups, person=None, ignored=(), *, same=NO_PAIRS, different=NO_PAIRS, typical=None) -> Board:
    count = len(groups)
    left_out = np.zeros(count, bool)
    left_out[list(ignored)] = True
    return lay_out(
        np.array(groups, np.int64),
        np.full(count, NOBODY) if person is None else np.array(person, np.int64),
        left_out,
        Said(NO_PAIRS, np.array(same, np.int64).reshape(-1, 2), np.array(different, np.int64).reshape(-1, 2)),
        np.zeros(count) if typical is None else np.array(typical),
    )


def _check(board: Board) -> None:
    """What holds of every board: bundles are numbered by their first face, and of one person."""
    for bundle in np.unique(board.bundle[board.bundle >= 0]).tolist():
        rows = rows_of(board, bundle)
        assert rows[0] == bundle
        assert len(set(board.person[rows].tolist())) == 1
    for person in np.unique(board.person[board.person >= 0]).tolist():
        assert len(set(board.bundle[board.person == person].tolist())) == 1


def test_groups_names_and_sames_make_bundles() -> None:
    board = _board([0, 2, 2, 0, 1, 0, 0], [NOBODY, NOBODY, NOBODY, 8, NOBODY, 8, NOBODY], same=[[4, 6]])
    assert board.bundle.tolist() == [0, 1, 1, 3, 4, 3, 4]
    assert board.person.tolist() == [NOBODY] * 3 + [8, NOBODY, 8, NOBODY]
    _check(board)


def test_an_unnamed_face_that_is_the_same_as_a_named_one_has_the_name() -> None:
    board = _board([0, 1, 1, 0], [5, NOBODY, NOBODY, NOBODY], same=[[0, 2]])
    assert board.bundle.tolist() == [0, 0, 0, 3] and board.person.tolist() == [5, 5, 5, NOBODY]


def test_ignored_faces_are_in_no_bundle() -> None:
    board = _board([1, 1, 1], ignored=[0])
    assert board.bundle.tolist() == [-1, 1, 1]
    _check(board)


def test_of_two_in_a_group_who_are_different_the_less_typical_one_leaves() -> None:
    assert _board([1, 1, 1], different=[[0, 2]], typical=[0.9, 0.8, 0.1]).bundle.tolist() == [0, 0, 2]
    assert _board([1, 1, 1], different=[[0, 2]], typical=[0.1, 0.8, 0.9]).bundle.tolist() == [0, 1, 1]
    assert _board([1, 1, 2], different=[[0, 2]]).bundle.tolist() == [0, 0, 2], "they are in two groups anyway"


def test_a_name_is_given_to_faces_and_joins_those_who_have_it() -> None:
    board = give_name(_board([1, 1, 0, 0], [NOBODY, NOBODY, NOBODY, 4]), np.array([0, 1]), 4)
    assert board.bundle.tolist() == [0, 0, 2, 0] and board.person.tolist() == [4, 4, NOBODY, 4]
    assert give_name(board, np.array([2]), 9).person.tolist() == [4, 4, 9, 4]


def test_joined_bundles_have_the_name_of_the_one_that_has_one() -> None:
    board = join(_board([1, 1, 2, 2, 0], [7, 7, NOBODY, NOBODY, NOBODY]), np.array([2, 0, 4]))
    assert board.bundle.tolist() == [0] * 5 and board.person.tolist() == [7] * 5


def test_who_is_taken_out_stands_alone() -> None:
    board = take_out(_board([1, 1, 1, 1], [3] * 4), np.array([0, 2]))
    assert board.bundle.tolist() == [0, 1, 2, 1] and board.person.tolist() == [NOBODY, 3, NOBODY, 3]


def test_parted_bundles_are_asked_about_first_until_they_change() -> None:
    board = part(_board([1, 1, 1, 1, 0]), np.array([1, 3]))
    assert board.bundle.tolist() == [0, 1, 0, 1, 4] and board.urgent == ((0, 1),)
    assert join(board, np.array([0, 1])).urgent == ()
    assert take_out(board, np.array([3])).urgent == ()
    assert give_name(board, np.array([4]), 2).urgent == ((0, 1),), "another bundle is no news for it"
    assert skip(board, frozenset({(0, 1)})).urgent == ()


def test_what_is_said_is_noted() -> None:
    board = tell_apart(reject(_board([0, 0]), np.array([1]), 6), np.array([[0, 1]]))
    assert board.rejected.tolist() == [[1, 6]] and board.different.tolist() == [[0, 1]]


@pytest.mark.parametrize("faces", [0, 1])
def test_next_to_nothing_is_a_board_too(faces: int) -> None:
    assert _board([0] * faces).bundle.tolist() == list(range(faces))


@given(st.lists(st.integers(0, 3), min_size=4, max_size=12), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99))))
def test_no_answer_breaks_a_board(groups: list[int], answers: list[tuple[int, int]]) -> None:
    board = _board(groups)
    for kind, number in answers:
        rows = rows_of(board, int(board.bundle[number % len(groups)]))
        if kind == 0:
            board = give_name(board, rows, number % 3)
        elif kind == 1:
            board = take_out(board, rows[:1])
        elif kind == 2 and (board.person[rows] < 0).all() and len(rows) > 1:
            board = part(board, rows[1:])
        elif (board.person[rows] < 0).all():
            board = join(board, np.unique(board.bundle[[rows[0], number % len(groups)]]))
        _check(board)
