"""ArcFace and CosFace against pytorch-metric-learning, and where the angle comes near 180 degrees."""

import json
import math
from pathlib import Path

import pytest
import torch

from trainer.losses.arcface import ArcFace
from trainer.losses.cosface import CosFace

PEER = json.loads((Path(__file__).parents[1] / "oracles" / "metric_learning.json").read_text())
SETTINGS = {"arcface": ArcFace(), "cosface": CosFace()}


def prepared(name):
    loss = SETTINGS[name].objective(6, 8).double()
    with torch.no_grad():
        loss.weights.copy_(torch.tensor(PEER["class_weights"]))
    embeddings = torch.tensor(PEER["embeddings"], dtype=torch.float64, requires_grad=True)
    return loss, embeddings, torch.tensor(PEER["labels"])


@pytest.mark.parametrize("name", SETTINGS)
def test_loss_and_gradients_are_those_of_pytorch_metric_learning(name):
    loss, embeddings, labels = prepared(name)
    outcome = loss(embeddings, labels)
    outcome.loss.backward()
    expected = PEER[name]
    assert outcome.loss.item() == pytest.approx(expected["loss"], rel=1e-8)
    for ours, theirs in ((embeddings.grad, "gradient"), (loss.weights.grad, "weights_gradient")):
        torch.testing.assert_close(ours, torch.tensor(expected[theirs], dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", SETTINGS)
def test_gradient_is_that_of_the_loss(name):
    """For the embeddings and for the class weights."""
    loss, embeddings, labels = prepared(name)
    assert torch.autograd.gradcheck(lambda rows, _: loss(rows, labels).loss, (embeddings, loss.weights))


def test_own_class_is_made_harder_everywhere():
    """The margin lowers a face's own cosine, and the lowered one falls as the angle grows, up to 180 degrees."""
    loss = ArcFace(margin=0.5, scale=1).objective(2, 2).double()
    angles = torch.linspace(0, math.pi, 400, dtype=torch.float64)
    lowered = loss._lowered(angles.cos())
    assert bool((lowered.diff() < 0).all())
    assert bool((lowered < angles.cos()).all())
    inside = angles <= math.pi - 0.5
    torch.testing.assert_close(lowered[inside], (angles[inside] + 0.5).cos(), atol=2e-6, rtol=0)


def test_a_face_on_its_class_gives_no_nan():
    loss = ArcFace().objective(3, 4)
    embeddings = loss.weights.detach().clone().requires_grad_()
    loss(embeddings, torch.arange(3)).loss.backward()
    assert embeddings.grad is not None
    assert bool(torch.isfinite(embeddings.grad).all())


@pytest.mark.parametrize("name", SETTINGS)
def test_statistics_are_cosines_with_the_classes(name):
    loss, embeddings, labels = prepared(name)
    outcome = loss(embeddings, labels)
    cosines = torch.nn.functional.cosine_similarity(embeddings.unsqueeze(1), loss.weights.unsqueeze(0), dim=2)
    for row, label in enumerate(labels.tolist()):
        others = [cosines[row, c].item() for c in range(6) if c != label]
        assert outcome.same_similarities[row].item() == pytest.approx(cosines[row, label].item())
        assert outcome.different_similarities[row].item() == pytest.approx(max(others))


def test_wrong_settings():
    with pytest.raises(ValueError, match=r"between 0 and 1\.5 radians, scale above 0: 28\.6"):
        ArcFace(margin=28.6)
    with pytest.raises(ValueError, match="scale above 0"):
        CosFace(scale=0)
    with pytest.raises(ValueError, match="at least 2 people, not 1"):
        CosFace().objective(1, 8)
