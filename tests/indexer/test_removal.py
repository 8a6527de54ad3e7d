"""What is removed stays out by its content, what is gone comes back with its file, and nothing else changes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from embedder.catalogue import read_catalogue
from embedder.compaction import plan_compaction
from embedder.paths import file_path
from embedder.rows import PhotoRow, no_faces
from embedder.shards import write_shard
from indexer.album import Album
from indexer.archive import read_archive, read_archive_even_empty
from indexer.grouping.groups import FILE_NAME, only_groups, read_groups, write_groups
from indexer.removal import (
    MANY,
    RemovalError,
    compact_album,
    doubtful_folders,
    missing_photos,
    removal,
    restoration,
    write_changes,
)
from indexer.search.album_index import refresh_album_index
from indexer.verify import problems


@pytest.fixture
def album(make_album) -> Album:
    """a.png with two faces, also at copies/a.png; b.png and c.png with one each."""
    album = make_album({"a.png": [[1, 0], [0, 1]], "b.png": [[1, 1]], "c.png": [[1, 2]]})
    photos = Path(read_archive(album).paths[0]).parent
    (photos / "copies").mkdir()
    shutil.copy2(photos / "a.png", photos / "copies" / "a.png")
    row = read_catalogue(album.shards).photos[str(photos / "a.png")]
    copy = PhotoRow(
        row.photo_id, str(photos / "copies" / "a.png"), row.size, row.mtime_ns, 200, 120, None, "ok", None, 2
    )
    write_shard(album.shards, [copy], no_faces(128), album.fingerprint)
    return album


def photos_of(album: Album) -> Path:
    return album.root.parent / "photos"


def shown(album: Album) -> list[str]:
    return sorted({Path(path).name for path in read_archive_even_empty(album).paths})


def remove(album: Album, *names: str) -> list[tuple[str, bool]]:
    changes = removal(read_catalogue(album.shards), [photos_of(album) / name for name in names])
    write_changes(album, changes)
    return [(str(Path(change.row.path).relative_to(photos_of(album))), change.asked) for change in changes]


def test_a_photo_is_removed_from_every_path_that_shows_it(album):
    assert remove(album, "a.png") == [("a.png", True), ("copies/a.png", False)]
    assert shown(album) == ["b.png", "c.png"]
    catalogue = read_catalogue(album.shards)
    assert catalogue.photos.held() == 2 and len(catalogue.removed) == 1


def test_a_folder_is_all_that_lies_below_it(album):
    assert remove(album, "copies") == [("a.png", False), ("copies/a.png", True)]
    assert remove(album, "") == [("b.png", True), ("c.png", True)]
    assert shown(album) == []


def test_what_was_removed_before_is_no_error_and_no_change(album):
    remove(album, "a.png")
    assert remove(album, "a.png", "copies") == []


def test_photos_that_the_album_does_not_hold_are_named_and_nothing_is_done(album, tmp_path):
    with pytest.raises(RemovalError, match=r"does not hold: .*strange\.png, .*cop\. Nothing was changed"):
        remove(album, "a.png", "strange.png", "cop")  # a part of a folder's name is no folder
    assert shown(album) == ["a.png", "b.png", "c.png"]


def test_the_removed_comes_back_with_all_its_paths_and_faces(album):
    before = read_archive(album)
    remove(album, "a.png", "b.png")
    changes = restoration(read_catalogue(album.shards), [photos_of(album) / "copies" / "a.png"])
    write_changes(album, changes)
    assert [(change.row.status, change.faces, change.asked) for change in changes] == [
        ("ok", 2, False),
        ("ok", 2, True),
    ]
    archive = read_archive(album)
    assert shown(album) == ["a.png", "c.png"]
    same = np.isin(before.faces.face_ids, archive.faces.face_ids)
    assert np.array_equal(np.asarray(before.embeddings)[same], np.asarray(archive.embeddings))
    row = archive.catalogue.photos[str(photos_of(album) / "a.png")]
    assert (row.width, row.height, row.n_faces, row.reason) == (200, 120, 2, None)


def test_only_the_removed_can_be_restored(album):
    with pytest.raises(RemovalError, match="not removed from the album"):
        restoration(read_catalogue(album.shards), [photos_of(album) / "a.png"])


def test_what_was_compacted_is_forgotten_when_restored(album):
    remove(album, "a.png")
    compact_album(album, plan_compaction(album.shards))
    changes = restoration(read_catalogue(album.shards), [photos_of(album) / "a.png"])
    assert [change.row.status for change in changes] == ["gone", "gone"]
    write_changes(album, changes)
    assert read_catalogue(album.shards).removed == frozenset()


def test_a_removed_photo_stays_out_though_its_path_shows_another_now(album):
    """The file was replaced: what is removed is the content, and compaction must not forget that."""
    remove(album, "b.png")
    row = read_catalogue(album.shards).photos[str(photos_of(album) / "b.png")]
    other = PhotoRow("c" * 32, row.path, 1, 2, 3, 4, None, "ok", None, 0)
    write_shard(album.shards, [other], no_faces(128), album.fingerprint)
    for _ in range(2):
        assert read_catalogue(album.shards).removed == {row.photo_id}
        compact_album(album, plan_compaction(album.shards))


def test_missing_files_go_and_those_that_are_there_stay(album):
    (photos_of(album) / "copies" / "a.png").unlink()
    (photos_of(album) / "b.png").unlink()
    changes = missing_photos(read_catalogue(album.shards), [])
    assert [Path(change.row.path).name for change in changes] == ["b.png", "a.png"]
    below = missing_photos(read_catalogue(album.shards), [photos_of(album) / "copies"])
    assert [Path(change.row.path).parent.name for change in below] == ["copies"]
    write_changes(album, changes)
    assert shown(album) == ["a.png", "c.png"]  # a.png is still at its other path
    catalogue = read_catalogue(album.shards)
    assert catalogue.removed == frozenset() and catalogue.photos.held() == 2
    assert missing_photos(catalogue, []) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_looked_into_is_not_missing(album):
    copies = photos_of(album) / "copies"
    copies.chmod(0)
    try:
        assert missing_photos(read_catalogue(album.shards), []) == []
    finally:
        copies.chmod(0o700)


def _album_below(make_album, folders: dict[str, int], missing: dict[str, int]) -> list[tuple[str, int, int]]:
    """Folders with so many photos, of which so many are missing; gives the doubtful ones."""
    album = make_album({"seed.png": []})
    root = photos_of(album)
    rows = []
    for folder, count in folders.items():
        for number in range(count):
            path = root / folder / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            if number >= missing.get(folder, 0):
                path.touch()
            rows.append(PhotoRow(f"{len(rows):032x}", str(path), 1, 2, 3, 4, None, "ok", None, 0))
    write_shard(album.shards, rows, no_faces(128), album.fingerprint)
    catalogue = read_catalogue(album.shards)
    found = doubtful_folders(catalogue, missing_photos(catalogue, []))
    return [(str(Path(folder).relative_to(root)), lost, held) for folder, lost, held in found]


@pytest.mark.parametrize(
    ("folders", "missing", "doubtful"),
    [
        ({"home": 100, "drive": 30}, {"drive": 30}, [("drive", 30, 30)]),  # a drive that is not mounted
        ({"home": 100, "drive": 30}, {"drive": 15}, []),  # just half of it
        ({"home": 100, "drive": 30}, {"drive": 16}, [("drive", 16, 30)]),
        ({"home": 100, "few": MANY - 1}, {"few": MANY - 1}, []),  # a small folder was deleted
        ({"home": 5, "few": 4}, {"home": 5, "few": 1}, [(".", 6, 10)]),  # of all photos, few as they are
        ({"in/a/x": 30, "in/a/y": 30, "in/b": 90}, {"in/a/x": 30, "in/a/y": 30}, [("in/a", 60, 60)]),
        ({"home": 100}, {}, []),
    ],
)  # fmt: skip
def test_folders_that_are_missing_as_a_whole_are_doubted(make_album, folders, missing, doubtful):
    assert _album_below(make_album, folders, missing) == doubtful


def test_bytes_that_are_no_text_are_found_again(tmp_path):
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.png"))
    strange.touch()
    assert file_path(f"{tmp_path}/b\\xff.png") == strange
    literal = tmp_path / "c\\xff.png"
    literal.touch()
    assert file_path(str(literal)) == literal


def test_after_compaction_no_file_of_the_album_holds_a_vector_of_the_removed(album):
    """Searched in the bytes of every file, as float16 and as float32, before and after."""
    archive = read_archive(album)
    groups = only_groups(archive.faces.face_ids, np.ones(len(archive.faces), np.int64))
    (album.index / "cache").mkdir(parents=True)
    (album.index / FILE_NAME).write_bytes(write_groups(groups))
    (album.index / "cache" / "vectors").write_bytes(np.asarray(archive.embeddings).tobytes())
    lost = {row for row, path in enumerate(archive.paths) if Path(path).name == "a.png"}
    patterns = {row: _patterns(archive, row) for row in range(len(archive.faces))}
    assert all(_found(album, pattern) for both in patterns.values() for pattern in both)
    remove(album, "a.png")
    compact_album(album, plan_compaction(album.shards))
    assert not any(_found(album, pattern) for row in lost for pattern in patterns[row])
    assert all(_found(album, patterns[row][0]) for row in patterns.keys() - lost)
    assert list(problems(album)) == [] and len(read_groups(album.index / FILE_NAME).face_ids) == 2


@pytest.mark.usefixtures("cells_from_16_faces")
def test_after_compaction_no_code_of_the_removed_is_left_in_the_index(make_album, run):
    """The index of a large album is deleted with the vectors, and made anew without them."""
    album = make_album({f"{n}.png": [np.eye(40)[n]] for n in range(40)})
    refresh_album_index(read_archive(album))
    before = {path.name for path in album.index.iterdir()}
    lost = read_archive(album).faces.face_ids[[n for n in range(40) if n % 10 == 3]].tolist()
    result = run(
        "remove", "--album", album.root, "--compact", *(photos_of(album) / f"{n}.png" for n in (3, 13, 23, 33))
    )
    assert result.exit_code == 0 and "Built the index of 36 faces" in result.stderr
    after = {path.name for path in album.index.iterdir()}
    assert len(after) == 3 and before & after == {"base.json"}
    face_ids = np.load(next(album.index.glob("faces-*.npy")))
    assert len(face_ids) == 36 and not set(face_ids.tolist()) & set(lost)
    assert list(problems(album)) == []


def _patterns(archive, row: int) -> list[bytes]:
    """A vector as shards hold it, and as an index may."""
    stored = np.asarray(archive.faces.embeddings[row : row + 1])[0]
    return [stored.tobytes(), archive.embeddings[row].astype(np.float32).tobytes()]


def _found(album: Album, pattern: bytes) -> bool:
    return any(pattern in path.read_bytes() for path in album.root.rglob("*") if path.is_file())
