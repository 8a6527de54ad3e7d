"""The measure behind the figures on `visavis split` counts what it says."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from benchmarks import division
from benchmarks.division import average_linkage, measure, pairs_of_people, stricter, two_means


def _faces(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Six people with 1 to 6 photos; those who follow each other are a little alike."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6])
    people = np.eye(32)[:6] + 0.3 * np.eye(32)[1:7]
    faces = people[labels] + noise * rng.standard_normal((len(labels), 32))
    return (faces / np.linalg.norm(faces, axis=1, keepdims=True)).astype(np.float32), labels


def test_everybody_with_two_photos_has_a_partner_who_is_not_himself() -> None:
    embeddings, labels = _faces(0.01)
    for partner in ("random", "nearest"):
        pairs = [(labels[one], labels[other]) for one, other in pairs_of_people(embeddings, labels, partner)]
        assert [set(one) for one, _ in pairs] == [{1}, {2}, {3}, {4}, {5}]
        assert all(len(set(other)) == 1 and set(one) != set(other) for one, other in pairs)
    assert {(*set(a), *set(b)) for a, b in pairs} <= {(n, m) for n in range(6) for m in (n - 1, n + 1)}


@pytest.mark.parametrize("way", [average_linkage, two_means, stricter("sface")])
def test_people_who_are_not_alike_are_parted_to_the_last_face(way) -> None:
    found = measure(*_faces(0.01), "random", "any", way)
    assert (found.pairs, found.whole, found.wrong) == (5, 1.0, 0.0)


def test_wrong_sides_and_pieces_are_counted() -> None:
    embeddings, labels = _faces(0.01)

    def by_turns(faces: np.ndarray) -> np.ndarray:
        return np.arange(len(faces)) % 2

    found = measure(embeddings, labels, "nearest", "by turns", by_turns)
    assert found.whole == 0 and found.wrong > 0.25
    pieces = measure(embeddings, labels, "nearest", "each alone", lambda faces: np.arange(len(faces)))
    assert (pieces.whole, pieces.wrong) == (0, 0)


def test_it_prints_a_line_for_each_way_and_json(tmp_path, monkeypatch, capsys) -> None:
    embeddings, labels = _faces(0.05)
    np.savez(tmp_path / "faces.npz", embeddings=embeddings, labels=labels)
    monkeypatch.setattr(sys, "argv", ["division", str(tmp_path / "faces.npz")])
    division.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7 and len(json.loads(lines[-1])) == 6
