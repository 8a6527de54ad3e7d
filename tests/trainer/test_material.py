from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.small_crops import write_crops
from trainer.crops import UNNAMED, CropsError, CropsFolder, CropsSettings, Names, is_held_out, read_crops_folder
from trainer.evaluate import held_out_figures
from trainer.material import choose_material, fitting_people, some_people
from trainer.sampler import Position
from trainer.settings import TrainSettings

SETTINGS = TrainSettings(people=4, crops=2)


def test_nobody_is_both_trained_on_and_held_out(tmp_path):
    folder = read_crops_folder(write_crops(tmp_path / "crops", 12, [1, 2, 3, 4] * 3))
    material = choose_material(folder, SETTINGS)
    trained = {folder.people[label] for label in folder.labels[material.trained]}
    held_out = {folder.people[label] for label in folder.labels[material.held_out]}
    assert held_out == {"p08", "p11"}
    assert trained == {f"p{n:02d}" for n in range(12)} - held_out - {"p00", "p04"}  # those have one crop
    assert material.held_out_people == 2
    assert sorted({material.name(label) for label in range(len(material.people))}) == sorted(trained)
    for at in range(material.sampler.batches_per_epoch):
        rows = material.sampler.batch(Position(0, at))
        assert set(rows) <= set(material.trained)
        assert [material.name(label) for label in material.labels[rows]] == [folder.paths[r][:3] for r in rows]


def test_a_teacher_needs_no_names(tmp_path):
    root = write_crops(tmp_path / "crops", 12, 1)
    (root / "p00").rename(root / UNNAMED)
    folder = read_crops_folder(root)
    material = choose_material(folder, TrainSettings(recipe=None, teacher="t", people=2, crops=2))
    dealt = np.concatenate([material.sampler.batch(Position(0, n)) for n in range(material.sampler.batches_per_epoch)])
    assert set(dealt) == set(material.trained) == set(range(12)) - set(material.held_out)
    assert len(material.trained) == 10
    assert material.sampler.batches_per_epoch == 3


@pytest.mark.parametrize(
    ("counts", "settings", "message"),
    [
        ([1] * 12, SETTINGS, r"12 people: 2 are held out, 10 have fewer than 2 crops.*Most people here have "
         r"one picture.*add photos of them, take --least-crops 1.*--teacher"),
        ([4] * 12, TrainSettings(people=11), r"leaves 10, and a batch wants 11: take fewer with --people 10"),
        ([4] * 12, TrainSettings(people=2, held_out=0.99), r"leaves [01], .*hold out fewer with --held-out"),
        ([4] * 12, TrainSettings(recipe=None, teacher="t"), r"That leaves 40, and a batch wants 128: take fewer"),
    ],
)  # fmt: skip
def test_too_little_says_what_to_do(tmp_path, counts, settings, message):
    folder = read_crops_folder(write_crops(tmp_path / "crops", len(counts), counts))
    with pytest.raises(CropsError, match=message):
        choose_material(folder, settings)


def test_one_crop_each_is_enough_if_asked_for(tmp_path):
    folder = read_crops_folder(write_crops(tmp_path / "crops", 12, 1))
    material = choose_material(folder, TrainSettings(people=4, crops=2, least_crops=1))
    rows = material.sampler.batch(Position(0, 0))
    assert (rows[::2] == rows[1::2]).all()


def folder_of(counts, unnamed=0):
    """A folder of so many crops of each person and of nobody, of which no file is there."""
    labels = np.repeat(np.arange(-1, len(counts)), [unnamed, *counts])
    settings = CropsSettings(32, 4, ((1.0, 1.0),) * 5, "sface", 0.3)
    people = tuple(f"p{n:02d}" for n in range(len(counts)))
    return CropsFolder(Path("crops"), settings, Names(map(str, labels)), labels, people)


@given(
    counts=st.lists(st.integers(1, 5), min_size=1, max_size=40),
    unnamed=st.integers(0, 9),
    most=st.integers(2, 32),
    processes=st.integers(1, 4),
    recipe=st.sampled_from(["batch-hard", None]),
)
def test_a_batch_has_as_many_people_as_there_are(counts, unnamed, most, processes, recipe):
    folder = folder_of(counts, unnamed)
    asked = TrainSettings(recipe=recipe, teacher="t", people=most, crops=3)
    people = fitting_people(folder, asked, processes)
    assert 2 <= people <= most
    there = sum(count >= 2 and not is_held_out(f"p{n:02d}", 0.3) for n, count in enumerate(counts))
    if recipe is None:
        there = int((~folder.held_out()).sum()) // 3
    if min(there, most) < max(2, processes):
        assert people == 2
        return
    assert people % processes == 0 and people > min(there, most) - processes
    material = choose_material(folder, replace(asked, people=people), processes)
    assert len(material.sampler.batch(Position())) == people * 3


@given(counts=st.lists(st.integers(1, 3), min_size=4, max_size=20), share=st.sampled_from([0.0, 0.1, 0.3, 0.6]))
def test_who_can_be_measured_is_who_has_figures(counts, share):
    """Held-out people are measured where there are two of them and one has two crops; else that is said."""
    folder = folder_of(counts)
    rows = np.flatnonzero(folder.held_out(share))
    embeddings = np.eye(len(folder), dtype=np.float32)[rows]
    figures = held_out_figures(embeddings, folder.labels[rows])
    settings = TrainSettings(recipe=None, teacher="t", people=2, crops=1, held_out=share)
    if len(folder) - len(rows) < 2:
        return
    material = choose_material(folder, settings)
    assert material.can_be_measured == (figures is not None)
    assert bool(material.remarks) == (figures is None)


def test_who_lacks_a_second_person_is_not_told_to_take_fewer():
    with pytest.raises(CropsError, match="leaves 1, and a batch wants 2: hold out fewer"):
        choose_material(folder_of([4]), TrainSettings(people=2, held_out=0.0))


def test_batches_must_divide_among_processes(crops):
    folder = read_crops_folder(crops)
    with pytest.raises(ValueError, match="4 people of a batch cannot be divided among 3 processes"):
        choose_material(folder, SETTINGS, 3)
    with pytest.raises(ValueError, match="8 crops of a batch cannot be divided among 3"):
        choose_material(folder, TrainSettings(recipe=None, teacher="t", people=4, crops=2), 3)


def test_some_people_are_taken_whole_and_always_the_same():
    labels = np.repeat(np.arange(50), np.arange(1, 51))
    rows = np.flatnonzero(labels % 3 == 0)
    some = some_people(rows, labels, 100)
    assert len(some) <= 100
    assert len(some) > 50
    assert set(some) <= set(rows)
    assert (np.diff(some) > 0).all()
    assert all((labels[some] == person).sum() == person + 1 for person in set(labels[some]))
    assert (some == some_people(rows, labels, 100)).all()
    assert len(set(labels[some_people(rows, labels, 1)])) == 2
    assert (some_people(rows, labels, len(rows)) == rows).all()
