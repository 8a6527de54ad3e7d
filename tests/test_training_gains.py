"""The parts of the benchmark of training that could be wrong unseen: what is spoilt, and what is counted."""

import numpy as np
import pytest

from benchmarks.training_gains import measure, nearest_is_right, read_held_out
from tests.trainer.small_crops import MARGIN, SIZE, write_crops
from trainer.crops import read_crop, read_crops_folder


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def test_held_out_crops_come_clean_and_spoilt(tmp_path):
    """Two of twelve people; clean ones are the files without their margin, and each hard copy is another picture."""
    folder = read_crops_folder(write_crops(tmp_path / "crops"))
    clean, hard, people = read_held_out(folder, seed=20)
    rows = np.flatnonzero(folder.held_out())
    assert clean.shape == hard.shape == (8, SIZE, SIZE, 3)
    assert {folder.people[person] for person in people} == {"p08", "p11"}
    first = read_crop(folder.path(int(rows[0])), folder.settings.side)
    np.testing.assert_array_equal(clean[0], first[MARGIN:-MARGIN, MARGIN:-MARGIN])
    assert all((one != other).any() for one, other in zip(clean, hard, strict=True))
    np.testing.assert_array_equal(hard, read_held_out(folder, seed=20)[1])


def test_nearest_is_right_counts_the_faces():
    """Of two people's faces on a line, the one that lies with the others is wrong, and so is who is nearest to it."""
    angles = np.array([0.0, 0.1, 0.9, 1.0, 1.5])
    embeddings = _unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert nearest_is_right(embeddings, np.array([0, 0, 1, 1, 1])) == 1.0
    assert nearest_is_right(embeddings, np.array([0, 0, 1, 0, 1])) == pytest.approx(2 / 5)


def test_measure_separates_clean_from_hard():
    """People far apart are all found; hard copies that are nobody's lose their pairs and nothing else."""
    random = np.random.default_rng(0)
    people = np.repeat(np.arange(30), 4)
    people = np.concatenate([people, np.arange(30, 60)])  # strangers with one crop each
    centres = _unit(random.normal(size=(60, 64)))
    clean = _unit(centres[people] + 0.02 * random.normal(size=(len(people), 64)))
    same = measure(clean, clean, people, "sface")
    assert same["TAR at FAR 1e-4"] == same["DIR at FAR 1 %"] == same["hard copies, TAR at FAR 1e-4"] == 1.0
    lost = measure(clean, _unit(random.normal(size=clean.shape)), people, "sface")
    assert lost["hard copies, TAR at FAR 1e-4"] < 0.05
    assert {k: v for k, v in lost.items() if "hard" not in k} == {k: v for k, v in same.items() if "hard" not in k}
