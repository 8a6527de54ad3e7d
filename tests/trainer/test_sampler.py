"""The sampler deals people and crops as it says, and deals the same again."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.sampler import PeopleSampler, Position

counts = st.lists(st.integers(1, 9), min_size=4, max_size=15)


def labels_with(crop_counts):
    """Labels with gaps, in no order, for people with so many crops each."""
    labels = np.repeat(np.arange(len(crop_counts)) * 3, crop_counts)
    return np.random.default_rng(1).permutation(labels)


@given(crop_counts=counts, people=st.integers(2, 4), crops=st.integers(1, 4), epoch=st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_an_epoch_shows_every_person(crop_counts, people, crops, epoch):
    labels = labels_with(crop_counts)
    sampler = PeopleSampler(labels, people=people, crops=crops)
    seen = Counter()
    for at, rows in sampler.batches(Position(epoch)):
        assert len(rows) == people * crops
        in_batch = Counter(labels[rows].tolist())
        assert set(in_batch.values()) == {crops}
        assert len(in_batch) == people
        for row, times in Counter(rows.tolist()).items():
            available = int((labels == labels[row]).sum())
            assert times <= -(-crops // available)  # once, or as seldom as can be
        seen.update(in_batch.keys())
        assert at.epoch == epoch
    assert set(seen) == set(labels.tolist())
    assert sum(times - 1 for times in seen.values()) < people  # only the last batch repeats anybody


def test_every_crop_comes_before_any_comes_again():
    """A person with 12 crops, 4 a batch: three epochs show each crop once."""
    sampler = PeopleSampler(labels_with([12, 12]), people=2, crops=4)
    rows = np.concatenate([sampler.batch(Position(epoch)) for epoch in range(3)])
    assert sorted(rows.tolist()) == list(range(24))
    again = np.concatenate([sampler.batch(Position(epoch)) for epoch in range(3, 6)])
    assert sorted(again.tolist()) == list(range(24))
    assert rows.tolist() != again.tolist()


def test_the_leftover_is_another_one_each_round():
    """5 crops, 4 a batch: one is left out in each epoch, but never for long."""
    sampler = PeopleSampler(labels_with([5, 5]), people=2, crops=4)
    seen = Counter(row for epoch in range(40) for row in sampler.batch(Position(epoch)).tolist())
    assert set(seen) == set(range(10))
    assert min(seen.values()) > 20


def test_a_batch_can_be_drawn_again():
    labels = labels_with([3, 5, 2, 8, 1, 4])
    first, again, other = (PeopleSampler(labels, people=2, crops=3, seed=seed) for seed in (1, 1, 2))
    run = [rows.tolist() for epoch in range(3) for _, rows in first.batches(Position(epoch))]
    at, resumed = Position(), []
    while at.epoch < 3:
        resumed.append(again.batch(at).tolist())
        at = again.after(at)
    assert run == resumed
    assert run != [rows.tolist() for epoch in range(3) for _, rows in other.batches(Position(epoch))]
    assert [rows.tolist() for _, rows in again.batches(Position(1, 2))] == run[5:6]


@pytest.mark.parametrize("parts", [2, 4])
def test_processes_join_to_the_batch_of_one(parts):
    labels = labels_with([3, 5, 2, 8, 1, 4, 6])
    whole = PeopleSampler(labels, people=4, crops=3, seed=5)
    shares = [PeopleSampler(labels, people=4, crops=3, seed=5, part=i, parts=parts) for i in range(parts)]
    for at, rows in whole.batches(Position(2)):
        joined = np.concatenate([share.batch(at) for share in shares])
        assert joined.tolist() == rows.tolist()


def test_crops_can_be_left_out():
    labels = np.array([0, 0, 1, -1, 1, 2, -1, 2])
    sampler = PeopleSampler(labels, people=3, crops=2)
    assert sorted(sampler.batch(Position()).tolist()) == [0, 1, 2, 4, 5, 7]


def test_wrong_arguments():
    labels = np.array([0, 0, 1, 1, 2])
    with pytest.raises(ValueError, match="3 people, but a batch wants 8: take fewer people in a batch, or add people"):
        PeopleSampler(labels, people=8, crops=2)
    with pytest.raises(ValueError, match="3 people cannot be divided among them evenly"):
        PeopleSampler(labels, people=3, crops=2, parts=2)
    with pytest.raises(ValueError, match="at least 2 people and 1 crop of each, not 1 and 2"):
        PeopleSampler(labels, people=1, crops=2)
    with pytest.raises(ValueError, match="an epoch has 2 batches; there is no number 2"):
        PeopleSampler(labels, people=2, crops=2).batch(Position(0, 2))
    with pytest.raises(ValueError, match="one whole number for each crop"):
        PeopleSampler(np.array([0.5, 1.5]), people=2, crops=2)
