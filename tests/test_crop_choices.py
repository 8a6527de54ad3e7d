"""The measurement of crops and views averages what it says, and counts the pairs it says."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.crop_choices import CHOICES, CUTS, chosen, judge_quality, measure
from benchmarks.hard_copies import KINDS


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def test_a_choice_is_the_mean_of_its_views():
    rng = np.random.default_rng(0)
    views = {f"clean/{cut}/{side}": _unit(rng.normal(size=(3, 8))) for cut in CUTS for side in ("straight", "mirrored")}
    first = next(iter(CUTS))
    np.testing.assert_allclose(chosen(views, "clean", "one view"), views[f"clean/{first}/straight"], atol=1e-6)
    both = _unit(views[f"clean/{first}/straight"] + views[f"clean/{first}/mirrored"])
    np.testing.assert_allclose(chosen(views, "clean", "and its mirror image: visavis"), both, atol=1e-6)
    six = _unit(sum(rows for name, rows in views.items() if "6 % " in name or first in name))
    np.testing.assert_allclose(chosen(views, "clean", "three sizes, mirrored too"), six, atol=1e-6)
    assert all(np.isfinite(chosen(views, "clean", choice)).all() for choice in CHOICES)


def test_pairs_are_counted_once_and_never_of_a_face_with_its_own_copy():
    people, faces = 40, 2
    labels = np.repeat(np.arange(people), faces)
    rng = np.random.default_rng(1)
    clean = _unit(np.eye(people)[labels] + 0.01 * rng.normal(size=(people * faces, people)))
    kinds = np.zeros(len(labels), np.int64)
    kinds[::2] = 1  # the first photo of each person
    hard = clean.copy()
    hard[::2] = _unit(rng.normal(size=hard[::2].shape))  # nobody is known by these
    figures = measure(clean, hard, labels, kinds)
    assert figures["clean"] == 1
    assert figures[KINDS[0]] == 1, "of a spoilt copy that looks like the person, but not with the photo it was made of"
    assert figures[KINDS[1]] < 0.2
    assert figures["clean, hard"] == pytest.approx((figures[KINDS[0]] + figures[KINDS[1]]) / 2)


def test_quality_that_tells_the_misses_is_found():
    people, rng = 60, np.random.default_rng(2)
    labels = np.repeat(np.arange(people), 2)
    clean = _unit(np.eye(people)[labels] + 0.01 * rng.normal(size=(2 * people, people)))
    hard, bad = clean.copy(), rng.permutation(2 * people)[:12]
    hard[bad] = _unit(rng.normal(size=(12, people)))
    first = next(iter(CUTS))
    embedded = {f"{state}/{cut}/{side}": rows for state, rows in (("clean", clean), ("hard", hard))
                for cut in CUTS for side in ("straight", "mirrored")}  # fmt: skip
    lengths = np.where(np.isin(np.arange(2 * people), bad), 5, 10) + rng.random(2 * people)
    for side in ("straight", "mirrored"):
        embedded[f"hard/{first}/{side}/length"] = lengths
    found = judge_quality(embedded, labels)
    assert found["length"]["misses in the worst tenth"] == 1
    assert found["length"]["rank correlation"] > 0.2
    assert found["agreement"]["misses in the worst tenth"] < 0.6, "the views are the same: that tells nothing"
