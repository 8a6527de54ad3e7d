"""The guards see what they are there for, and nothing in a run that is well."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from trainer.batch_statistics import BatchStatistics, summarise
from trainer.losses.batch_hard import BatchHard
from trainer.mining import Neighbours, nearest_of_own_and_others
from trainer.watch import BrokenSteps, LabelSuspicions, judge_collapse

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


def batches_with_a_wrong_label(count):
    """Six people of ten crops each; crop 7 of person 0 shows person 3 in truth. Each batch holds 3 crops of each."""
    generator = torch.Generator().manual_seed(2)
    truth = torch.arange(6).repeat_interleave(10)
    labels = truth.clone()
    truth[7] = 3
    vectors = functional.normalize(torch.eye(6)[truth] + 0.15 * torch.randn(60, 6, generator=generator))
    for _ in range(count):
        crops = torch.cat([person * 10 + torch.randperm(10, generator=generator)[:3] for person in range(6)])
        yield crops, labels[crops], nearest_of_own_and_others(vectors[crops], labels[crops])


def test_a_wrong_label_is_found_and_nobody_else_is_accused():
    suspicions = LabelSuspicions()
    for crops, labels, neighbours in batches_with_a_wrong_label(60):
        suspicions.record(crops, labels, neighbours)
    (suspect,) = suspicions.suspects()
    assert (suspect.crop, suspect.label, suspect.looks_like) == (7, 0, 3)
    assert suspect.times == suspect.seen >= 4
    suspicions.forget()
    assert suspicions.suspects() == []


def test_once_is_nothing():
    suspicions = LabelSuspicions()
    crops, labels, neighbours = next(b for b in batches_with_a_wrong_label(60) if 7 in b[0])
    for _ in range(3):
        suspicions.record(crops, labels, neighbours)
    assert suspicions.suspects() == []
    assert 7 in [s.crop for s in suspicions.suspects(least=3)]


def test_a_crop_that_is_its_own_partner_is_not_judged():
    """The one crop of a person, repeated in the batch, is like itself; that says nothing about its label."""
    vectors = functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.1], [1.0, 0.2]]))
    labels = torch.tensor([0, 0, 1, 1])
    suspicions = LabelSuspicions()
    for _ in range(9):
        suspicions.record(torch.tensor([5, 5, 8, 9]), labels, nearest_of_own_and_others(vectors, labels))
    assert {s.crop for s in suspicions.suspects()}.isdisjoint({5})
    assert {s.crop for s in suspicions.suspects(share=0.5)} <= {8, 9}


def a_batch(looks_like):
    """Crop 3 of person 0 beside its partner, and a crop each of persons 1 to 3; it is nearest to ``looks_like``."""
    labels = torch.tensor([0, 0, 1, 2, 3])
    vectors = torch.eye(5)
    vectors[0] = 0.1 * vectors[1] + vectors[1 + looks_like]
    return torch.tensor([3, 4, 10, 20, 30]), labels, nearest_of_own_and_others(functional.normalize(vectors), labels)


def test_who_it_looks_like_is_whoever_it_was_more_than_half_the_time():
    suspicions = LabelSuspicions()
    for looks_like in (1, 2, 2, 2, 3, 2, 2, 2):
        suspicions.record(*a_batch(looks_like))
    (suspect,) = suspicions.suspects(share=0.6)
    assert (suspect.crop, suspect.label, suspect.looks_like, suspect.seen) == (3, 0, 2, 8)
    assert 5 <= suspect.times <= 6  # never more than it was


def test_counts_are_as_many_numbers_for_any_history():
    """Memory is that of the crops, however often and towards however many people they were wrong."""
    generator = torch.Generator().manual_seed(4)
    suspicions, sizes = LabelSuspicions(), []
    for _ in range(12):
        crops = torch.arange(200)
        similar = torch.rand(2, 200, generator=generator)
        others = torch.randint(200, (200,), generator=generator)
        neighbours = Neighbours(similar[0], crops.roll(1), similar[1], others)
        suspicions.record(crops, crops // 2, neighbours)
        sizes.append(suspicions.tensors()["counts"].numel())
    assert set(sizes) == {5 * 200}


def test_what_is_put_back_goes_on_as_before():
    batches = list(batches_with_a_wrong_label(40))
    whole, first, second = LabelSuspicions(), LabelSuspicions(), LabelSuspicions()
    for number, batch in enumerate(batches):
        whole.record(*batch)
        if number == 15:
            second.restore(first.tensors())
        (first if number < 15 else second).record(*batch)
    assert whole.suspects() == second.suspects() != []
    assert torch.equal(whole.tensors()["counts"], second.tensors()["counts"])
    assert first.suspects(least=99) == []
