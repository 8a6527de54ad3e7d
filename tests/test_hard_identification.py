"""The likeness, part by part: all of them together are what visavis does."""

import json
import sys

import numpy as np
import pytest

from benchmarks import hard_identification as module
from benchmarks.hard_identification import Faces, means, read_material, visavis

PEOPLE, STRANGERS, PHOTOS = 130, 200, 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Made-up clean and hard faces: people with five photos, with two, and strangers."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(PEOPLE + 50 + STRANGERS), [PHOTOS] * PEOPLE + [2] * 50 + [1] * STRANGERS)
    clean = rng.normal(size=(labels.max() + 1, 24))[labels] + 0.6 * rng.normal(size=(len(labels), 24))
    spoilt = np.zeros(24)
    spoilt[3] = 4
    hard = clean + rng.normal(size=(len(labels), 1)) * spoilt
    about = {"labels": labels, "paths": np.full(len(labels), "somebody.jpg"), "qualities": np.ones(len(labels))}
    path = tmp_path_factory.mktemp("hard")
    kinds = rng.integers(0, 2, len(labels))
    np.savez(path / "made_clean.npz", embeddings=clean, **about)
    np.savez(path / "made.npz", embeddings=hard, kinds=kinds, kind_names=np.array(["a", "b"]), **about)
    return path


@pytest.mark.parametrize("people", [30, 120])
def test_all_parts_together_are_what_visavis_does(folder, people):
    material, _, _ = read_material(folder, "made", known=4, gallery=2, people=people)
    ours = visavis(quality=True)(material.gallery, material.people, material.probes["hard"])
    spelt_out = means(rivals=None, nearest_share=0.25, length_power=0.75)
    theirs = spelt_out(material.gallery, material.people, material.probes["hard"])
    assert (ours[1] == theirs[1]).mean() > 0.99
    assert np.ptp(ours[0] - theirs[0]) < 1e-4  # what is usual is added back by visavis alone


def test_rivals_in_full_are_another_thing_where_few_are_known(folder):
    material, _, _ = read_material(folder, "made", known=4, gallery=2, people=30)
    few, full = (
        means(rivals=share)(material.gallery, material.people, material.probes["hard"]) for share in (None, 0.25)
    )
    assert (full[0] < few[0]).all()


def test_who_is_known_asked_about_and_strange(folder):
    material, kinds, directions = read_material(folder, "made", known=4, gallery=2)
    assert np.bincount(material.people)[:PEOPLE].tolist() == [2] * PEOPLE
    assert len(material.truth) == (PHOTOS - 2) * PEOPLE
    assert len(material.stranger_kinds) == STRANGERS
    assert kinds == ["a", "b"]
    assert np.abs(directions[3]).max() > 0.95  # found on people with two photos


def test_the_script_prints_each_part_and_json(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["hard", str(folder), "--network", "made", "--people", "40", "--draws", "2"])
    module.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("40 people, 120 probes, 200 strangers")
    result = json.loads(lines[-1])["dir"]
    assert list(result)[:2] == ["nearest face", "mean templates"]
    for columns in result.values():
        assert columns["clean/hard"][0] <= columns["rank 1"][0]
    assert result["tried: without directions"]["clean/hard"][0] > result["mean templates"]["clean/hard"][0]


def test_faces_can_be_taken_by_rows():
    faces = Faces(np.eye(3, dtype=np.float32), np.array([0.1, 0.2, 0.3], np.float32))
    assert faces.at(np.array([2, 0])).qualities.tolist() == pytest.approx([0.3, 0.1])
