"""A flipped bit is found in every kind of file of an album, and `verify --repair` puts right what can be put right."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import indexer.kept_recogniser
import indexer.snapshot
from embedder.catalogue import read_catalogue
from embedder.rows import no_faces, removed_row
from embedder.shards import list_shards, write_shard
from indexer.album import Album
from indexer.archive import read_archive
from indexer.grouping.album_lists import album_lists
from indexer.people import PeopleStore
from indexer.seals import seal_path
from indexer.search import album_index
from indexer.search.album_index import Faces, describe_index, refresh_index

FLIPS = 8
"""In each file, at places that differ from file to file."""


@pytest.fixture
def album(make_album, run, monkeypatch) -> Album:
    """One that holds a file of every kind."""
    monkeypatch.setattr(indexer.snapshot, "MIN_SHARDS", 1)
    monkeypatch.setattr(indexer.kept_recogniser, "MIN_FACES", 1)
    monkeypatch.setattr(album_index, "describe_index", functools.partial(describe_index, exact_up_to=10))
    directions = np.random.default_rng(0).standard_normal((3, 8))
    chance = np.random.default_rng(1)
    album = make_album(
        {f"{n}.png": [(directions[n % 3] + 0.1 * chance.standard_normal(8)).tolist()] for n in range(30)}
    )
    album = make_album(
        {f"{n}.png": [(directions[n % 3] + 0.1 * chance.standard_normal(8)).tolist()] for n in range(30, 60)}
    )
    archive = read_archive(album)
    album_lists(album, archive.faces.face_ids, np.asarray(archive.embeddings))
    refresh_index(
        album.index,
        Faces(album.fingerprint, archive.faces.face_ids, archive.embeddings),
        None,
        floor=-2.0,
        exact_up_to=10,
    )
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0), archive.ref(3)], "Ann Lee", add_to_existing=False)
        store.different(archive.ref(4), archive.ref(5))
    indexer.snapshot.refresh_snapshot(album)
    for order in (("cluster",), ("split", "1", "--yes"), ("cluster",)):
        run(*order, "--album", album.root)
    return album


def files_of(album: Album) -> list[Path]:
    return sorted(path for path in album.root.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def test_the_album_of_these_tests_holds_every_kind_of_file(album, run):
    kinds = {path.name.partition("-")[0] for path in files_of(album)}
    assert kinds >= {
        "album.json", "album.json.sha256", "photos.parquet", "faces.parquet", "manifest.json", "people.sqlite",
        "people.sqlite.sha256", "base.json", "cells", "faces", "groups.parquet", "groups.parquet.sha256",
        "links.parquet", "neighbours.npz", "recogniser.npz", "embeddings", "photos.arrow", "contents.arrow",
    }  # fmt: skip
    assert run("verify", "--album", album.root).exit_code == 0


def test_every_flipped_bit_is_found(album, run):
    chance = np.random.default_rng(7)
    missed = []
    for path in files_of(album):
        whole = path.read_bytes()
        for place in chance.integers(0, 8 * len(whole), FLIPS).tolist():
            altered = bytearray(whole)
            altered[place // 8] ^= 1 << place % 8
            path.write_bytes(altered)
            result = run("verify", "--album", album.root)
            if result.exit_code != 1 or not isinstance(result.exception, SystemExit):
                missed.append((str(path.relative_to(album.root)), place, result.exception))
        path.write_bytes(whole)
    assert missed == []
    assert run("verify", "--album", album.root).exit_code == 0


@pytest.mark.parametrize("name", ["groups.parquet", "links.parquet", "neighbours.npz", "recogniser.npz", "base.json"])
def test_what_is_derived_is_removed_and_made_anew(name: str, album, run):
    flip(album.index / name)
    repaired = run("verify", "--repair", "--album", album.root)
    assert repaired.exit_code == 0, repaired.output
    assert "repaired: " in repaired.stdout and not (album.index / name).exists()
    assert run("cluster", "--album", album.root).exit_code == 0
    assert run("verify", "--album", album.root).exit_code == 0


def test_a_damaged_shard_is_set_aside_and_its_photos_are_new_again(album, run):
    shard = list_shards(album.shards)[0]
    photo = next(row for row in read_catalogue(album.shards).photos.values() if row.path.endswith("/1.png"))
    flip(shard / "faces.parquet")
    repaired = run("verify", "--repair", "--json", "--album", album.root)
    lines = [json.loads(line) for line in repaired.stdout.splitlines()]
    assert repaired.exit_code == 1, "a face of it had a name"
    assert any("run `visavis index` to embed its photos again" in line.get("repaired", "") for line in lines)
    assert next(line["problem"] for line in lines if "problem" in line).startswith("2 faces were named or ignored")
    assert not shard.exists() and (album.root / "damaged" / shard.name).is_dir()
    assert photo.path not in read_catalogue(album.shards).photos
    assert len(read_catalogue(album.shards).photos) == 30
    assert run("compact", "--album", album.root).exit_code == 0
    assert not (album.root / "damaged").exists(), "no embedding is left there, though its photo be removed later"


def test_what_was_removed_by_hand_stays_removed_when_its_shard_is_set_aside(album, run):
    rows = list(read_catalogue(album.shards).photos.values())[:2]
    words = [removed_row(row.photo_id, row.path, row.size, row.mtime_ns) for row in rows]
    shard = write_shard(album.shards, words, no_faces(128), album.fingerprint)
    flip(shard / "faces.parquet")
    run("verify", "--repair", "--album", album.root)
    assert not shard.exists()
    assert read_catalogue(album.shards).removed == {row.photo_id for row in rows}
    flip(list_shards(album.shards)[-1] / "photos.parquet")
    repaired = run("verify", "--repair", "--album", album.root)
    assert "photos removed by hand may come back" in repaired.stdout


def test_what_killed_commands_left_is_removed(album, run):
    left = [album.root / ".tmp-1-album.json", album.index / ".tmp-1-groups.parquet"]
    for path in left:
        path.write_bytes(b"half")
    (album.shards / ".tmp-1-000007").mkdir()
    shutil.copytree(album.shards / "000001", album.shards / "000001.1")
    (album.index / ".tmp-snapshot-1").mkdir()
    told = run("verify", "--album", album.root)
    assert told.exit_code == 1 and len(told.stdout.splitlines()) == 5
    repaired = run("verify", "--repair", "--album", album.root)
    assert repaired.exit_code == 0 and len(repaired.stdout.splitlines()) == 5, repaired.output
    assert not any(path.name.startswith(".tmp-") for path in album.root.rglob("*"))
    assert not (album.shards / "000001").exists() and (album.shards / "000001.1").exists()
    assert run("verify", "--repair", "--album", album.root).stdout == "", "nothing is left to do"


def test_what_was_said_is_never_touched(album, run):
    flip(album.people)
    before = album.people.read_bytes()
    assert run("verify", "--repair", "--album", album.root).exit_code == 1
    assert album.people.read_bytes() == before


def test_a_name_that_was_altered_is_found_though_sqlite_reads_it(album, run):
    content = album.people.read_bytes()
    album.people.write_bytes(content.replace(b"Ann Lee", b"Ann Leb"))
    result = run("verify", "--album", album.root)
    assert result.exit_code == 1 and "is not what was written: its SHA-256 is another" in result.stdout


def test_a_kill_between_a_seal_and_its_file_leaves_both_good(album, run):
    path = album.index / "groups.parquet"
    former = path.read_bytes()
    run("cluster", "--album", album.root)
    path.write_bytes(former)
    assert run("verify", "--album", album.root).exit_code == 0
    seal_path(path).unlink()
    assert run("verify", "--album", album.root).exit_code == 0, "albums of before have none"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
