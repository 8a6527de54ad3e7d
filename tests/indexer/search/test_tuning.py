"""Cells are searched until the first neighbour is, in person, whom exact search finds."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.search.tuning import FirstLook, Question, choose_probes, first_other, identity_agreement, tuning_sample


def _answer(similarity: list[float], rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(similarity, np.float32), np.array(rows, np.int64)


def test_identity_is_the_face_or_the_person_or_nobody() -> None:
    #                      same face, same person, other person, unknown, both strangers, one stranger, nobody found
    exact = _answer([0.9, 0.8, 0.8, 0.8, 0.4, 0.55, 0.7], [0, 1, 1, 3, 4, 5, 6])
    found = _answer([0.9, 0.7, 0.7, 0.7, 0.3, 0.30, -1], [0, 2, 5, 4, 5, 4, -1])
    labels = np.array([-1, 7, 7, -1, -1, 8, 9])
    assert identity_agreement(exact, found, labels, 0.5) == 3 / 7
    assert identity_agreement(exact, found, None, 0.5) == 2 / 7
    assert identity_agreement(exact, found, None, 0.6) == 3 / 7


def test_labels_that_nobody_knows_are_no_agreement() -> None:
    exact, found = _answer([0.9], [0]), _answer([0.8], [1])
    assert identity_agreement(exact, found, np.array([-1, -1]), 0.5) == 0
    assert identity_agreement(*2 * [_answer([], [])], None, 0.5) == 1


def test_the_face_itself_is_no_neighbour_of_its_own() -> None:
    similarities = np.array([[1, 0.6], [1, 1], [0.7, 0.6]], np.float32)
    rows = np.array([[3, 8], [9, 4], [1, 2]])
    values, others = first_other(np.array([3, 4, 5]), similarities, rows)
    assert others.tolist() == [8, 9, 1]  # face 4 has a twin, face 5 was not found at all
    np.testing.assert_allclose(values, [0.6, 1, 0.7])


def _found_from(probes_needed: int, candidates_needed: int):
    """A base that answers rightly from so many cells and candidates on, and else for half the faces."""

    def search(probes: int, candidates: int) -> tuple[np.ndarray, np.ndarray]:
        right = np.arange(100) < (100 if probes >= probes_needed and candidates >= candidates_needed else 50)
        return np.full((100, 2), 0.9, np.float32), np.where(right, 200, 300)[:, None].repeat(2, 1)

    return search


def _question() -> Question:
    asked = np.arange(100)
    exact = np.full((100, 2), 0.9, np.float32), np.full((100, 2), 200)
    return Question(asked, exact, None, 0.5, faces=1000)


def test_no_more_cells_are_searched_than_needed() -> None:
    tuning = choose_probes(_found_from(100, 1), _question(), 1024)
    assert 100 <= tuning.probes <= 100 * 2**0.25
    assert (tuning.candidates, tuning.agreement, tuning.row_agreement) == (128, 1, 1)
    assert (tuning.sample, tuning.faces, tuning.floor) == (100, 1000, 0.5)
    assert choose_probes(_found_from(1024, 1), _question(), 1024).probes == 1024


def test_more_candidates_are_compared_where_that_is_what_it_takes() -> None:
    tuning = choose_probes(_found_from(4, 500), _question(), 1024)
    assert (tuning.probes, tuning.candidates, tuning.agreement) == (16, 512, 1)


def test_a_target_out_of_reach_is_told() -> None:
    assert choose_probes(_found_from(9999, 1), _question(), 64).agreement == 0.5


def _looked(similar: list[float], *, wrong: set[int], stubborn: int = -1):
    """A base that is right from 300 cells on, and with 32 candidates finds so similar faces, wrong ones for some."""

    def search(probes: int, candidates: int) -> tuple[np.ndarray, np.ndarray]:
        faces = np.arange(2000)
        if candidates > 32:
            rows = np.where((probes >= 300) & (faces != stubborn), 9000, 8000)
            return np.full((2000, 2), 0.9, np.float32), rows[:, None].repeat(2, 1)
        rows = np.where(np.isin(faces, list(wrong)) & (probes < 32), 8000, 9000)
        return np.array(similar, np.float32)[:, None].repeat(2, 1), rows[:, None].repeat(2, 1)

    return search


def _two_thousand() -> Question:
    exact = np.full((2000, 2), 0.9, np.float32), np.full((2000, 2), 9000)
    return Question(np.arange(2000), exact, None, 0.5, faces=10_000)


def test_a_first_look_is_enough_beyond_its_worst_mistake() -> None:
    similar = [0.3] * 600 + [0.65, 0.6] + [0.75] * 1398
    tuning = choose_probes(_looked(similar, wrong={600}), _two_thousand(), 1024)
    assert tuning.first_look == FirstLook(16, 32, pytest.approx(0.65))
    assert 300 <= tuning.probes <= 300 * 2**0.25 and tuning.agreement == 1


def test_strangers_are_looked_for_further_whatever_the_first_look_finds() -> None:
    similar = [0.3] * 600 + [0.65] * 1400
    look = choose_probes(_looked(similar, wrong=set()), _two_thousand(), 1024).first_look
    assert look == FirstLook(16, 32, 0.5)


def test_a_mistake_that_the_whole_search_makes_too_is_no_reason_to_go_on() -> None:
    similar = [0.3] * 600 + [0.65] * 1400
    look = choose_probes(_looked(similar, wrong={700}, stubborn=700), _two_thousand(), 1024).first_look
    assert look is not None and look.sure == 0.5


def test_a_larger_first_look_is_taken_where_it_settles_more() -> None:
    similar = [0.6] * 1900 + [0.65] * 100
    look = choose_probes(_looked(similar, wrong={0, 1990}), _two_thousand(), 1024).first_look
    assert look is not None and 32 <= look.probes < 64 and look.sure == 0.5


def test_a_first_look_that_settles_too_little_is_not_taken() -> None:
    similar = [0.45] * 1940 + [0.65] * 60
    tuning = choose_probes(_looked(similar, wrong=set()), _two_thousand(), 1024)
    assert tuning.first_look is None and tuning.agreement == 1


def test_the_sample_is_the_same_every_time_and_all_where_there_are_few() -> None:
    assert tuning_sample(50, 0).tolist() == list(range(50))
    sample = tuning_sample(10_000, 0)
    assert len(sample) == len(set(sample.tolist())) == 2_000 and (np.diff(sample) > 0).all()
    np.testing.assert_array_equal(sample, tuning_sample(10_000, 0))
