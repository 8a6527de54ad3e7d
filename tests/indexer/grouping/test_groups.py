"""Groups keep their numbers from one clustering to the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.grouping.groups import Groups, GroupsError, keep_numbers, read_groups, write_groups


def test_first_numbers_go_by_size() -> None:
    numbers = keep_numbers(np.array([1, 0, 0, 0, 1, -1]), np.zeros(6, np.int64), next_number=1)
    assert numbers.tolist() == [2, 1, 1, 1, 2, 0]


def test_a_group_that_grew_keeps_its_number() -> None:
    labels, former = np.array([0, 0, 0, 1, 1]), np.array([7, 7, 0, 3, 3])
    assert keep_numbers(labels, former, next_number=8).tolist() == [7, 7, 7, 3, 3]


def test_of_two_halves_the_larger_keeps_the_number() -> None:
    labels, former = np.array([0, 0, 1, 1, 1]), np.array([4, 4, 4, 4, 4])
    assert keep_numbers(labels, former, next_number=9).tolist() == [9, 9, 4, 4, 4]


def test_merged_groups_take_the_number_of_the_larger() -> None:
    labels, former = np.array([0, 0, 0, 0, 0]), np.array([4, 4, 4, 6, 6])
    assert keep_numbers(labels, former, next_number=9).tolist() == [4] * 5


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_numbering_changes_no_group(faces: list[tuple[int, int]]) -> None:
    labels = np.array([label for label, _ in faces], np.int64)
    former = np.array([number for _, number in faces], np.int64)
    numbers = keep_numbers(labels, former, next_number=5)
    assert ((numbers == 0) == (labels < 0)).all()
    for i in range(len(labels)):
        for j in range(i):
            if labels[i] >= 0 and labels[j] >= 0:
                assert (numbers[i] == numbers[j]) == (labels[i] == labels[j])


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=30))
def test_the_same_clustering_again_changes_no_number(faces: list[int]) -> None:
    labels = np.array(faces, np.int64)
    once = keep_numbers(labels, np.zeros(len(labels), np.int64), next_number=1)
    assert keep_numbers(labels, once, next_number=100).tolist() == once.tolist()


def test_round_trip_and_lookup(tmp_path: Path) -> None:
    path = tmp_path / "groups.parquet"
    path.write_bytes(write_groups(Groups(np.array([30, 10, 20]), np.array([1, 2, 0]))))
    groups = read_groups(path)
    assert groups.of(np.array([10, 20, 30, 40, 5])).tolist() == [2, 0, 1, 0, 0]
    assert read_groups(tmp_path / "none").of(np.array([1, 2])).tolist() == [0, 0]


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "groups.parquet"
    path.write_bytes(write_groups(Groups(np.arange(5), np.arange(5)))[:-9])
    with pytest.raises(GroupsError, match="delete it and run `visavis cluster` again"):
        read_groups(path)
