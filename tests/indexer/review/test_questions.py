"""Which question comes first, and what is never asked."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from indexer.grouping.likelihoods import chance_same
from indexer.review.board import NOBODY, Board, Said, give_name, join, lay_out, part, reject, skip, take_out, tell_apart
from indexer.review.questions import MIN_CHANCE, Material, Question, rank_questions

NO_PAIRS = np.empty((0, 2), np.int64)
THRESHOLD, SPREAD = 0.5, 0.05


def _rows(angles: list[float]) -> np.ndarray:
    """Faces in a plane: those of near angles are alike."""
    return np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=1).astype(np.float32)


def _scene(angles, groups, person=None, photo=None, proposed=None) -> tuple[Material, Board]:
    """Lay out faces, all pairs linked that are in different groups."""
    count = len(angles)
    groups = np.array(groups, np.int64)
    people = np.full(count, NOBODY) if person is None else np.array(person, np.int64)
    pairs = [(a, b) for a, b in combinations(range(count), 2) if groups[a] != groups[b] or groups[a] == 0]
    proposed = np.full(count, NOBODY) if proposed is None else np.array(proposed, np.int64)
    material = Material(
        embeddings=_rows(angles),
        offset=np.zeros(count, np.float32),
        photo=np.arange(count) if photo is None else np.array(photo, np.int64),
        chance=np.where((groups > 0) | (proposed >= 0), 0.99, 0).astype(np.float32),
        proposed=proposed,
        group=groups,
        links=np.array(pairs, np.int64).reshape(-1, 2),
        threshold=THRESHOLD,
        spread=SPREAD,
    )
    said = Said(NO_PAIRS, NO_PAIRS, NO_PAIRS)
    return material, lay_out(groups, people, np.zeros(count, bool), said, np.zeros(count))


def _asked(material: Material, board: Board) -> list[Question]:
    return rank_questions(material, board, 100)


def test_large_groups_are_named_first_and_single_faces_not_at_all() -> None:
    questions = _asked(*_scene([0, 1, 90, 91, 92, 180], [1, 1, 2, 2, 2, 0]))
    assert [(q.target, q.candidates) for q in questions] == [(2, ()), (0, ())]
    assert questions[0].settles == pytest.approx(3 * 0.99 / (1 + 3 * 0.01))


def test_a_less_sure_group_of_the_same_size_comes_later() -> None:
    material, board = _scene([0, 1, 90, 91], [1, 1, 2, 2])
    chance = material.chance.copy()
    chance[:2] = 0.6
    assert [q.target for q in _asked(replace(material, chance=chance), board)] == [2, 0]


def test_a_face_like_a_named_person_is_asked_about_with_the_chance_of_the_law() -> None:
    material, board = _scene([0, 2, 58, 180], [0, 0, 0, 0], [6, 6, NOBODY, NOBODY])
    (question,) = _asked(material, board)
    assert (question.target, question.person, question.candidates) == (0, 6, (2,))
    mean = _rows([1])[0]
    expected = chance_same(np.array([mean @ _rows([58])[0]]), np.ones(1), THRESHOLD, SPREAD)[0]
    assert question.chances[0] == pytest.approx(expected, rel=1e-4) and expected > MIN_CHANCE
    assert question.settles == pytest.approx(expected / (1 + 1 - expected), rel=1e-4)


def test_a_background_makes_a_face_less_likely() -> None:
    material, board = _scene([0, 58], [0, 0], [6, NOBODY])
    offset = np.array([0, 0.1], np.float32)
    before, after = _asked(material, board), _asked(replace(material, offset=offset), board)
    assert before[0].chances[0] > (after[0].chances[0] if after else 0)


def test_all_that_is_proposed_for_a_person_is_one_question() -> None:
    material, board = _scene([0, 30, 60, 90], [0] * 4, [6, NOBODY, NOBODY, NOBODY], proposed=[-1, 6, 6, -1])
    first = _asked(replace(material, links=NO_PAIRS), board)[0]
    assert (first.person, set(first.candidates), first.chances) == (6, {1, 2}, pytest.approx((0.99, 0.99)))
    assert first.settles == pytest.approx(2 * 0.99 / (1 + 2 * 0.01))


def test_the_candidates_of_a_question_are_those_that_make_it_settle_most() -> None:
    """Against the definition: of all prefixes of the candidates by chance, the best."""
    angles = [0.0, *np.linspace(40, 66, 9)]
    material, board = _scene(angles, [0] * 10, [6] + [NOBODY] * 9)
    links = material.links[(material.links == 0).any(axis=1)]
    (question,) = _asked(replace(material, links=links), board)
    every = np.sort(chance_same(_rows(angles)[1:] @ _rows([0])[0], np.ones(9), THRESHOLD, SPREAD))[::-1]
    every = every[every >= MIN_CHANCE]
    best = max(sum(every[:k]) / (1 + k - sum(every[:k])) for k in range(1, len(every) + 1))
    assert question.settles == pytest.approx(best, rel=1e-4)
    assert len(question.candidates) < len(every), "the doubtful ones are left for later"


def test_two_faces_of_one_photo_are_never_asked_about() -> None:
    material, board = _scene([0, 5, 10], [0] * 3, [6, NOBODY, NOBODY], photo=[7, 7, 8])
    asked = _asked(material, board)
    assert asked[0].candidates == (2,)
    assert not any({q.target, *q.candidates} >= {0, 1} for q in asked)


def test_two_faces_of_one_photo_are_not_candidates_of_one_question() -> None:
    material, board = _scene([0, 5, 10], [0] * 3, [6, NOBODY, NOBODY], photo=[7, 8, 8])
    assert _asked(material, board)[0].candidates == (1,)


def test_what_was_answered_is_not_asked_again() -> None:
    material, board = _scene([0, 5, 10], [0] * 3, [6, NOBODY, NOBODY])
    assert set(_asked(material, board)[0].candidates) == {1, 2}
    assert _asked(material, reject(board, np.array([1]), 6))[0].candidates == (2,)
    assert _asked(material, tell_apart(board, np.array([[0, 1]])))[0].candidates == (2,)
    assert _asked(material, skip(board, frozenset({(0, 1)})))[0].candidates == (2,)
    done = give_name(give_name(board, np.array([1]), 6), np.array([2]), 6)
    assert _asked(material, done) == []


def test_a_skipped_question_stays_skipped_when_its_bundle_grows() -> None:
    material, board = _scene([0, 1, 100, 200], [1, 1, 0, 0])
    (question,) = _asked(material, board)
    board = join(skip(board, question.keys), np.array([0, 2]))
    assert not any(not q.candidates for q in _asked(material, board))


def test_nobody_is_asked_whether_two_named_people_are_one() -> None:
    assert _asked(*_scene([0, 1], [0, 0], [6, 7])) == []


def test_a_face_like_two_people_is_asked_about_with_the_nearer_one_first() -> None:
    material, board = _scene([0, 10, 25], [0] * 3, [6, NOBODY, 7])
    (question,) = _asked(material, board)
    assert (question.person, question.candidates) == (6, (1,))
    (question,) = _asked(material, reject(board, np.array([1]), 6))
    assert (question.person, question.candidates) == (7, (1,))


def test_of_two_groups_the_larger_one_is_the_target() -> None:
    material, board = _scene([0, 1, 2, 3, 4], [2, 2, 1, 1, 1])
    material = replace(material, threshold=0.0, spread=0.2)
    together = [q for q in _asked(material, board) if q.candidates]
    assert [(q.target, q.candidates) for q in together] == [(2, (0,))]


def test_the_parts_of_a_parted_group_come_first() -> None:
    material, board = _scene([0, 1, 90, 91, 180, 181, 182], [1, 1, 1, 1, 2, 2, 2])
    first = _asked(material, part(board, np.array([2, 3])))[0]
    assert (first.target, first.candidates) == (0, (2,))
    assert first.keys == frozenset({(0, 2)})


def test_a_face_that_was_taken_out_may_be_asked_about_elsewhere() -> None:
    material, board = _scene([0, 1, 2, 60], [1, 1, 1, 0], [NOBODY, NOBODY, NOBODY, 5])
    board = take_out(board, np.array([2]))
    assert any(2 in q.candidates and q.person == 5 for q in _asked(material, board))


def test_an_empty_archive_has_no_questions() -> None:
    assert _asked(*_scene(np.empty(0), [])) == []
