"""A snapshot says what the shards say, follows them, and is never believed when it is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import indexer.snapshot as snapshot
from embedder.tables import AlbumTables, read_tables
from indexer.album import Album
from indexer.snapshot import SnapshotDamaged, check_snapshots, read_album_tables, refresh_snapshot


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots of albums of two shards, and checksums of two embeddings."""
    monkeypatch.setattr(snapshot, "MIN_SHARDS", 2)
    monkeypatch.setattr(snapshot, "BLOCK_ROWS", 2)


@pytest.fixture
def album(make_album) -> Album:
    make_album({"a.png": [(1, 0), (0, 1)], "b.png": [(1, 1)]})
    return make_album({"c.png": [(1, 2)], "a.png": [(1, 0), (0, 1)]})


def folder(album: Album) -> Path:
    (found,) = [path for path in album.index.iterdir() if path.is_dir()]
    return found


def same(ours: AlbumTables, expected: AlbumTables) -> bool:
    assert ours.photos.combine_chunks().equals(expected.photos.combine_chunks())
    assert ours.contents.equals(expected.contents)
    for name in vars(expected.faces):
        np.testing.assert_array_equal(np.asarray(getattr(ours.faces, name)), np.asarray(getattr(expected.faces, name)))
    return True


def test_round_trip(album: Album):
    assert refresh_snapshot(album)
    assert same(read_album_tables(album), read_tables(album.shards))
    assert check_snapshots(album) == []
    assert not refresh_snapshot(album)


def test_new_shards_are_read_beside_it(album: Album, make_album):
    refresh_snapshot(album)
    first = folder(album)
    make_album({"d.png": [(2, 1)], "a.png": []})  # of a.png nothing is shown any more
    assert same(read_album_tables(album), read_tables(album.shards))
    make_album({"e.png": [(2, 1)]})
    assert refresh_snapshot(album)
    assert folder(album) != first
    assert same(read_album_tables(album), read_tables(album.shards))


def test_a_small_album_has_none(make_album):
    album = make_album({"a.png": [(1, 0)]})
    assert not refresh_snapshot(album)
    assert not album.index.exists()


def test_shards_that_were_replaced_are_read_anew(album: Album, make_album):
    refresh_snapshot(album)
    for shard in album.shards.iterdir():
        for file in shard.iterdir():
            file.unlink()
        shard.rmdir()
    assert len(read_album_tables(album).faces) == 0
    make_album({"z.png": [(3, 1)]})
    assert same(read_album_tables(album), read_tables(album.shards))


def test_no_bit_of_it_can_change_unseen(album: Album):
    """What is small is made up for from the shards; a changed embedding is an error that says what to do."""
    refresh_snapshot(album)
    expected = read_tables(album.shards)
    for path in sorted(folder(album).iterdir()):
        whole = path.read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 40)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            assert check_snapshots(album), f"{path.name}, byte {place}"
            if path.name == "embeddings":
                with pytest.raises(SnapshotDamaged, match=r"delete .*snapshot-"):
                    np.asarray(read_album_tables(album).faces.embeddings)
            else:
                assert same(read_album_tables(album), expected)
        path.write_bytes(whole[:-1])
        assert check_snapshots(album) and same(read_album_tables(album), expected)
        path.unlink()
        assert check_snapshots(album) and same(read_album_tables(album), expected)
        path.write_bytes(whole)
    assert check_snapshots(album) == []


def test_only_what_is_read_is_checked(album: Album):
    refresh_snapshot(album)
    path = folder(album) / "embeddings"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    embeddings = read_album_tables(album).faces.embeddings
    assert len(embeddings[:2]) == 2  # the first block is whole
    with pytest.raises(SnapshotDamaged):
        embeddings[len(embeddings) - 1]


def test_a_full_disk_leaves_the_former_one(album: Album, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot, "_sha256", full)
    with pytest.raises(OSError, match="No space"):
        refresh_snapshot(album)
    assert list(album.index.iterdir()) == []
    assert same(read_album_tables(album), read_tables(album.shards))


def test_an_album_without_a_face(tmp_path: Path, make_album):
    album = make_album({"a.png": []})
    make_album({"b.png": []})
    assert refresh_snapshot(album)
    assert same(read_album_tables(album), read_tables(album.shards))
