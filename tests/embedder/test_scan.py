"""Which files count as photos, in which order, and what is said of those that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from embedder.scan import PHOTO_SUFFIXES, PhotoFile, UnusableFile, can_be_read, read_photo, scan, why_unread


def touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(folder: Path, roots: Sequence[Path] = ()) -> list[str]:
    """What is found below ``roots`` (else ``folder``), relative to ``folder``."""
    return [str(file.path.relative_to(folder)) for file in scan(roots or [folder])]


def problems(folder: Path) -> dict[str, str | None]:
    return {file.path.name: file.problem for file in scan([folder])}


def test_a_photo_comes_with_size_and_time(tmp_path: Path):
    path = touch(tmp_path / "a.jpg", b"12345")
    os.utime(path, ns=(7, 1_600_000_000_123_456_789))
    assert list(scan([tmp_path])) == [PhotoFile(path, 5, 1_600_000_000_123_456_789, None)]


def test_names_decide_the_order(tmp_path: Path):
    for name in ("b.jpg", "a/z.jpg", "a.jpg", "B.jpg", "c/a/x.jpg", "c/a.jpg", "10.jpg", "9.jpg"):
        touch(tmp_path / name)
    expected = ["10.jpg", "9.jpg", "B.jpg", "a/z.jpg", "a.jpg", "b.jpg", "c/a/x.jpg", "c/a.jpg"]
    assert names(tmp_path) == expected
    assert names(tmp_path) == expected


def test_roots_keep_their_order(tmp_path: Path):
    for name in ("a/1.jpg", "b/2.jpg", "c.jpg"):
        touch(tmp_path / name)
    roots = [tmp_path / "b", tmp_path / "c.jpg", tmp_path / "a"]
    assert names(tmp_path, roots) == ["b/2.jpg", "c.jpg", "a/1.jpg"]


def test_only_photos_are_found_whatever_the_case_of_their_suffix(tmp_path: Path):
    photos = [f"photo{suffix}" for suffix in PHOTO_SUFFIXES] + ["UPPER.JPG", "Mixed.HeIc", "two.dots.png"]
    for name in [*photos, "letter.txt", "clip.mp4", "raw.xmp", "jpg", "none", "photo.jpg.bak"]:
        touch(tmp_path / name)
    assert sorted(names(tmp_path)) == sorted(photos)
    assert {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif"} <= PHOTO_SUFFIXES


def test_hidden_files_and_folders_are_left_alone(tmp_path: Path):
    for name in (".hidden.jpg", "._resource.jpg", ".thumbnails/a.jpg", "seen/.git/b.jpg", "seen/c.jpg"):
        touch(tmp_path / name)
    assert names(tmp_path) == ["seen/c.jpg"]


def test_a_file_named_itself_is_taken_whatever_it_is_called(tmp_path: Path):
    """Its content decides later; and who names a hidden folder means it."""
    for name in ("letter.txt", ".hidden.jpg", ".folder/a.jpg"):
        touch(tmp_path / name)
    roots = [tmp_path / "letter.txt", tmp_path / ".hidden.jpg", tmp_path / ".folder"]
    assert names(tmp_path, roots) == ["letter.txt", ".hidden.jpg", ".folder/a.jpg"]


@pytest.mark.parametrize("way", ["a", "./a", "a/c/..", "link", "a/b.jpg", "link/b.jpg", "a/c/../b.jpg"])
def test_a_photo_has_one_path_whatever_way_the_user_came(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    touch(tmp_path / "a/b.jpg")
    (tmp_path / "a/c").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    assert [file.path for file in scan([Path(way)])] == [tmp_path / "a" / "b.jpg"]
    assert [file.path for file in scan([tmp_path / way])] == [tmp_path / "a" / "b.jpg"]


def test_an_empty_folder_holds_nothing(tmp_path: Path):
    assert list(scan([tmp_path])) == []
    assert list(scan([])) == []


def test_a_missing_root_is_told_before_any_work(tmp_path: Path):
    touch(tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError, match="nowhere is not there"):
        next(scan([tmp_path, tmp_path / "nowhere"]))


@pytest.mark.parametrize(
    "roots",
    [("folder", "folder"), ("folder", "folder/a.jpg"), ("folder/a.jpg", "folder"), ("folder/a.jpg", "folder/a.jpg")],
)
def test_nothing_comes_twice(roots: tuple[str, str], tmp_path: Path):
    touch(tmp_path / "folder" / "a.jpg")
    assert names(tmp_path, [tmp_path / root for root in roots]) == ["folder/a.jpg"]


def test_a_folder_within_another_root_is_entered_once(tmp_path: Path):
    for name in ("a/1.jpg", "a/b/2.jpg"):
        touch(tmp_path / name)
    assert names(tmp_path, [tmp_path / "a/b", tmp_path / "a"]) == ["a/b/2.jpg", "a/1.jpg"]


def test_links_to_folders_are_followed_once(tmp_path: Path):
    """Also where they lead back up, or to each other."""
    touch(tmp_path / "a/1.jpg")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to(tmp_path / "a")
    (tmp_path / "z").symlink_to(tmp_path / "a")
    touch(tmp_path / "elsewhere/2.jpg")
    (tmp_path / "a/other").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path, [tmp_path / "a"]) == ["a/1.jpg", "a/other/2.jpg"]


def test_a_link_that_leads_to_itself_is_told(tmp_path: Path):
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (file,) = scan([tmp_path])
    assert (file.path.name, file.problem) == ("loop.jpg", "cannot be read: Too many levels of symbolic links")
    assert list(scan([tmp_path / "loop.jpg"])) == [file]


def test_a_link_to_a_file_keeps_its_own_name(tmp_path: Path):
    touch(tmp_path / "originals/img.jpg", b"12345")
    (tmp_path / "album").mkdir()
    (tmp_path / "album/ann.jpg").symlink_to(tmp_path / "originals/img.jpg")
    for root in ("album", "album/ann.jpg"):
        (file,) = scan([tmp_path / root])
        assert (file.path, file.size, file.problem) == (tmp_path / "album" / "ann.jpg", 5, None)


def test_a_link_to_nothing_is_told(tmp_path: Path):
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert problems(tmp_path) == {"gone.jpg": "cannot be read: No such file or directory"}
    assert [file.problem for file in scan([tmp_path / "gone.jpg"])] == ["cannot be read: No such file or directory"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system: left out that none is opened")
def test_a_fifo_is_told_and_not_opened(tmp_path: Path):
    """Opening it would wait for ever."""
    os.mkfifo(tmp_path / "pipe.jpg")
    assert problems(tmp_path) == {"pipe.jpg": "not a regular file"}


def test_a_folder_that_is_called_like_a_photo_is_a_folder(tmp_path: Path):
    touch(tmp_path / "folder.jpg/a.jpg")
    assert names(tmp_path) == ["folder.jpg/a.jpg"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything: left out a folder that is locked"
)
def test_a_locked_folder_is_told_and_the_rest_goes_on(tmp_path: Path):
    touch(tmp_path / "locked/a.jpg")
    touch(tmp_path / "open/b.jpg")
    (tmp_path / "locked").chmod(0)
    try:
        assert problems(tmp_path) == {"locked": "folder cannot be read: Permission denied", "b.jpg": None}
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_a_folder_that_fails_while_it_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As a locked one does, or one on a drive that was pulled out."""
    touch(tmp_path / "broken/a.jpg")
    touch(tmp_path / "whole/b.jpg")
    really = os.scandir

    def fail(path: Path) -> object:
        if Path(path).name == "broken":
            raise OSError(5, "Input/output error")
        return really(path)

    monkeypatch.setattr(os, "scandir", fail)
    assert problems(tmp_path) == {"broken": "folder cannot be read: Input/output error", "b.jpg": None}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names: left out names that are not UTF-8")
