import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from trainer.crops import read_crops_folder
from trainer.journal import Journal
from trainer.learner import Step
from trainer.losses.batch_hard import BatchHard
from trainer.material import choose_material
from trainer.settings import TrainSettings


@pytest.fixture
def material(crops):
    return choose_material(read_crops_folder(crops), TrainSettings(people=3, crops=2, held_out=0.3))


def step(embeddings, labels, finite=True):
    return Step(BatchHard()(embeddings, labels), embeddings, float("nan"), 1.0, 1e-3, finite)


def batch(material, seed, count=12):
    random = np.random.default_rng(seed)
    rows = random.choice(material.trained, count, replace=False)
    embeddings = torch.from_numpy(random.standard_normal((count, 8))).float()
    return rows, torch.from_numpy(material.labels[rows]), embeddings


def test_the_hardest_triplets_are_kept(material):
    journal = Journal(material, keep=5)
    all_of_them = {}
    for seed in range(4):
        rows, labels, embeddings = batch(material, seed)
        journal.watch(step(embeddings, labels), rows, labels)
        unit = functional.normalize(embeddings)
        for a in range(12):
            same = [(float(unit[a] @ unit[p]), p) for p in range(12) if labels[p] == labels[a] and p != a]
            other = [(float(unit[a] @ unit[n]), n) for n in range(12) if labels[n] != labels[a]]
            if same and other:
                (s, p), (d, n) = min(same), max(other)
                found = (d - s, rows[a], rows[p], rows[n])
                all_of_them[rows[a]] = max(found, all_of_them.get(rows[a], found))
    expected = sorted(all_of_them.values(), reverse=True)[:5]
    assert [(t.anchor, t.positive, t.negative) for t in journal.hardest()] == [found[1:] for found in expected]
    first = journal.hardest_by_name()[0]
    assert first["different"] - first["same"] == pytest.approx(expected[0][0], abs=1e-5)
    assert first["anchor"].startswith(first["person"] + "/")
    assert first["positive"].startswith(first["person"] + "/")
    assert first["negative"].startswith(first["other"] + "/")


def test_a_crop_under_a_wrong_name_is_suspected(material):
    journal = Journal(material, keep=5)
    right = np.eye(16)[material.labels[material.trained]]
    wrong = int(material.trained[0])
    right[0] = right[-1]  # the first person's first crop looks like the last person
    rows, labels = material.trained, torch.from_numpy(material.labels[material.trained])
    for seed in range(5):
        noise = 0.1 * np.random.default_rng(seed).standard_normal(right.shape)
        journal.watch(step(torch.from_numpy(right + noise).float(), labels), rows, labels)
    assert wrong in journal.suspects()
    found = [s for s in journal.suspects_by_name() if s["crop"] == material.folder.paths[wrong]]
    assert found[0]["person"] == material.folder.people[material.folder.labels[wrong]]
    assert found[0]["times"] == found[0]["seen"] == 4  # the first time nobody was known
    journal.forget_suspicions()
    assert len(journal.suspects()) == 0


def test_a_step_without_numbers_is_counted_and_not_looked_at(material):
    journal = Journal(material, keep=5)
    rows, labels, embeddings = batch(material, 0)
    for _ in range(5):
        journal.watch(step(embeddings * float("nan"), labels, finite=False), rows, labels)
    assert journal.broken.must_stop
    assert journal.hardest() == []


def test_a_journal_goes_on_where_it_was(material):
    def look(journal, seeds):
        for seed in seeds:
            rows, labels, embeddings = batch(material, seed)
            journal.watch(step(embeddings, labels), rows, labels)
            journal.measure(step(embeddings, labels))

    straight, first, second = (Journal(material, keep=5) for _ in range(3))
    look(straight, range(6))
    look(first, range(3))
    tensors = {name.removeprefix("suspicions/"): value for name, value in first.tensors().items()}
    second.restore(json.loads(json.dumps(first.state())), tensors)
    look(second, range(3, 6))
    assert second.state() == straight.state()
    assert second.suspects_by_name() == straight.suspects_by_name()
    assert second.end_epoch() == straight.end_epoch()
    assert second.hardest() == []


def test_an_epoch_has_the_means_of_its_steps(material):
    journal = Journal(material, keep=5)
    measured = []
    for seed in range(3):
        _, labels, embeddings = batch(material, seed)
        measured.append(journal.measure(step(embeddings, labels)))
    figures = journal.end_epoch()
    assert figures["loss"] == pytest.approx(np.mean([m.loss for m in measured]))
    assert figures["same_quantiles"][2] == pytest.approx(np.mean([m.same_quantiles[2] for m in measured]))
    assert journal.end_epoch()["loss"] is None
