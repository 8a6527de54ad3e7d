"""`verify` finds what is wrong with an album, and nothing in one that is whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from indexer.archive import current_index, read_archive
from indexer.grouping.groups import Groups, write_groups
from indexer.people import PeopleStore
from indexer.verify import problems


@pytest.fixture
def album(make_album):
    album = make_album({"a.png": [[1, 0], [0, 1]], "b.png": [[1, 1]]})
    archive = read_archive(album)
    current_index(archive)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann Lee", add_to_existing=False)
    (album.index / "groups.parquet").write_bytes(write_groups(Groups(archive.faces.face_ids, np.array([0, 1, 1]))))
    return album


def test_a_whole_album_has_no_problem(album) -> None:
    assert list(problems(album)) == []


@pytest.mark.parametrize(
    "name",
    [
        "shards/000001/photos.parquet",
        "shards/000001/faces.parquet",
        "shards/000001/manifest.json",
        "index/faces.faiss",
        "index/faces.json",
    ],
)
def test_a_file_cut_short_is_found(album, name: str) -> None:
    path: Path = album.root / name
    path.write_bytes(path.read_bytes()[:-3])
    assert any(path.name in problem or path.parent.name in problem for problem in problems(album))


@pytest.mark.parametrize("name", ["photos.parquet", "faces.parquet"])
def test_every_flipped_bit_of_a_shard_is_found(album, name: str) -> None:
    path: Path = album.shards / "000001" / name
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 25):
        altered = bytearray(whole)
        altered[place] ^= 1 << int(place) % 8
        path.write_bytes(altered)
        assert list(problems(album)) != []
    path.write_bytes(whole)
    assert list(problems(album)) == []


def test_a_damaged_people_file_is_found(album) -> None:
    content = bytearray(album.people.read_bytes())
    content[4096:4200] = b"\xff" * 104
    album.people.write_bytes(content)
    assert list(problems(album)) != []


def test_facts_about_faces_that_are_gone_are_told(album) -> None:
    import shutil

    shutil.rmtree(album.shards / "000001")
    found = list(problems(album))
    assert any("1 faces were named or ignored and are not in the album" in problem for problem in found)
    assert any("faces have a group and are not in the album" in problem for problem in found)


def test_what_a_killed_run_left_is_told(album) -> None:
    (album.shards / ".tmp-1-000002").mkdir()
    assert [p for p in problems(album) if "left by a killed run" in p]
