"""What every recipe must do, whatever its loss."""

import dataclasses
import inspect
import json
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainer.pretend_device import Pretend
from trainer.losses.batch_hard import BatchHard
from trainer.losses.verification_head import VerificationHead
from trainer.recipes import (
    RECIPES,
    build_objective,
    choose_recipe,
    loss_at_collapse,
    parameters_of,
)

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 4, 4])


def objective(name, dimension=8):
    torch.manual_seed(1)
    return build_objective(RECIPES[name].settings, classes=5, dimension=dimension)


def embeddings(count=12):
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(2)) * 0.3


def test_the_names_are_those_of_the_documents():
    assert list(RECIPES) == ["batch-hard", "facenet", "dlib", "center", "deepface", "arcface", "cosface"]
    assert [name for name, recipe in RECIPES.items() if recipe.classifies] == [
        "center",
        "deepface",
        "arcface",
        "cosface",
    ]
    assert choose_recipe("dlib").name == "dlib"
    with pytest.raises(ValueError, match="no recipe 'triplet'; there are batch-hard, facenet"):
        choose_recipe("triplet")


@pytest.mark.parametrize("name", RECIPES)
def test_every_loss_names_its_source(name):
    source = inspect.getmodule(type(RECIPES[name].settings)).__doc__
    assert any(mark in source for mark in ("arXiv", "ECCV", "CVPR", "dlib/dnn"))
    assert "L = " in source


@pytest.mark.parametrize("name", RECIPES)
def test_settings_can_be_saved_and_read_back(name):
    settings = RECIPES[name].settings
    assert type(settings)(**json.loads(json.dumps(dataclasses.asdict(settings)))) == settings


@pytest.mark.parametrize("name", RECIPES)
def test_a_loss_drives_people_apart(name):
    """Descent on the embeddings, and on the loss's own weights: same-person pairs become the more similar ones."""
    loss = objective(name)
    rows = embeddings().requires_grad_()
    trained = [rows, *parameters_of(loss)]
    optimizer = torch.optim.Adam(trained, lr=0.05)
    first = None
    for _ in range(150):
        outcome = loss(rows, LABELS)
        first = outcome.loss.item() if first is None else first
        optimizer.zero_grad()
        outcome.loss.backward()
        optimizer.step()
    unit = functional.normalize(rows.detach())
    similarity, same = (unit @ unit.T).fill_diagonal_(-torch.inf), LABELS[:, None] == LABELS
    own, other = (similarity.masked_fill(~chosen, -torch.inf).amax(dim=1) for chosen in (same, ~same))
    assert bool((own > other)[own > -torch.inf].all())
    assert outcome.loss.item() < first / 2
    others = outcome.different_similarities
    assert len(others) == 0 or outcome.same_similarities.mean() > others.mean()


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(
    "labels", [[], [0], [0, 1, 2, 3], [1, 1, 1, 1]], ids=["none", "one", "strangers", "one person"]
)
def test_batches_with_little_in_them(name, labels):
    """Whatever is missing, the loss is a number and can be differentiated."""
    rows = embeddings(len(labels)).requires_grad_()
    outcome = objective(name)(rows, torch.tensor(labels, dtype=torch.int64))
    outcome.loss.backward()
    assert math.isfinite(outcome.loss.item())
    assert 0 <= outcome.active.item() <= 1
    assert rows.grad is not None
    assert bool(torch.isfinite(rows.grad).all())


@pytest.mark.parametrize("name", RECIPES)
def test_identical_vectors(name):
    rows = torch.full((12, 8), 0.5, requires_grad=True)
    loss = objective(name)
    outcome = loss(rows, LABELS)
    outcome.loss.backward()
    assert rows.grad is not None
    assert bool(torch.isfinite(rows.grad).all())


@pytest.mark.parametrize("name", RECIPES)
def test_the_loss_at_collapse(name):
    """Vectors that are nearly the same; a classifier has no such value."""
    loss = objective(name)(0.5 + 0.01 * embeddings(), LABELS).loss.item()
    expected = loss_at_collapse(RECIPES[name].settings)
    assert (expected is None) == RECIPES[name].classifies
    assert expected is None or loss == pytest.approx(expected, rel=0.05)


