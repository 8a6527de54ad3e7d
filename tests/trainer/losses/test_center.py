"""Center loss against its definition: the two terms, and the centres' own rule."""

import math

import pytest
import torch
from torch.nn import functional

from trainer.losses.center import Center


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(5)
    embeddings = torch.randn(7, 4, generator=generator, dtype=torch.float64).requires_grad_()
    return embeddings, torch.tensor([0, 2, 2, 1, 0, 2, 2])


@pytest.fixture
def loss():
    torch.manual_seed(6)
    objective = Center(weight=0.1, center_rate=0.5).objective(4, 4).double()
    objective.centers.copy_(torch.randn(4, 4))
    return objective


def test_loss_matches_the_definition(batch, loss):
    embeddings, labels = batch
    logits = (embeddings @ loss.classifier.weight.T + loss.classifier.bias).tolist()
    softmax = sum(math.log(sum(map(math.exp, logits[i]))) - logits[i][label] for i, label in enumerate(labels)) / 7
    drawn = sum(math.dist(embeddings[i].tolist(), loss.centers[label].tolist()) ** 2 for i, label in enumerate(labels))
    assert loss.eval()(embeddings, labels).loss.item() == pytest.approx(softmax + 0.1 / 2 * drawn / 7)


def test_centers_follow_their_people(batch, loss):
    """Wen et al., eq. 4, person by person; nobody's centre moves without a face, and none in evaluation."""
    embeddings, labels = batch
    before = loss.centers.clone()
    expected = before.clone()
    for person in range(4):
        faces = embeddings.detach()[labels == person]
        expected[person] -= 0.5 * (before[person] - faces).sum(dim=0) / (1 + len(faces))
    loss.eval()(embeddings, labels)
    assert torch.equal(loss.centers, before)
    loss.train()(embeddings, labels)
    torch.testing.assert_close(loss.centers, expected)
    assert torch.equal(loss.centers[3], before[3])


def test_a_batch_that_is_no_number_moves_no_center(batch, loss):
    embeddings, labels = batch
    before = loss.centers.clone()
    broken = embeddings.detach().clone()
    broken[3, 1] = math.nan
    assert math.isnan(loss.train()(broken, labels).loss.item())
    assert torch.equal(loss.centers, before)


def test_gradient_is_that_of_the_loss(batch, loss):
    embeddings, labels = batch
    parameters = (embeddings, loss.classifier.weight, loss.classifier.bias)
    assert torch.autograd.gradcheck(lambda rows, *_: loss.eval()(rows, labels).loss, parameters)


def test_centers_are_saved_and_not_trained(loss):
    assert "centers" in loss.state_dict()
    assert "centers" not in dict(loss.named_parameters())


def test_faces_come_together():
    """A few steps of descent on the embeddings alone: center loss draws a person's faces closer than softmax does."""
    spread = {}
    for weight in (0.0, 1.0):
        torch.manual_seed(7)
        objective = Center(weight=weight).objective(3, 2)
        rows = torch.randn(30, 2, requires_grad=True)
        labels = torch.arange(3).repeat(10)
        for _ in range(60):
            (gradient,) = torch.autograd.grad(objective(rows, labels).loss, rows)
            rows = (rows - gradient * 3).detach().requires_grad_()
        rows = rows.detach()
        own = torch.stack([rows[labels == person].std(dim=0).mean() for person in range(3)])
        spread[weight] = float(own.mean() / functional.pdist(objective.centers).mean())
    assert spread[1.0] < 0.5 * spread[0.0]


def test_wrong_settings():
    with pytest.raises(ValueError, match="center_rate be between 0 and 1"):
        Center(center_rate=2)
    with pytest.raises(ValueError, match="at least 2 people, not 1"):
        Center().objective(1, 8)
