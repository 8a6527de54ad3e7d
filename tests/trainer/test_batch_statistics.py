"""Figures of a batch against their definitions."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from trainer.batch_statistics import QUANTILES, effective_rank, quantiles, spread, summarise
from trainer.losses.batch_hard import BatchHard


def test_spread_is_the_mean_over_pairs():
    rows = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    unit = functional.normalize(rows)
    pairs = [float(unit[i] @ unit[j]) for i in range(9) for j in range(9) if i != j]
    assert spread(rows) == pytest.approx(1 - sum(pairs) / len(pairs), abs=1e-6)
    assert spread(torch.ones(5, 3)) == pytest.approx(0, abs=1e-12)
    assert math.isnan(spread(rows[:1]))


def test_rank_counts_directions():
    assert effective_rank(torch.ones(7, 4)) == pytest.approx(1)
    assert effective_rank(torch.eye(4)) == pytest.approx(4)
    assert effective_rank(torch.eye(4)[[0, 0, 1, 1]] * 3) == pytest.approx(2)
    rows = torch.randn(10, 6, generator=torch.Generator().manual_seed(1))
    values = np.linalg.svd(functional.normalize(rows).double().numpy(), compute_uv=False)
    shares = values / values.sum()
    assert effective_rank(rows) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()))
    assert math.isnan(effective_rank(torch.zeros(0, 4)))
    assert math.isnan(effective_rank(torch.full((2, 2), math.nan)))


def test_quantiles_are_values_that_occur():
    values = torch.arange(101.0)[torch.randperm(101)]
    assert quantiles(values) == tuple(100 * q for q in QUANTILES)
    assert quantiles(values.bfloat16()[:1]) == (values[:1].bfloat16().item(),) * 5
    assert all(math.isnan(value) for value in quantiles(values[:0]))


def test_a_summary_of_a_batch():
    rows = torch.randn(12, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    outcome = BatchHard()(rows, torch.arange(4).repeat(3))
    found = summarise(outcome, rows)
    assert found.loss == pytest.approx(outcome.loss.item())
    assert found.active == pytest.approx(outcome.active.item())
    assert found.same_quantiles == quantiles(outcome.same_similarities)
    assert found.different_quantiles == quantiles(outcome.different_similarities)
    assert (found.spread, found.rank) == (spread(rows), effective_rank(rows))
