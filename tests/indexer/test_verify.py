"""`verify` finds what is wrong with an album, and nothing in one that is whole."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

import indexer.snapshot
from embedder.catalogue import read_catalogue
from embedder.compaction import plan_compaction
from embedder.rows import gone_row, no_faces, removed_row
from embedder.shards import write_shard
from indexer.archive import read_archive
from indexer.grouping.groups import only_groups, write_groups
from indexer.people import PeopleStore
from indexer.removal import compact_album
from indexer.search.album_index import refresh_album_index
from indexer.verify import problems


@pytest.fixture
def album(make_album):
    album = make_album({"a.png": [[1, 0], [0, 1]], "b.png": [[1, 1]]})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann Lee", add_to_existing=False)
    album.index.mkdir()
    (album.index / "groups.parquet").write_bytes(write_groups(only_groups(archive.faces.face_ids, np.array([0, 1, 1]))))
    return album


def test_a_whole_album_has_no_problem(album) -> None:
    assert list(problems(album)) == []


@pytest.mark.parametrize(
    "name",
    [
        "shards/000001/photos.parquet",
        "shards/000001/faces.parquet",
        "shards/000001/manifest.json",
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
    shutil.rmtree(album.shards / "000001")
    found = list(problems(album))
    assert any("1 faces were named or ignored and are not in the album" in problem for problem in found)
    assert any("faces have a group and are not in the album" in problem for problem in found)


def test_what_a_killed_run_left_is_told(album) -> None:
    (album.shards / ".tmp-1-000002").mkdir()
    assert [p for p in problems(album) if "left by a killed run" in p]


def test_what_was_said_of_photos_that_were_taken_out_is_no_fault(album) -> None:
    """Removed, gone or changed, before and after compaction; a face that is missing otherwise still is one."""
    catalogue = read_catalogue(album.shards)
    row = next(row for row in catalogue.photos.values() if row.path.endswith("a.png"))  # Ann Lee is in it
    changed = dataclasses.replace(row, photo_id="c" * 32, n_faces=0)
    for taken_out in (removed_row, gone_row, lambda *_: changed):
        write_shard(album.shards, [taken_out(row.photo_id, row.path, 1, 2)], no_faces(128), album.fingerprint)
        assert list(problems(album)) == []
    compact_album(album, plan_compaction(album.shards))
    assert list(problems(album)) == []


def test_generations_are_shards_and_one_that_a_killed_compaction_left_is_told(album) -> None:
    shutil.copytree(album.shards / "000001", album.shards / "000001.1")
    left = [problem for problem in problems(album) if "left by a killed `visavis compact`" in problem]
    assert len(left) == 1 and left[0].startswith(f"{album.shards / '000001'} was left by")
    shutil.rmtree(album.shards / "000001")
    assert list(problems(album)) == []
    (album.shards / "000001.x").mkdir()
    assert list(problems(album)) == [f"{album.shards / '000001.x'} is no shard"]


def test_a_status_of_a_later_version_is_told(album) -> None:
    row = next(iter(read_catalogue(album.shards).photos.values()))
    write_shard(album.shards, [dataclasses.replace(row, status="hidden")], no_faces(128), album.fingerprint)
    assert any("a status that this version does not know: hidden" in problem for problem in problems(album))


@pytest.mark.usefixtures("cells_from_16_faces")
def test_a_damaged_index_is_told(make_album) -> None:
    album = make_album({f"{n}.png": [np.eye(32)[n]] for n in range(32)})
    assert refresh_album_index(read_archive(album)) and list(problems(album)) == []
    path = next(album.index.glob("cells-*"))
    path.write_bytes(path.read_bytes()[:-1])
    assert list(problems(album)) == [f"{path} is not what was written: `visavis index` builds it anew"]


def test_a_damaged_snapshot_is_told(album, monkeypatch) -> None:
    monkeypatch.setattr(indexer.snapshot, "MIN_SHARDS", 1)
    assert indexer.snapshot.refresh_snapshot(album) and list(problems(album)) == []
    path = next(album.index.glob("snapshot-*/embeddings"))
    path.write_bytes(path.read_bytes()[:-2] + b"xx")
    assert any(str(path) in problem for problem in problems(album))
