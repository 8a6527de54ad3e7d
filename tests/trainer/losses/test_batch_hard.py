"""Batch-hard loss against its definition and against pytorch-metric-learning."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from trainer.losses.batch_hard import BatchHard

PEER = json.loads((Path(__file__).parents[1] / "oracles" / "metric_learning.json").read_text())
VARIANTS = {
    "batch_hard": BatchHard(margin=0.2),
    "batch_hard_active": BatchHard(margin=0.2, average="active"),
    "batch_hard_soft": BatchHard(margin=None),
}


@pytest.fixture
def batch():
    embeddings = torch.tensor(PEER["embeddings"], dtype=torch.float64, requires_grad=True)
    return embeddings, torch.tensor(PEER["labels"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_loss_and_gradient_are_those_of_pytorch_metric_learning(batch, variant):
    embeddings, labels = batch
    outcome = VARIANTS[variant](embeddings, labels)
    outcome.loss.backward()
    assert outcome.loss.item() == pytest.approx(PEER[variant]["loss"], abs=1e-9)
    torch.testing.assert_close(embeddings.grad, torch.tensor(PEER[variant]["gradient"], dtype=torch.float64))


def test_loss_and_statistics_match_the_definition(batch):
    embeddings, labels = batch
    unit = functional.normalize(embeddings.detach())
    losses, same, different = [], [], []
    for a in range(len(labels)):
        own = [i for i in range(len(labels)) if labels[i] == labels[a] and i != a]
        if own:
            others = [i for i in range(len(labels)) if labels[i] != labels[a]]
            p = max(own, key=lambda i: math.dist(unit[a], unit[i]))
            n = min(others, key=lambda i: math.dist(unit[a], unit[i]))
            losses.append(max(0.0, 0.2 + math.dist(unit[a], unit[p]) - math.dist(unit[a], unit[n])))
            same.append(float(unit[a] @ unit[p]))
            different.append(float(unit[a] @ unit[n]))
    outcome = BatchHard(margin=0.2)(embeddings, labels)
    assert outcome.loss.item() == pytest.approx(sum(losses) / len(losses))
    assert outcome.active.item() == pytest.approx(sum(loss > 0 for loss in losses) / len(losses))
    assert 0 < outcome.active.item() < 1
    assert outcome.same_similarities.tolist() == pytest.approx(same)
    assert outcome.different_similarities.tolist() == pytest.approx(different)


@pytest.mark.parametrize("loss", [*VARIANTS.values(), BatchHard(margin=None, sharpness=10)], ids=str)
def test_gradient_is_that_of_the_loss(batch, loss):
    embeddings, labels = batch
    assert torch.autograd.gradcheck(lambda rows: loss(rows, labels).loss, (embeddings,))


def test_sharper_soft_margins_come_nearer_to_the_hinge():
    """Two people on opposite sides of the sphere: the paper's soft margin still has a loss, a sharper one none."""
    embeddings = torch.eye(2)[[0, 0, 1, 1]] - 0.5
    labels = torch.tensor([0, 0, 1, 1])
    plain, sharp = (BatchHard(margin=None, sharpness=s)(embeddings, labels) for s in (1, 10))
    assert plain.loss.item() == pytest.approx(math.log1p(math.exp(-2)), abs=1e-5)
    assert sharp.loss.item() < 1e-8
    assert plain.active.item() == 0


def test_the_same_vector_for_all_gives_no_nan():
    embeddings = torch.ones(6, 4, requires_grad=True)
    outcome = BatchHard()(embeddings, torch.tensor([0, 0, 1, 1, 2, 2]))
    outcome.loss.backward()
    assert outcome.loss.item() == pytest.approx(0.2)
    assert outcome.active.item() == 1
    assert embeddings.grad is not None
    assert bool(torch.isfinite(embeddings.grad).all())


def test_wrong_settings():
    with pytest.raises(ValueError, match="above 0, or None for a soft margin, not 0"):
        BatchHard(margin=0)
    with pytest.raises(ValueError, match=r"sharpness must be above 0, not -1"):
        BatchHard(sharpness=-1)
