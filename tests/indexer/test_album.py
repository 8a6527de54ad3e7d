"""The album's folder: made, found again, refused."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from embedder.detection import Detection
from indexer.album import (
    AlbumError,
    default_album,
    open_album,
    open_or_create,
    require_detection,
    write_whole,
)


def test_an_album_is_found_again_and_is_private(tmp_path: Path) -> None:
    made = open_or_create(tmp_path / "album", "sface", "f00d")
    assert open_album(tmp_path / "album") == made
    assert stat.S_IMODE((tmp_path / "album").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "album" / "album.json").stat().st_mode) == 0o600


def test_another_model_is_refused_and_both_are_named(tmp_path: Path) -> None:
    open_or_create(tmp_path, "sface", "f00d")
    with pytest.raises(AlbumError, match=r"sface \(f00d\), not of dlib \(beef\).*choose another --album"):
        open_or_create(tmp_path, "dlib", "beef")
    assert open_album(tmp_path).model == "sface"


def test_how_faces_are_looked_for_is_kept_in_the_least_format_that_can_say_it(tmp_path: Path) -> None:
    usual = open_or_create(tmp_path / "usual", "sface", "f00d")
    assert json.loads((tmp_path / "usual" / "album.json").read_text())["format"] == 1
    assert usual.detection == Detection()
    other = open_or_create(tmp_path / "other", "sface", "f00d", detection=Detection("yunet", "fast"))
    assert json.loads((tmp_path / "other" / "album.json").read_text())["format"] == 3
    assert open_album(tmp_path / "other") == other and other.detection == Detection("yunet", "fast")


def test_another_way_to_look_for_faces_is_refused_and_the_remedy_named(tmp_path: Path) -> None:
    album = open_or_create(tmp_path, "sface", "f00d", detection=Detection(level="fast"))
    require_detection(album, Detection(level="fast"))
    with pytest.raises(AlbumError, match=r"made with --detection fast, not --detection thorough: add --fresh"):
        require_detection(album, Detection(level="thorough"))


@pytest.mark.parametrize("record", ['{"level": "slow"}', '{"speed": 1}', '"fast"'])
def test_a_way_to_look_for_faces_that_is_not_known_is_damage(tmp_path: Path, record: str) -> None:
    open_or_create(tmp_path, "sface", "f00d", detection=Detection(level="fast"))
    about = json.loads((tmp_path / "album.json").read_text())
    (tmp_path / "album.json").write_text(json.dumps(about | {"detection": json.loads(record)}))
    with pytest.raises(AlbumError, match=r"album\.json is damaged"):
        open_album(tmp_path)


def test_a_missing_album_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(AlbumError, match="no album: make one with `visavis index"):
        open_album(tmp_path / "nowhere")


def test_a_folder_with_other_files_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(AlbumError, match="no album and is not empty"):
        open_or_create(tmp_path, "sface", "f00d")
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 1, "model": "sface"}'])
def test_a_damaged_album_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "album.json").write_text(content)
    with pytest.raises(AlbumError, match=r"album\.json is damaged"):
        open_album(tmp_path)


def test_a_newer_album_asks_for_an_update(tmp_path: Path) -> None:
    (tmp_path / "album.json").write_text('{"format": 99}')
    with pytest.raises(AlbumError, match="format 99, this version knows 3: update visavis"):
        open_album(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_default_album_is_the_users_choice_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VISAVIS_ALBUM", str(tmp_path / "chosen"))
    assert default_album() == tmp_path / "chosen"
    monkeypatch.delenv("VISAVIS_ALBUM")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_album() == tmp_path / "visavis" / "album"
