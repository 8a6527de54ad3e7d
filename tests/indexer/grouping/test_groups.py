"""Groups keep their numbers from one clustering to the next."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.grouping.groups import (
    NOBODY,
    DamagedGroups,
    Groups,
    GroupsError,
    group_number,
    keep_numbers,
    only_groups,
    read_groups,
    read_links,
    remember,
    write_groups,
    write_links,
)


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


def _regrouped(labels: list[int], groups: Groups) -> Groups:
    numbers = keep_numbers(np.array(labels, np.int64), groups.groups, groups.next_number, groups.formerly)
    formerly = remember(groups.formerly, groups.groups, numbers)
    next_number = max(groups.next_number, int(numbers.max(initial=0)) + 1)
    return dataclasses.replace(groups, groups=numbers, formerly=formerly, next_number=next_number)


def _grouped(labels: list[int]) -> Groups:
    nobody = only_groups(np.arange(len(labels)), np.zeros(len(labels), np.int64))
    return _regrouped(labels, nobody)


@pytest.mark.parametrize("meanwhile", [[-1, -1, -1, 1, 1], [0, 0, 0, 0, 0], [0, 0, -1, 1, 1], [-1] * 5])
def test_a_number_comes_back_with_its_group(meanwhile: list[int]) -> None:
    """The group had a name for a while, or was dissolved, or was part of another one."""
    before = _grouped([0, 0, 0, 1, 1])
    for steps in ([meanwhile], [meanwhile, meanwhile], [meanwhile, [-1] * 5], [[-1] * 5, meanwhile]):
        groups = before
        for labels in steps:
            groups = _regrouped(labels, groups)
        assert _regrouped([0, 0, 0, 1, 1], groups).groups.tolist() == [1, 1, 1, 2, 2]


@given(st.data())
def test_a_finer_or_a_coarser_grouping_and_back_changes_no_number(chosen: st.DataObject) -> None:
    labels = chosen.draw(st.lists(st.integers(-1, 4), min_size=1, max_size=30))
    parts = chosen.draw(st.lists(st.integers(-1, 2), min_size=len(labels), max_size=len(labels)))
    finer = [-1 if min(label, part) < 0 else 3 * label + part for label, part in zip(labels, parts, strict=True)]
    joined = chosen.draw(st.lists(st.integers(0, 4), min_size=6, max_size=6))
    coarser = [joined[label] for label in labels]
    before = _grouped(labels)
    for other in (finer, coarser):
        there = _regrouped(other, before)
        assert _regrouped(labels, there).groups.tolist() == before.groups.tolist()


def test_a_number_does_not_come_back_while_somebody_has_it_or_for_a_few_of_its_faces() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    formerly = np.array([7, 7, 0, 7, 7])
    assert keep_numbers(labels, np.array([0, 0, 0, 7, 7]), 9, formerly).tolist() == [9, 9, 9, 7, 7]
    formerly = np.array([7, 0, 0, 0, 0, 7, 7])
    assert keep_numbers(np.array([0, 0, 0, 1, 1, -1, -1]), np.zeros(7, np.int64), 9, formerly)[0] == 9


@given(st.lists(st.lists(st.integers(-1, 3), min_size=8, max_size=8), min_size=1, max_size=6))
def test_no_two_groups_have_one_number_and_what_is_remembered_is_gone(steps: list[list[int]]) -> None:
    groups = _grouped([-1] * 8)
    for labels in steps:
        groups = _regrouped(labels, groups)
        for number in set(groups.groups.tolist()) - {0}:
            assert len({labels[face] for face in np.flatnonzero(groups.groups == number)}) == 1
        assert not set(groups.formerly.tolist()) & set(groups.groups.tolist()) - {0}
        assert (groups.formerly < groups.next_number).all()


def test_round_trip_and_lookup(tmp_path: Path) -> None:
    path = tmp_path / "groups.parquet"
    path.write_bytes(write_groups(only_groups(np.array([30, 10, 20]), np.array([1, 2, 0]))))
    groups = read_groups(path)
    assert groups.of(np.array([10, 20, 30, 40, 5])).tolist() == [2, 0, 1, 0, 0]
    assert read_groups(tmp_path / "none").of(np.array([1, 2])).tolist() == [0, 0]


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "groups.parquet"
    path.write_bytes(write_groups(only_groups(np.arange(5), np.arange(5)))[:-9])
    with pytest.raises(DamagedGroups, match="run `visavis cluster`, which makes it anew"):
        read_groups(path)


def test_all_that_a_clustering_leaves_comes_back(tmp_path: Path) -> None:
    ids, ones = np.array([30, 10, 20]), np.ones(3, np.float32)
    groups = Groups(
        ids,
        np.array([1, 0, 1]),
        np.array([-1, 7, -1]),
        ones * 0.5,
        ones,
        ones * 0.25,
        np.array([0, 4, 0]),
        9,
        0.5,
        float("nan"),
    )
    path = tmp_path / "groups.parquet"
    path.write_bytes(write_groups(groups))
    back = read_groups(path)
    for name in ("face_ids", "groups", "proposed", "sureness", "chance", "offset", "formerly"):
        assert getattr(back, name).tolist() == getattr(groups, name).tolist(), name
    assert (back.next_number, back.threshold, np.isnan(back.spread)) == (9, 0.5, True)
    assert back.column(back.proposed, np.array([10, 11]), NOBODY).tolist() == [7, NOBODY]


def test_groups_of_an_earlier_version_are_groups_without_proposals(tmp_path: Path) -> None:
    pq.write_table(pa.table({"face_id": [5, 6, 7], "group": [4, 4, 0]}), tmp_path / "groups.parquet")
    groups = read_groups(tmp_path / "groups.parquet")
    assert groups.of(np.array([5, 6, 7])).tolist() == [4, 4, 0]
    assert groups.next_number == 5 and (groups.proposed == NOBODY).all()


def test_groups_that_remember_no_number_are_read(tmp_path: Path) -> None:
    path = tmp_path / "groups.parquet"
    path.write_bytes(write_groups(only_groups(np.arange(3), np.array([4, 4, 0]))))
    table = pq.read_table(path)
    pq.write_table(table.drop_columns("formerly"), path)
    groups = read_groups(path)
    assert groups.of(np.arange(3)).tolist() == [4, 4, 0] and groups.formerly.tolist() == [0, 0, 0]


def test_a_file_without_one_of_the_columns_is_damaged(tmp_path: Path) -> None:
    table = pa.table({"face_id": [5]}).replace_schema_metadata({b"visavis": b"{}"})
    pq.write_table(table, tmp_path / "groups.parquet")
    with pytest.raises(GroupsError, match="which makes it anew"):
        read_groups(tmp_path / "groups.parquet")


def test_links_come_back_and_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "links.parquet"
    with pytest.raises(GroupsError, match="run `visavis cluster` first"):
        read_links(path)
    for links in (np.array([[1, 2], [3, 4]]), np.empty((0, 2), np.int64)):
        path.write_bytes(write_links(links))
        assert read_links(path).tolist() == links.tolist()
    path.write_bytes(write_links(np.array([[1, 2]]))[:-4])
    with pytest.raises(DamagedGroups, match="run `visavis cluster`, which makes it anew"):
        read_links(path)


@pytest.mark.parametrize(
    ("text", "message"), [("9", "no group 9"), ("0", "no group 0"), ("Bob", "called 'Bob'"), ("-3", "called '-3'")]
)
def test_a_group_that_is_not_there_is_named(text: str, message: str) -> None:
    with pytest.raises(GroupsError, match=message):
        group_number(text, np.array([0, 3, 3]))


def test_a_group_may_be_written_with_a_hash() -> None:
    assert group_number("3", np.array([3])) == group_number("#3", np.array([3])) == 3
