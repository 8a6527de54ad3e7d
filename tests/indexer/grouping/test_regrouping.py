"""Groups change with what a human said, and back."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.album import write_whole
from indexer.archive import read_archive
from indexer.grouping.groups import FILE_NAME, only_groups, read_groups, write_groups
from indexer.grouping.regrouping import CHANGES_NAME, join_groups, part_group, put_back


@pytest.fixture
def archive(make_album):
    album = make_album({f"{n}.png": [[1, n]] for n in range(8)})
    archive = read_archive(album)
    album.index.mkdir()
    groups = only_groups(archive.faces.face_ids[::-1], np.array([0, 3, 3, 3, 2, 2, 1, 1])[::-1])
    write_whole(album.index / FILE_NAME, write_groups(groups))
    return archive


def _groups(archive) -> list[int]:
    return read_groups(archive.album.index / FILE_NAME).of(archive.faces.face_ids).tolist()


def test_groups_are_joined_and_put_back(archive) -> None:
    join_groups(archive, np.arange(1, 6), 3, action_id=7)
    assert _groups(archive) == [0, 3, 3, 3, 3, 3, 1, 1]
    assert put_back(archive.album, 7) and not put_back(archive.album, 7)
    assert _groups(archive) == [0, 3, 3, 3, 2, 2, 1, 1]


def test_the_parts_of_a_group_get_new_numbers_and_a_single_face_none(archive) -> None:
    assert part_group(archive, [np.array([1]), np.array([2, 3])], action_id=1) == [0, 3]
    assert _groups(archive) == [0, 0, 3, 3, 2, 2, 1, 1]
    assert part_group(archive, [np.array([4]), np.array([5])], action_id=2) == [0, 0]
    assert put_back(archive.album, 1)
    assert _groups(archive) == [0, 3, 3, 3, 0, 0, 1, 1]
    join_groups(archive, np.array([1, 2, 3, 6, 7]), 1, action_id=3)
    assert part_group(archive, [np.array([1, 2]), np.array([3, 6]), np.array([7])], action_id=4) == [1, 4, 0]


def test_a_number_is_not_given_twice(archive) -> None:
    assert part_group(archive, [np.array([4]), np.array([5])], action_id=1) == [0, 0]
    assert part_group(archive, [np.array([6, 7]), np.array([4, 5])], action_id=2) == [1, 4]
    assert put_back(archive.album, 2)
    assert part_group(archive, [np.array([6, 7]), np.array([1, 2])], action_id=3) == [1, 5]


def test_what_has_changed_since_stays_so(archive) -> None:
    join_groups(archive, np.arange(1, 6), 3, action_id=1)
    join_groups(archive, np.array([4, 6, 7]), 1, action_id=2)
    assert put_back(archive.album, 1)
    assert _groups(archive) == [0, 3, 3, 3, 1, 2, 1, 1]
    (archive.album.index / FILE_NAME).unlink()
    assert not put_back(archive.album, 2), "without groups there is nothing to put back"


def test_a_damaged_memory_is_as_good_as_none(archive) -> None:
    join_groups(archive, np.arange(1, 6), 3, action_id=1)
    (archive.album.index / CHANGES_NAME).write_bytes(b'{"1": [[')
    assert not put_back(archive.album, 1)
    assert _groups(archive) == [0, 3, 3, 3, 3, 3, 1, 1]
