"""The helpers of the losses."""

import math

import pytest
import torch

from trainer.losses.outcome import averaged, distances, full_precision, paired_cosines


def test_autocast_is_off_inside():
    embeddings = torch.ones(2, 3, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16), full_precision(embeddings) as rows:
        assert rows.dtype == torch.float32
        assert (rows @ rows.T).dtype == torch.float32
    with full_precision(embeddings.double()) as rows:
        assert rows.dtype == torch.float64


def test_distances_have_a_gradient_at_zero():
    first = torch.tensor([[3.0, 0.0], [1.0, 1.0]], requires_grad=True)
    found = distances(first, torch.tensor([[0.0, 4.0], [1.0, 1.0]]))
    assert found.tolist() == pytest.approx([5.0, 0.0], abs=1e-6)
    found.sum().backward()
    torch.testing.assert_close(first.grad, torch.tensor([[0.6, -0.8], [0.0, 0.0]]))


def test_average_over_all_or_over_the_active():
    losses, rows = torch.tensor([0.0, 1.0, 3.0, 0.0]), torch.ones(4, 2)
    assert [float(x) for x in averaged(losses, "all", rows)] == [1.0, 0.5]
    assert [float(x) for x in averaged(losses, "active", rows)] == [2.0, 0.5]
    assert [float(x) for x in averaged(losses * 0, "active", rows)] == [0.0, 0.0]


def test_without_triplets_the_loss_is_zero_or_says_that_the_batch_is_broken():
    rows = torch.ones(4, 2, requires_grad=True)
    loss, share = averaged(torch.zeros(0), "all", rows)
    loss.backward()
    assert (loss.item(), share.item(), share.requires_grad) == (0, 0, False)
    assert math.isnan(averaged(torch.zeros(0), "all", rows * math.nan)[0].item())


def test_paired_cosines():
    rows = torch.tensor([[2.0, 0.0], [3.0, 3.0], [0.0, 5.0]], requires_grad=True)
    cosines = paired_cosines(rows, torch.tensor([[0, 0], [1, 2]]))
    assert cosines.tolist() == pytest.approx([0.5**0.5, 0.0])
    assert not cosines.requires_grad
