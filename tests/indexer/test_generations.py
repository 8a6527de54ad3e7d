"""Where the next generation of an album is made, and what a kill leaves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from embedder.model import choose_model
from embedder.rows import no_faces
from embedder.shards import write_shard
from indexer.album import Album, AlbumError, open_album
from indexer.generations import (
    begin_generation,
    drop_generations,
    end_making,
    make_current,
    names_wait,
    other_generations,
    read_making,
)

DLIB, SFACE = choose_model("dlib"), choose_model("sface")


@pytest.fixture
def album(make_album) -> Album:
    return make_album({"a.png": [[1, 0]]})


def whole(made: Album) -> Album:
    """Let a generation hold a shard, and be the album."""
    write_shard(made.shards, [], no_faces(128), made.fingerprint)
    make_current(made)
    end_making(made)
    return open_album(made.root)


def test_a_generation_is_made_beside_the_current_one(album: Album) -> None:
    made = begin_generation(album, DLIB, fresh=False)
    assert made.shards == album.root / "shards-2" and made.fingerprint == DLIB.fingerprint()
    assert open_album(album.root) == album, "until it is whole, the album is what it was"
    assert begin_generation(album, DLIB, fresh=False) == made, "the same command goes on where it stopped"
    assert read_making(album) is not None
    now = whole(made)
    assert now == made and now.model == "dlib" and read_making(now) is None


def test_the_way_back_is_the_former_generation(album: Album) -> None:
    now = whole(begin_generation(album, DLIB, fresh=False))
    assert other_generations(now) == [album.shards]
    back = begin_generation(now, SFACE, fresh=False)
    assert back == album
    assert whole(back) == album and other_generations(album) == [album.root / "shards-2"]


def test_what_was_begun_for_another_model_is_deleted(album: Album) -> None:
    other = dataclasses.replace(DLIB, views="none")
    first = begin_generation(album, other, fresh=False)
    write_shard(first.shards, [], no_faces(128), first.fingerprint)
    second = begin_generation(album, DLIB, fresh=False)
    assert list(second.shards.iterdir()) == []
    assert other_generations(album) == [second.shards]


def test_looking_again_never_takes_a_former_generation(album: Album) -> None:
    now = whole(begin_generation(album, DLIB, fresh=False))
    assert begin_generation(now, SFACE, fresh=True).generation == "shards-3"
    assert begin_generation(now, SFACE, fresh=False).generation == "shards"


def test_names_wait_until_they_were_carried(album: Album) -> None:
    made = begin_generation(album, DLIB, fresh=True)
    assert not names_wait(album), "the album has not gone over yet"
    make_current(made)
    assert names_wait(made) and read_making(made) is None
    drop_generations(made)
    assert names_wait(made), "deleting others is no reason to forget it"
    end_making(made)
    assert not names_wait(made)


def test_dropping_leaves_the_current_generation_and_its_network(album: Album, tmp_path: Path) -> None:
    begin_generation(album, DLIB, fresh=False)
    album.models.mkdir()
    (album.models / "unused.onnx").write_bytes(b"")
    (album.root / ".tmp-shards-9").mkdir()
    assert drop_generations(album) == [album.root / "shards-2"]
    left = {path.name for path in album.root.iterdir()}
    assert left >= {"album.json", "shards"} and not left & {"shards-2", "making.json", ".tmp-shards-9"}
    assert not any(album.models.iterdir()) and any(album.shards.iterdir())


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"generation": "../x", "fingerprint": "", "fresh": false}', '{"generation": "index", "fresh": 1}'],
)
def test_a_damaged_note_is_named(album: Album, content: str) -> None:
    (album.root / "making.json").write_text(content)
    with pytest.raises(AlbumError, match=r"making\.json is damaged"):
        read_making(album)


def test_an_album_that_names_another_folder_is_damaged(album: Album) -> None:
    path = album.root / "album.json"
    path.write_text(path.read_text().replace('"model"', '"shards": "../elsewhere", "model"'))
    with pytest.raises(AlbumError, match=r"album\.json is damaged"):
        open_album(album.root)
