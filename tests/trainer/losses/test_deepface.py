"""DeepFace's identity softmax."""

import pytest
import torch
from torch.nn import functional

from trainer.losses.deepface import DeepFace


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(5)
    embeddings = torch.randn(7, 4, generator=generator, dtype=torch.float64).requires_grad_()
    return embeddings, torch.tensor([0, 2, 2, 1, 0, 2, 2])


def test_loss_is_the_cross_entropy(batch):
    embeddings, labels = batch
    loss = DeepFace().objective(3, 4).double().eval()
    logits = loss.classifier(embeddings)
    outcome = loss(embeddings, labels)
    assert outcome.loss.item() == pytest.approx(functional.cross_entropy(logits, labels).item())
    assert outcome.active.item() == pytest.approx((logits.argmax(1) != labels).double().mean().item())


def test_gradient_is_that_of_the_loss(batch):
    embeddings, labels = batch
    loss = DeepFace(dropout=0).objective(3, 4).double()
    parameters = (embeddings, loss.classifier.weight, loss.classifier.bias)
    assert torch.autograd.gradcheck(lambda rows, *_: loss(rows, labels).loss, parameters)


def test_dropout_leaves_out_its_share():
    torch.manual_seed(1)
    loss = DeepFace(dropout=0.25).objective(2, 40)
    rows = torch.ones(50, 40, requires_grad=True)
    loss(rows, torch.zeros(50, dtype=torch.int64)).loss.backward()
    assert rows.grad is not None
    assert 0.2 < (rows.grad == 0).double().mean().item() < 0.3


def test_wrong_settings():
    with pytest.raises(ValueError, match="dropout must be at least 0 and below 1, not 1"):
        DeepFace(dropout=1)
    with pytest.raises(ValueError, match="at least 2 people, not 0"):
        DeepFace().objective(0, 8)
