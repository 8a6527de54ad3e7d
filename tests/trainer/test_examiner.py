import json
from dataclasses import replace

import pytest
import torch

from trainer.crops import read_crops_folder
from trainer.evaluate import HeldOut
from trainer.examiner import Examiner
from trainer.material import choose_material
from trainer.processes import Processes
from trainer.start import begin
from trainer.weights import read_description

ALONE = Processes(0, 1, torch.device("cpu"))


def figures(score):
    return HeldOut(3, 8, score, score, (score, score), (0.5, 0.6), None, None)


@pytest.fixture
def examiner(crops, tmp_path, quick):
    folder = read_crops_folder(crops)
    return Examiner(
        tmp_path, quick, choose_material(folder, quick), begin(quick, folder.settings), False, print, is_random=True
    )


def test_only_a_better_epoch_replaces_the_best(examiner, monkeypatch):
    scores = iter([0.9, 0.5, 0.7, 0.6, 0.7, 0.8])
    monkeypatch.setattr("trainer.examiner.held_out_figures", lambda embeddings, labels: figures(next(scores)))
    network = examiner.start.network
    # Random weights, however good, are not kept.
    assert [examiner.examine(network, epoch, ALONE) for epoch in range(6)] == [False, True, True, False, False, True]
    assert (examiner.best_epoch, examiner.best, examiner.last) == (5, figures(0.8), figures(0.8))
    assert read_description(examiner.root / "best.safetensors").metrics["auc"] == 0.8


def test_weights_that_were_fitted_may_be_the_best(examiner, monkeypatch):
    scores = iter([0.9, 0.5, 0.91])
    monkeypatch.setattr("trainer.examiner.held_out_figures", lambda embeddings, labels: figures(next(scores)))
    examiner.is_random = False
    network = examiner.start.network
    assert [examiner.examine(network, epoch, ALONE) for epoch in range(3)] == [True, False, True]


def test_what_it_knows_comes_back(examiner, monkeypatch):
    monkeypatch.setattr("trainer.examiner.held_out_figures", lambda embeddings, labels: figures(0.7))
    again = replace(examiner)
    examiner.examine(examiner.start.network, 2, ALONE)
    again.restore(json.loads(json.dumps(examiner.state())))
    assert again == examiner
    again.restore({"last": None, "best": None, "best_epoch": -1})
    assert (again.last, again.best, again.best_epoch) == (None, None, -1)


def test_a_licence_is_that_of_the_first_weights_unless_one_is_given(examiner):
    for given, began, expected in (("", "", "unspecified"), ("", "MIT", "MIT"), ("CC0-1.0", "MIT", "CC0-1.0")):
        examiner.settings = replace(examiner.settings, licence=given)
        examiner.start = replace(examiner.start, licence=began)
        examiner.write("w.safetensors", examiner.start.network, 1)
        assert read_description(examiner.root / "w.safetensors").licence == expected
