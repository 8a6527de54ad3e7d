"""The guards see what they are there for, and nothing in a run that is well."""

import math

import numpy as np
import pytest
import torch

from trainer.batch_statistics import BatchStatistics, summarise
from trainer.losses.batch_hard import BatchHard
from trainer.watch import BrokenSteps, judge_collapse

NO_QUANTILES = (0.0,) * 5


def history(spreads, losses):
    return [
        BatchStatistics(loss, 1.0, NO_QUANTILES, NO_QUANTILES, s, 1.0) for s, loss in zip(spreads, losses, strict=True)
    ]


def test_a_run_that_learns_is_healthy():
    run = history(np.linspace(0.7, 1.0, 100), np.linspace(0.4, 0.05, 100))
    assert all(judge_collapse(run[:n], loss_at_collapse=0.2).state == "healthy" for n in range(101))


def test_a_collapsed_run_is_told_with_figures_and_remedy():
    run = history([*np.linspace(0.8, 0.001, 40), *[0.001] * 20], [*np.linspace(0.5, 0.2, 40), *[0.201] * 20])
    verdict = judge_collapse(run, loss_at_collapse=0.2)
    assert verdict.state == "collapsed"
    assert "mean similarity of two faces is 0.999 over the last 20 steps" in verdict.explanation
    assert "the loss stays at 0.201, which is its value when all embeddings are the same" in verdict.explanation
    assert "learning rate" in verdict.remedy
    assert judge_collapse(run, loss_at_collapse=None).state == "collapsed"
    assert "stays at" not in judge_collapse(run, loss_at_collapse=None).explanation


def test_a_warning_comes_before():
    run = history(np.linspace(0.8, 0.05, 60), np.linspace(0.5, 0.22, 60))
    verdict = judge_collapse(run, loss_at_collapse=0.2)
    assert verdict.state == "collapsing"
    assert "its spread fell from 0.80 to" in verdict.explanation


def test_a_network_that_begins_with_little_spread_gets_out():
    """Embeddings of an untrained network may be nearly the same; what counts is that they part."""
    run = history(np.geomspace(0.001, 0.5, 100), [0.2] * 60 + [0.1] * 40)
    assert all(judge_collapse(run[:n], loss_at_collapse=0.2).state == "healthy" for n in range(101))
    stuck = history([0.001] * 30, [0.2] * 30)
    assert judge_collapse(stuck, loss_at_collapse=0.2).state == "collapsed"


def test_broken_steps_do_not_hide_a_collapse():
    run = history([0.001] * 30, [0.2, math.nan] * 15)
    assert judge_collapse(run, loss_at_collapse=0.2).state == "collapsed"
    assert judge_collapse(history([math.nan] * 30, [math.nan] * 30), loss_at_collapse=0.2).state == "healthy"


@pytest.mark.parametrize(("signal", "expected"), [(1.0, "healthy"), (0.0, "collapsed")])
def test_a_real_collapse(signal, expected):
    """Where the inputs say nothing about the labels, batch-hard ends in its trap; where they do, it does not."""
    torch.manual_seed(0)
    people = torch.randn(16, 8)
    loss, labels, run = BatchHard(), torch.arange(16).repeat_interleave(4), []
    network = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for _ in range(80):
        rows = network(signal * people[labels] + 0.2 * torch.randn(64, 8))
        outcome = loss(rows, labels)
        optimizer.zero_grad()
        outcome.loss.backward()
        optimizer.step()
        run.append(summarise(outcome, rows))
    assert judge_collapse(run, loss_at_collapse=0.2).state == expected


def test_broken_steps_are_counted():
    steps = BrokenSteps(limit=3)
    for finite in (False, False, True, False, False):
        steps = steps.after(finite=finite)
        assert not steps.must_stop
    steps = steps.after(finite=False)
    assert (steps.in_a_row, steps.total, steps.must_stop) == (3, 5, True)
    assert "3 steps in a row (5 in all)" in steps.explanation