def test_names_that_are_not_utf8_are_found(tmp_path: Path):
    strange = os.fsdecode(b"caf\xe9.jpg")
    try:
        touch(tmp_path / strange)
    except OSError:
        pytest.skip("this file system takes no such names: left out names that are not UTF-8")
    touch(tmp_path / "größe\n.jpg")
    assert [os.fsencode(file.path.name) for file in scan([tmp_path])] == [b"caf\xe9.jpg", "größe\n.jpg".encode()]


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (b"\xff\xd8\xff\xe0" + bytes(20), True),
        (b"\x89PNG\r\n\x1a\n", True),
        (b"\0\0\0\x18ftypheic", True),
        (b"\0\0\0\x18ftypavif", True),
        (b"RIFF\0\0\0\0WEBP", True),
        (b"RIFF\0\0\0\0WAVE", False),
        (b"\0\0\0\x18ftypmp42", False),
        (b"#!/bin/sh\n", False),
        (b"", False),
    ],
)
def test_a_file_without_a_suffix_counts_if_it_begins_like_a_photo(start: bytes, found: bool, tmp_path: Path):
    touch(tmp_path / "IMG_0001", start)
    touch(tmp_path / "IMG_0002.dat", start)
    assert names(tmp_path) == (["IMG_0001"] if found else [])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system: left out that none is opened")
def test_a_fifo_without_a_suffix_is_left_alone(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert names(tmp_path) == []


def test_bins_and_thumbnails_of_other_systems_are_left_alone(tmp_path: Path):
    for name in ("@eaDir/a.jpg", "$RECYCLE.BIN/b.jpg", "#recycle/c.jpg", "__MACOSX/d.jpg", "seen/e.jpg"):
        touch(tmp_path / name)
    assert names(tmp_path) == ["seen/e.jpg"]
    assert names(tmp_path, [tmp_path / "@eaDir"]) == ["@eaDir/a.jpg"]


# ---------------------------------------------------------------- reading


def test_a_photo_is_read_whole(tmp_path: Path):
    path = touch(tmp_path / "a.jpg", b"12345")
    assert read_photo(path, 5) == b"12345" and can_be_read(path)
    with pytest.raises(UnusableFile, match="GB are more than the limit"):
        read_photo(path, 4)


def test_a_huge_file_is_not_read(tmp_path: Path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(3 << 30)  # it has no blocks on the disk
    with pytest.raises(UnusableFile) as caught:
        read_photo(tmp_path / "a.jpg")
    assert why_unread(caught.value) == "3.2 GB are more than the limit of 2.1 GB"
    assert not can_be_read(tmp_path / "a.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system: left out that none is waited for")
def test_a_pipe_that_took_a_photos_place_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(UnusableFile, match="not a regular file"):
        read_photo(tmp_path / "a.jpg")
    assert not can_be_read(tmp_path / "a.jpg")


def test_a_file_that_vanished_says_so(tmp_path: Path):
    with pytest.raises(FileNotFoundError) as caught:
        read_photo(tmp_path / "a.jpg")
    assert why_unread(caught.value) == "cannot be read: No such file or directory"
    assert not can_be_read(tmp_path / "a.jpg")
