"""The benchmark of dates: faces near in time count more, and where dates count for nothing the mean is the mean."""

from __future__ import annotations

import numpy as np

from benchmarks.date_weights import likeness, measure

RNG = np.random.default_rng(0)


def _unit(*shape: int) -> np.ndarray:
    rows = RNG.standard_normal(shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_without_dates_likeness_is_the_cosine_with_the_mean():
    probes, gallery = _unit(5, 16), _unit(3, 4, 16)
    means = gallery.mean(axis=1)
    expected = probes @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    np.testing.assert_allclose(likeness(probes, gallery, np.ones((5, 3, 4)), None), expected, atol=1e-12)
    np.testing.assert_allclose(likeness(probes, gallery, np.ones((5, 3, 4)), 2.0), expected, atol=1e-12)


def test_a_face_of_the_time_in_question_counts_most():
    gallery = np.eye(8)[None, :4]
    apart = np.array([[[0.0, 50, 50, 50]]])
    assert likeness(np.eye(8)[:1], gallery, apart, 2.0)[0, 0] > 0.99
    assert likeness(np.eye(8)[1:2], gallery, apart, 2.0)[0, 0] < 0.06


def test_people_who_are_easy_to_tell_are_told():
    people = np.repeat(np.arange(6), 7)
    rows = np.eye(32)[people] + 0.01 * RNG.standard_normal((42, 32))
    strangers = np.eye(32)[6:16]
    faces = np.concatenate([rows / np.linalg.norm(rows, axis=1, keepdims=True), strangers])
    labels = np.concatenate([people, np.arange(6, 16)])
    assert measure(faces, labels, 5.0, draws=2) == [1.0, 1.0]
