"""FaceNet's loss against its definition."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from trainer.losses.facenet import FaceNet

PEER = json.loads((Path(__file__).parents[1] / "oracles" / "metric_learning.json").read_text())


@pytest.fixture
def batch():
    embeddings = torch.tensor(PEER["embeddings"], dtype=torch.float64, requires_grad=True)
    return embeddings, torch.tensor(PEER["labels"])


def losses_by_definition(unit, labels, margin):
    losses = []
    squared = torch.cdist(unit, unit).square()
    for a in range(len(labels)):
        others = [i for i in range(len(labels)) if labels[i] != labels[a]]
        for p in (i for i in range(len(labels)) if labels[i] == labels[a] and i != a):
            farther = [n for n in others if squared[a, n] > squared[a, p]]
            n = min(farther or others, key=lambda i, a=a: squared[a, i])
            losses.append(max(0.0, float(squared[a, p] - squared[a, n]) + margin))
    return losses


@pytest.mark.parametrize("margin", [0.05, 0.2, 1.0])
def test_loss_matches_the_definition(batch, margin):
    embeddings, labels = batch
    losses = losses_by_definition(functional.normalize(embeddings.detach()), labels, margin)
    active = [loss for loss in losses if loss > 0]
    outcome = FaceNet(margin=margin)(embeddings, labels)
    assert 0 < len(active) < len(losses)
    assert outcome.loss.item() == pytest.approx(sum(losses) / len(losses))
    assert outcome.active.item() == pytest.approx(len(active) / len(losses))
    assert FaceNet(margin, "active")(embeddings, labels).loss.item() == pytest.approx(sum(active) / len(active))
    assert len(outcome.same_similarities) == len(outcome.different_similarities) == len(losses)


@pytest.mark.parametrize("loss", [FaceNet(), FaceNet(average="active")], ids=str)
def test_gradient_is_that_of_the_loss(batch, loss):
    embeddings, labels = batch
    assert torch.autograd.gradcheck(lambda rows: loss(rows, labels).loss, (embeddings,))


def test_nothing_to_learn_is_no_loss():
    embeddings = torch.eye(2, requires_grad=True)
    outcome = FaceNet()(embeddings[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1]))
    outcome.loss.backward()
    assert (outcome.loss.item(), outcome.active.item()) == (0, 0)
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


def test_wrong_settings():
    with pytest.raises(ValueError, match="margin must be above 0, not 0"):
        FaceNet(margin=0)
