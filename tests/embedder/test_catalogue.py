"""What the shards say now: the newest row of each photo, and the faces that some file still shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedder.catalogue import Catalogue, PathsOfContents, read_catalogue, shard_fingerprints, shown_faces
from embedder.rows import FaceRows, PhotoRow, face_id, gone_row, join_faces, no_faces, removed_row
from embedder.shards import ShardError, list_shards, write_shard
from embedder.tables import AlbumTables, add_shards, no_tables, read_tables, shown_contents

DIMENSION = 4


def content(letter: str) -> str:
    return letter * 32


def row(path: str, letter: str | None, *, faces: int = 1, reason: str | None = None) -> PhotoRow:
    status = "ok" if reason is None else "unreadable"
    return PhotoRow(letter and content(letter), path, 5, 6, 40, 30, None, status, reason, faces)


def faces_of(letter: str, count: int = 1) -> FaceRows:
    """The faces of a photo with this content; their embeddings tell them apart."""
    boxes = np.array([[10 * n, 0, 9, 9] for n in range(count)], np.int32)
    return FaceRows(
        np.array([face_id(content(letter), box) for box in boxes], np.int64),
        [content(letter)] * count,
        boxes,
        np.zeros((count, 5, 2), np.float32),
        np.ones(count, np.float32),
        np.ones(count, np.float32),
        np.array([[ord(letter), n, 0, 1] for n in range(count)], np.float16),
    )


def add(folder: Path, photos: list[PhotoRow], *faces: FaceRows) -> Path:
    return write_shard(folder, photos, join_faces([no_faces(DIMENSION), *faces]), "feedfacecafe")


def shown(folder: Path) -> list[tuple[str, int]]:
    """The letter and the number of each face that is read."""
    faces = shown_faces(read_tables(folder))
    return [(chr(int(a)), int(b)) for a, b in np.asarray(faces.embeddings)[:, :2]]


def rows(folder: Path) -> dict[str, PhotoRow]:
    return dict(read_catalogue(folder).photos.items())


def paths_by_id(folder: Path) -> dict[str, str]:
    """The path of every content that a file shows."""
    found = read_tables(folder)
    paths = PathsOfContents(found.photos)
    names = found.contents.column("photo_id").to_pylist()
    shown = {number for number in found.photos.column("content").to_pylist() if number in shown_numbers(found)}
    return {names[number]: paths[number] for number in sorted(shown)}


def shown_numbers(found: AlbumTables) -> set[int]:
    return set(np.flatnonzero(shown_contents(found)).tolist())


def test_nothing_written_is_nothing_known(tmp_path: Path):
    for folder in (tmp_path, tmp_path / "none"):
        catalogue = read_catalogue(folder)
        assert (len(catalogue.photos), list(catalogue.photos), list(catalogue.embedded)) == (0, [], [])
        assert len(shown_faces(read_tables(folder))) == 0
        assert shard_fingerprints(folder) == {}


def test_photos_of_all_shards_are_known(tmp_path: Path):
    add(tmp_path, [row("/a", "a"), row("/b", "b", faces=0)], faces_of("a"))
    add(tmp_path, [row("/c", "c", faces=2)], faces_of("c", 2))
    catalogue = read_catalogue(tmp_path)
    assert {path: photo.n_faces for path, photo in catalogue.photos.items()} == {"/a": 1, "/b": 0, "/c": 2}
    assert set(catalogue.embedded) == {content(letter) for letter in "abc"}
    assert shown(tmp_path) == [("a", 0), ("c", 0), ("c", 1)]


def test_an_album_without_a_face(tmp_path: Path):
    add(tmp_path, [row("/a", "a", faces=0)])
    assert shown_faces(read_tables(tmp_path)).embeddings.shape == (0, DIMENSION)


def test_the_newest_row_of_a_path_counts(tmp_path: Path):
    """Also within one shard, and where the number of digits grows."""
    add(tmp_path, [row("/a", "a"), row("/a", "b")], faces_of("a"), faces_of("b"))
    assert rows(tmp_path) == {"/a": row("/a", "b")}
    (tmp_path / "000001").rename(tmp_path / "999999")
    assert add(tmp_path, [row("/a", "c")], faces_of("c")).name == "1000000"
    assert rows(tmp_path) == {"/a": row("/a", "c")}


def test_faces_of_a_changed_photo_are_no_longer_shown(tmp_path: Path):
    add(tmp_path, [row("/a", "a"), row("/b", "b")], faces_of("a"), faces_of("b"))
    add(tmp_path, [row("/a", "c")], faces_of("c"))
    assert shown(tmp_path) == [("b", 0), ("c", 0)]


def test_faces_of_a_photo_that_became_unreadable_are_no_longer_shown(tmp_path: Path):
    add(tmp_path, [row("/a", "a"), row("/b", "b")], faces_of("a"), faces_of("b"))
    add(tmp_path, [row("/a", "x", faces=0, reason="broken JPEG"), row("/c", None, faces=0, reason="locked")])
    assert shown(tmp_path) == [("b", 0)]
    assert set(read_catalogue(tmp_path).embedded) == {content("a"), content("b")}


def test_a_content_that_is_no_longer_readable_is_no_longer_shown(tmp_path: Path):
    """The same bytes, looked at again by a stricter decoder. Such a photo has no path to show its faces with."""
    add(tmp_path, [row("/a", "a"), row("/b", "b")], faces_of("a"), faces_of("b"))
    add(tmp_path, [row("/a", "a", faces=0, reason="too many pixels")])
    assert shown(tmp_path) == [("b", 0)]
    assert paths_by_id(tmp_path) == {content("b"): "/b"}


def test_a_content_whose_file_changed_is_still_embedded(tmp_path: Path):
    """So that it need not be embedded again when it comes back; and then its faces are shown again."""
    add(tmp_path, [row("/a", "a", faces=2)], faces_of("a", 2))
    add(tmp_path, [row("/a", "b")], faces_of("b"))
    assert read_catalogue(tmp_path).embedded[content("a")].n_faces == 2
    add(tmp_path, [row("/z", "a", faces=2)])
    assert shown(tmp_path) == [("a", 0), ("a", 1), ("b", 0)]


def test_the_faces_of_copies_are_shown_once(tmp_path: Path):
    add(tmp_path, [row("/a", "a"), row("/copy", "a")], faces_of("a"))
    add(tmp_path, [row("/moved", "a")])
    assert shown(tmp_path) == [("a", 0)]


def test_a_face_that_stands_in_two_shards_is_read_once(tmp_path: Path):
    """As when shards of two workers are put together."""
    add(tmp_path, [row("/a", "a"), row("/b", "b")], faces_of("a"), faces_of("b"))
    add(tmp_path, [row("/a", "a"), row("/c", "c")], faces_of("c"), faces_of("a"))
    assert shown(tmp_path) == [("a", 0), ("b", 0), ("c", 0)]


def test_a_content_has_the_first_of_its_paths(tmp_path: Path):
    add(tmp_path, [row("/z", "a"), row("/m", "a"), row("/n", "b"), row("/u", "u", faces=0, reason="broken")])
    add(tmp_path, [row("/b", None, faces=0, reason="locked")])
    assert paths_by_id(tmp_path) == {content("a"): "/m", content("b"): "/n"}
    at_once = PathsOfContents(read_tables(tmp_path).photos)
    at_once.read_all()
    assert [at_once[number] for number in (0, 1)] == ["/m", "/n"]
    with pytest.raises(KeyError, match="no file shows content 2"):
        at_once[2]


def test_each_shard_says_its_model(tmp_path: Path):
    write_shard(tmp_path, [], no_faces(DIMENSION), "one")
    write_shard(tmp_path, [], no_faces(DIMENSION), "two")
    assert shard_fingerprints(tmp_path) == {"000001": "one", "000002": "two"}


def test_a_damaged_shard_is_not_passed_over(tmp_path: Path):
    add(tmp_path, [row("/a", "a")], faces_of("a"))
    (tmp_path / "000001" / "faces.parquet").write_bytes(b"gone")
    with pytest.raises(ShardError, match=r"000001/faces\.parquet"):
        read_catalogue(tmp_path)
    (tmp_path / "000001" / "photos.parquet").unlink()
    with pytest.raises(ShardError, match=r"000001/photos\.parquet"):
        read_catalogue(tmp_path)


def test_the_newest_row_of_a_content_says_whether_it_was_removed(tmp_path: Path):
    add(
        tmp_path,
        [row("/a", "a"), row("/b", "b"), row("/u", "u", faces=0, reason="broken")],
        faces_of("a"),
        faces_of("b"),
    )
    add(tmp_path, [removed_row(content(x), f"/{x}", 5, 6) for x in "abu"])
    catalogue = read_catalogue(tmp_path)
    assert catalogue.removed == {content("a"), content("b"), content("u")} and shown(tmp_path) == []
    assert catalogue.photos.held() == 0 and catalogue.photos.count("removed") == 3
    add(tmp_path, [row("/elsewhere", "a"), gone_row(content("b"), "/b", 5, 6)])
    catalogue = read_catalogue(tmp_path)
    assert catalogue.removed == {content("u")} and shown(tmp_path) == [("a", 0)]
    assert catalogue.photos["/a"].status == "removed" and catalogue.photos.held() == 1


def test_another_content_at_the_path_does_not_bring_back_the_removed(tmp_path: Path):
    add(tmp_path, [row("/a", "a")], faces_of("a"))
    add(tmp_path, [removed_row(content("a"), "/a", 5, 6)])
    add(tmp_path, [row("/a", "b")], faces_of("b"))
    assert read_catalogue(tmp_path).removed == {content("a")} and shown(tmp_path) == [("b", 0)]


def test_what_was_removed_is_the_same_shard_by_shard_and_at_once(tmp_path: Path):
    add(tmp_path, [row("/a", "a"), row("/b", "b")], faces_of("a"), faces_of("b"))
    add(tmp_path, [removed_row(content("a"), "/a", 5, 6), removed_row(content("b"), "/b", 5, 6)])
    add(tmp_path, [row("/b", "b")])
    tables = no_tables()
    for shard in list_shards(tmp_path):
        tables = add_shards(tables, [shard])
    assert Catalogue(tables).removed == read_catalogue(tmp_path).removed == {content("a")}


def test_a_content_without_its_faces_is_not_embedded(tmp_path: Path):
    """A compaction that was killed, or a shard that was lost, must not make it a photo of nobody."""
    add(tmp_path, [row("/a", "a"), row("/n", "n", faces=0)], faces_of("a"))
    add(tmp_path, [row("/b", "b", faces=2)])
    assert set(read_catalogue(tmp_path).embedded) == {content("a"), content("n")}
