import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.naming.assignment import Candidates, Reason, share_out

THRESHOLD = 0.5


def _candidates(alike, allowed=None):
    """From a table of similarities (faces, people)."""
    alike = np.asarray(alike, np.float32)
    order = np.argsort(-alike, axis=1, kind="stable")
    permitted = np.ones(alike.shape, bool) if allowed is None else np.asarray(allowed)
    ranked = (np.take_along_axis(a, order, axis=1) for a in (alike, permitted))
    return Candidates(order, *ranked)


def _share(alike, photo=None, min_margin=0.05, allowed=None):
    photo = np.zeros(len(alike), np.int64) if photo is None else np.asarray(photo)
    people, reasons = share_out(_candidates(alike, allowed), photo, THRESHOLD, min_margin)
    return people.tolist(), [Reason(r).name for r in reasons]


def test_a_person_goes_to_the_surer_face():
    assert _share([[0.7, 0.1], [0.8, 0.1]]) == ([-1, 0], ["TAKEN", "NAMED"])


def test_the_same_person_may_be_in_two_photos():
    assert _share([[0.7, 0.1], [0.8, 0.1]], photo=[4, 9]) == ([0, 0], ["NAMED", "NAMED"])


def test_a_face_does_not_get_somebody_else_because_its_own_person_is_taken():
    assert _share([[0.8, 0.1], [0.75, 0.55]]) == ([0, -1], ["NAMED", "TAKEN"])


def test_twins_are_told_apart_by_both_being_there():
    """Alone the second face would be a guess; with the other twin in the photo both together are clear."""
    twins = [[0.80, 0.70], [0.72, 0.70]]
    assert _share(twins[1:]) == ([-1], ["AMBIGUOUS"])
    assert _share(twins) == ([0, 1], ["NAMED", "NAMED"])


def test_twins_that_could_be_swapped_stay_unknown():
    assert _share([[0.71, 0.70], [0.70, 0.70]]) == ([-1, -1], ["AMBIGUOUS", "AMBIGUOUS"])


def test_nobody_near_is_not_ambiguous():
    assert _share([[0.40, 0.39]]) == ([-1], ["NOBODY_NEAR"])


def test_a_rival_below_the_threshold_makes_ambiguous_too():
    assert _share([[0.51, 0.49]]) == ([-1], ["AMBIGUOUS"])
    assert _share([[0.51, 0.45]]) == ([0], ["NAMED"])


def test_a_similarity_at_the_threshold_is_enough():
    assert _share([[0.5, 0.1]]) == ([0], ["NAMED"])
    assert _share([[0.5, 0.1], [0.5, 0.1]])[1] == ["NAMED", "TAKEN"]


def test_barred_people_are_not_given_and_are_no_rivals():
    assert _share([[0.8, 0.1]], allowed=[[False, True]]) == ([-1], ["TAKEN"])
    assert _share([[0.8, 0.79]], allowed=[[True, False]]) == ([0], ["NAMED"])
    assert _share([[0.8, 0.79]], allowed=[[False, True]]) == ([1], ["NAMED"])


def test_nobody_and_nothing():
    assert _share(np.empty((2, 0))) == ([-1, -1], ["NOBODY_NEAR", "NOBODY_NEAR"])
    assert _share(np.empty((0, 3))) == ([], [])


def _brute_force(alike):
    """The best sum of similarities above the threshold over all ways to give each face its near best or nothing."""
    options = [[None, *np.flatnonzero((row >= THRESHOLD) & (row > row.max() - 0.2)).tolist()] for row in alike]
    totals = []
    for choice in itertools.product(*options):
        given_names = [p for p in choice if p is not None]
        if len(given_names) == len(set(given_names)):
            totals.append(sum(alike[i, p] - THRESHOLD for i, p in enumerate(choice) if p is not None))
    return max(totals)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_names_are_the_best_choice_of_all_but_for_the_ambiguous(seed, faces, people):
    alike = np.random.default_rng(seed).uniform(0.3, 0.9, (faces, people)).astype(np.float32)
    named, reasons = _share(alike, min_margin=0.2)
    given_names = [p for p in named if p >= 0]
    assert len(given_names) == len(set(given_names))
    total = sum(float(alike[i, p]) - THRESHOLD for i, p in enumerate(named) if p >= 0)
    if "AMBIGUOUS" not in reasons:
        assert abs(total - _brute_force(alike.astype(np.float64))) < 1e-6
    for i, (person, reason) in enumerate(zip(named, reasons, strict=True)):
        assert (person >= 0) == (reason == "NAMED")
        assert (reason == "NOBODY_NEAR") == (alike[i].max() < THRESHOLD)
        assert reason != "TAKEN" or int(alike[i].argmax()) in given_names


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_photos_do_not_touch_each_other(seed):
    rng = np.random.default_rng(seed)
    alike, photo = rng.uniform(0.2, 0.9, (9, 4)), rng.integers(0, 4, 9)
    together = np.array(_share(alike, photo)[0])
    for number in np.unique(photo):
        assert together[photo == number].tolist() == _share(alike[photo == number])[0]
