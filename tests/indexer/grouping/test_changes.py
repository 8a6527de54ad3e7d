"""What became of the groups between two clusterings."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from indexer.grouping.changes import Changes, changes
from indexer.grouping.groups import keep_numbers

NOTHING = Changes((), {}, {}, {}, {}, (), ())


def _changes(former: list[int], now: list[int], known: list[int] | None = None) -> Changes:
    named = np.zeros(len(now), bool) if known is None else np.array(known, bool)
    return changes(np.array(former, np.int64), np.array(now, np.int64), named)


def test_the_same_groups_are_no_news() -> None:
    assert _changes([1, 1, 2, 2, 0], [1, 1, 2, 2, 0]) == NOTHING
    assert _changes([], []) == NOTHING


def test_a_group_of_faces_that_were_alone_is_new() -> None:
    assert _changes([1, 1, 0, 0], [1, 1, 2, 2]) == Changes((2,), {}, {}, {}, {}, (), ())


def test_a_group_grows_and_shrinks_by_faces_that_were_or_are_alone() -> None:
    assert _changes([1, 1, 0], [1, 1, 1]) == Changes((), {1: 1}, {}, {}, {}, (), ())
    assert _changes([1, 1, 1], [1, 1, 0]) == Changes((), {}, {1: 1}, {}, {}, (), ())


def test_merged_groups_are_told_with_the_one_they_are_in() -> None:
    assert _changes([1, 1, 1, 2, 2, 3, 3], [1, 1, 1, 1, 1, 1, 1]) == Changes((), {}, {}, {1: (2, 3)}, {}, (), ())


def test_a_split_group_is_told_with_its_parts() -> None:
    assert _changes([1, 1, 1, 1, 1], [1, 1, 1, 4, 4]) == Changes((), {}, {}, {}, {1: (1, 4)}, (), ())


def test_one_face_that_changed_its_group_is_no_split() -> None:
    found = _changes([1, 1, 1, 2, 2], [1, 1, 2, 2, 2])
    assert found.split == {} and found.merged == {} and found.new == ()


def test_a_group_of_faces_that_have_a_name_now_is_gone_for_that() -> None:
    assert _changes([1, 1, 1, 2, 2], [0, 0, 0, 2, 2], [1, 1, 0, 0, 0]) == Changes((), {}, {}, {}, {}, (1,), ())


def test_a_group_of_faces_that_are_alone_now_is_dissolved() -> None:
    assert _changes([1, 1, 2, 2], [0, 0, 2, 2]) == Changes((), {}, {}, {}, {}, (), (1,))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 4), st.booleans()), max_size=40))
def test_every_group_is_accounted_for(faces: list[tuple[int, int, bool]]) -> None:
    """Of any two groupings: who came is new or has a former group's number, who went is named, merged or dissolved."""
    former = np.array([f for f, _, _ in faces], np.int64)
    now = keep_numbers(np.array([n for _, n, _ in faces], np.int64), former, next_number=9)
    found = changes(former, now, np.array([k for _, _, k in faces], bool))
    before, after = set(former[former > 0].tolist()), set(now[now > 0].tolist())
    heirs = set(found.merged) | {part for parts in found.split.values() for part in parts}
    for number in after - before:
        assert number in found.new or number in heirs or (former[now == number] > 0).any()
        assert (number in found.new) == (not former[now == number].any())
    merged = {part for parts in found.merged.values() for part in parts}
    for number in before - after:
        assert (number in found.named) + (number in found.dissolved) + (number in merged) == 1
    assert set(found.grown) <= after and set(found.shrunk) <= before


def test_a_grouping_that_is_made_again_changes_nothing() -> None:
    former = np.random.default_rng(0).integers(0, 9, 200)
    assert changes(former, former, np.zeros(200, bool)) == NOTHING
