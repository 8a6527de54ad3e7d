"""What became of a file is told from what the album knew of its path and its content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedder.catalogue import Catalogue, read_catalogue
from embedder.changes import Change, Changes, unseen
from embedder.rows import PhotoRow, gone_row, no_faces, removed_row
from embedder.shards import write_shard

A, B, C = "a" * 32, "b" * 32, "c" * 32


class Archive:
    """Files, and an album that saw them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shards = folder / "photos", folder / "shards"
        self.folder.mkdir()

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def saw(self, name: str, photo_id: str | None, status: str = "ok", *, there: bool = True) -> PhotoRow:
        row = PhotoRow(photo_id, self.path(name), 1, 2, 3, 4, None, status, None if status == "ok" else "why", 0)
        if status in ("gone", "removed"):
            row = {"gone": gone_row, "removed": removed_row}[status](photo_id, row.path, 1, 2)
        write_shard(self.shards, [row], no_faces(4), "feedfacecafe")
        if there:
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(b"x")
        return row

    def catalogue(self) -> Catalogue:
        return read_catalogue(self.shards)

    def told(self, *files: tuple[str, str]) -> list[tuple[Change, PhotoRow | None]]:
        """What is told of (name, content) in one run."""
        changes, shown = Changes(self.catalogue()), set()
        found = []
        for name, content in files:
            found.append(changes.of_file(self.path(name), content, shown_before=content in shown))
            shown.add(content)
        return found


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_an_empty_album_has_new_photos_and_their_copies(archive: Archive):
    told = archive.told(("1", A), ("2", B), ("3", A), ("4", A))
    assert told == [(Change.NEW, None), (Change.NEW, None), (Change.DUPLICATE, None), (Change.DUPLICATE, None)]


def test_a_known_path_is_changed_or_touched(archive: Archive):
    archive.saw("1", A), archive.saw("2", B)
    assert archive.told(("1", C), ("2", B)) == [(Change.CHANGED, None), (Change.TOUCHED, None)]


def test_a_known_content_is_a_copy_while_its_file_is_there(archive: Archive):
    archive.saw("1", A)
    assert archive.told(("2", A)) == [(Change.DUPLICATE, None)]


def test_a_known_content_was_moved_if_its_file_is_not_there(archive: Archive):
    """Each former path stands for one move; further files are copies. The same name is taken first."""
    first = archive.saw("old/1", A, there=False)
    second = archive.saw("old/2", A, there=False)
    told = archive.told(("new/2", A), ("new/x", A), ("new/y", A))
    assert [change for change, _ in told] == [Change.MOVED, Change.MOVED, Change.DUPLICATE]
    assert [row and (row.path, row.status, row.photo_id) for _, row in told] == [
        (second.path, "gone", A),
        (first.path, "gone", A),
        None,
    ]


def test_a_content_that_no_file_showed_is_back(archive: Archive):
    archive.saw("1", A, there=False)
    archive.saw("1", A, "gone", there=False)
    assert archive.told(("1", A)) == [(Change.BACK, None)]
    assert archive.told(("2", A)) == [(Change.BACK, None)]


def test_what_could_not_be_read_is_new_when_it_can(archive: Archive):
    archive.saw("1", None, "unreadable")
    assert archive.told(("1", A)) == [(Change.NEW, None)]


def test_what_a_scan_did_not_find(archive: Archive, tmp_path: Path):
    kept = [archive.saw("seen", A), archive.saw("not looked at", B), archive.saw("removed", C, "removed", there=False)]
    archive.saw("deleted", B, there=False)
    archive.saw("moved", B, there=False)
    (archive.folder / "folder").mkdir()
    stale = [
        archive.saw("vanished", None, "unreadable", there=False),
        archive.saw("folder", None, "unreadable", there=False),
    ]
    catalogue = archive.catalogue()
    seen = np.zeros(len(catalogue.photos), bool)
    seen[[catalogue.photos.place(kept[0].path)]] = True
    found = unseen(catalogue, [archive.folder], seen, {archive.path("moved")})
    assert found.deleted == 1
    assert sorted(row.path for row in found.stale) == sorted(row.path for row in stale)
    assert {row.status for row in found.stale} == {"gone"}
    assert unseen(catalogue, [tmp_path / "shards", archive.folder / "deleted"], seen).deleted == 1
    assert unseen(catalogue, [tmp_path / "shards"], seen).deleted == 0


def test_a_folder_that_begins_alike_is_another(archive: Archive):
    archive.saw("a/1", A, there=False)
    (archive.folder / "a").mkdir(exist_ok=True)
    (archive.folder / "ab").mkdir()
    catalogue, seen = archive.catalogue(), np.zeros(1, bool)
    assert unseen(catalogue, [archive.folder / "ab"], seen).deleted == 0
    assert unseen(catalogue, [archive.folder / "a"], seen).deleted == 1