def test_the_soft_margin_at_collapse():
    settings = BatchHard(margin=None, sharpness=3)
    assert settings(torch.ones(12, 8), LABELS).loss.item() == pytest.approx(loss_at_collapse(settings))


@pytest.mark.parametrize("name", RECIPES)
def test_vectors_that_are_no_numbers_are_seen(name):
    """One broken row is enough: the loss is NaN, so that the step can be skipped."""
    rows = embeddings()
    rows[3, 2] = math.nan
    assert math.isnan(objective(name)(rows, LABELS).loss.item())


@pytest.mark.parametrize(
    "name", [name for name in RECIPES if name != "deepface"]
)  # its dropout is another one each time
def test_autocast_changes_nothing(name):
    rows = embeddings()
    expected = objective(name)(rows, LABELS).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert objective(name)(rows, LABELS).loss.item() == pytest.approx(expected.item(), rel=1e-6)
    half = rows.bfloat16()
    assert objective(name)(half, LABELS).loss.dtype == torch.float32
    assert objective(name)(half, LABELS).loss.item() == pytest.approx(objective(name)(half.float(), LABELS).loss.item())


@pytest.mark.parametrize("name", [name for name in RECIPES if not RECIPES[name].classifies])
def test_the_order_of_a_batch_does_not_matter(name):
    order = torch.randperm(12, generator=torch.Generator().manual_seed(4))
    loss = objective(name)
    assert loss(embeddings()[order], LABELS[order]).loss.item() == pytest.approx(loss(embeddings(), LABELS).loss.item())


@pytest.mark.parametrize("name", RECIPES)
def test_only_the_loss_carries_a_gradient(name):
    outcome = objective(name)(embeddings().requires_grad_(), LABELS)
    assert outcome.loss.requires_grad
    shown = (outcome.active, outcome.same_similarities, outcome.different_similarities)
    assert not any(value.requires_grad for value in shown)


@pytest.mark.parametrize("name", RECIPES)
def test_labels_must_fit(name):
    with pytest.raises(ValueError, match="12 embeddings need as many labels"):
        objective(name)(embeddings(), LABELS[:4])


@pytest.mark.parametrize("name", RECIPES)
def test_every_tensor_is_on_the_device_of_the_embeddings(name):
    """On a device that is not the CPU nothing is mixed, and the loss is the same."""
    loss = objective(name)
    expected = objective(name)
    if isinstance(loss, nn.Module):
        loss, expected = loss.eval(), expected.eval()
    with torch.no_grad():
        if isinstance(loss, nn.Module):
            state = {key: Pretend(value) for key, value in loss.state_dict().items()}
            outcome = torch.func.functional_call(loss, state, (Pretend(embeddings()), Pretend(LABELS)))
        else:
            outcome = loss(Pretend(embeddings()), Pretend(LABELS))
        assert all(isinstance(value, Pretend) for value in vars(outcome).values())
        assert outcome.loss.values_on_cpu.item() == pytest.approx(expected(embeddings(), LABELS).loss.item())


def test_centers_and_heads_stay_on_their_device():
    with torch.no_grad():
        loss = objective("center").train()
        state = {key: Pretend(value.clone()) for key, value in loss.state_dict().items()}
        torch.func.functional_call(loss, state, (Pretend(embeddings()), Pretend(LABELS)))
        loss(embeddings(), LABELS)
        torch.testing.assert_close(state["centers"].values_on_cpu, loss.centers)
        for measure in ("chi-squared", "siamese"):
            head = VerificationHead(measure, 8)
            state = {key: Pretend(value) for key, value in head.state_dict().items()}
            scores = torch.func.functional_call(head, state, (Pretend(embeddings()), Pretend(embeddings().flip(0))))
            torch.testing.assert_close(scores.values_on_cpu, head(embeddings(), embeddings().flip(0)))


def test_the_pretended_device_finds_a_misplaced_tensor():
    with pytest.raises(AssertionError, match=r"a tensor of shape \(3,\) lies on the CPU"):
        Pretend(torch.ones(3)) + torch.arange(3)
    assert Pretend(torch.ones(3)).device.type == "cuda"
