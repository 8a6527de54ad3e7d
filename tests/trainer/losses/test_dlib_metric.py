"""dlib's loss against dlib itself, compiled; oracles/dlib_loss.cpp makes the numbers."""

import json
from pathlib import Path

import pytest
import torch

from trainer.losses.dlib_metric import DlibMetric

DLIB = json.loads((Path(__file__).parents[1] / "oracles" / "dlib_loss.json").read_text())


def batch(name, dtype=torch.float32):
    case = DLIB[name]
    labels = torch.arange(case["people"]).repeat_interleave(case["crops"])
    return torch.tensor(case["embeddings"], dtype=dtype, requires_grad=True), labels


@pytest.mark.parametrize("name", DLIB)
def test_loss_and_gradient_are_those_of_dlib(name):
    """To 1e-5 in float32. dlib reports twice the loss whose gradient it computes."""
    embeddings, labels = batch(name)
    outcome = DlibMetric()(embeddings, labels)
    outcome.loss.backward()
    assert 2 * outcome.loss.item() == pytest.approx(DLIB[name]["loss"], abs=1e-5)
    torch.testing.assert_close(embeddings.grad, torch.tensor(DLIB[name]["gradient"]), atol=1e-5, rtol=0)


def test_the_cases_reach_all_that_dlib_does():
    """Among them: fewer strangers than partners, more, partners that are near enough, and two identical strangers."""
    shares = {}
    for name, case in DLIB.items():
        embeddings, labels = batch(name)
        shares[name] = DlibMetric()(embeddings, labels).active.item()
        assert case["loss"] > 0
    assert 0 < shares["nearly learned"] < 0.7
    twins, _ = batch("twins")
    assert torch.equal(twins[0], twins[-1])


@pytest.mark.parametrize("name", [name for name in DLIB if name != "twins"])
def test_gradient_is_that_of_the_loss(name):
    embeddings, labels = batch(name, torch.float64)
    assert torch.autograd.gradcheck(lambda rows: DlibMetric()(rows, labels).loss, (embeddings,))


def test_batches_that_dlib_refuses():
    """One person: the partners alone count. One crop each: there is no loss."""
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.1]])
    one_person = DlibMetric()(points, torch.zeros(3, dtype=torch.int64))
    assert one_person.loss.item() == pytest.approx(0.5 / 3 * (0.44 + 1.01**0.5 - 0.56), rel=1e-3)
    strangers = points.clone().requires_grad_()
    outcome = DlibMetric()(strangers, torch.arange(3))
    outcome.loss.backward()
    assert (outcome.loss.item(), outcome.active.item()) == (0, 0)
    assert strangers.grad is not None


def test_wrong_settings():
    with pytest.raises(ValueError, match=r"0\.7, must be between 0 and the threshold 0\.6"):
        DlibMetric(margin=0.7)
