import numpy as np
import pytest

from trainer.measures import compare_measures


def people(count, seed, ignored):
    """Faces whose first numbers say who it is; the others, as large, say nothing."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count), 4)
    known = np.abs(random.standard_normal((count, 8)))[labels] + 0.15 * random.standard_normal((4 * count, 8))
    rows = np.concatenate([known, ignored * np.abs(random.standard_normal((4 * count, 8)))], axis=1)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def test_learned_measures_leave_out_what_says_nothing():
    found = compare_measures(people(60, 0, 1.0), people(60, 1, 1.0))
    assert list(found) == ["cosine", "chi-squared", "siamese"]
    assert found["chi-squared"] > found["cosine"] + 0.05
    assert found["siamese"] > found["cosine"] + 0.05


def test_all_measures_tell_clear_faces_apart():
    found = compare_measures(people(60, 0, 0.05), people(60, 1, 0.05))
    assert min(found.values()) > 0.9
    assert found["cosine"] == pytest.approx(1, abs=0.06)
