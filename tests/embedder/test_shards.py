"""Shards: what is written is read again, whole or not at all, and damage is found."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import embedder.shards
from embedder.rows import FaceRows, PhotoRow, no_faces
from embedder.shard_check import check_shard
from embedder.shards import (
    Manifest,
    ShardError,
    delete_shard,
    list_shards,
    read_faces,
    read_manifest,
    read_photos,
    remove_unfinished,
    shard_number,
    superseded_shards,
    write_generation,
    write_shard,
)
from embedder.tables import read_tables

FILES = ("photos.parquet", "faces.parquet", "manifest.json")
MODEL = "0123456789ab"


def some_photos(count: int) -> list[PhotoRow]:
    """Readable ones, and at the end one that could be read but not decoded, and one that could not be read."""
    readable = [
        PhotoRow(f"{n:032x}", f"/photos/größe {n}.jpg", 2**40 + n, 10**18 + n, 4000, 3000, None, "ok", None, 2)
        for n in range(count)
    ]
    readable[0] = dataclasses.replace(readable[0], taken_at=datetime(1969, 7, 20, 20, 17, 40))
    zone = timezone(timedelta(hours=5, minutes=45))
    readable[-1] = dataclasses.replace(readable[-1], taken_at=datetime(2001, 1, 1, 23, 59, 59, tzinfo=zone))
    broken = PhotoRow("f" * 32, "/photos/b\\xff.jpg", 9, 8, 0, 0, None, "unreadable", "broken JPEG", 0)
    return [*readable, broken, PhotoRow(None, "/photos/c.jpg", 0, 0, 0, 0, None, "unreadable", "locked", 0)]


def some_faces(count: int, dimension: int = 128) -> FaceRows:
    draw = np.random.default_rng(count)
    rows = draw.normal(size=(count, dimension))
    return FaceRows(
        draw.integers(1, 2**63 - 1, count, dtype=np.int64),
        [f"{n // 2:032x}" for n in range(count)],
        draw.integers(0, 5000, (count, 4)).astype(np.int32),
        draw.uniform(-9, 5000, (count, 5, 2)).astype(np.float32),
        draw.uniform(0, 1, count).astype(np.float32),
        draw.uniform(0, 1, count).astype(np.float32),
        (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16),
    )


def same_faces(ours: FaceRows, expected: FaceRows) -> bool:
    columns = [(getattr(ours, name), getattr(expected, name)) for name in vars(expected) if name != "photo_ids"]
    return ours.photo_ids == expected.photo_ids and all(
        our.dtype == wanted.dtype and our.shape == wanted.shape and np.array_equal(our, wanted)
        for our, wanted in columns
    )


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return write_shard(tmp_path / "shards", some_photos(4), some_faces(8, 6), MODEL)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---------------------------------------------------------------- writing and reading


@pytest.mark.parametrize("faces", [some_faces(1), some_faces(7), some_faces(7, 512), some_faces(5000)])
def test_round_trip(faces: FaceRows, tmp_path: Path):
    photos = some_photos(2500)
    shard = write_shard(tmp_path, photos, faces, MODEL)
    assert read_photos(shard) == photos
    assert same_faces(read_faces(shard), faces)
    assert check_shard(shard) == []


def test_shards_of_before_the_zone_was_read_are_read(shard: Path):
    photos = read_photos(shard)
    table = pq.read_table(shard / "photos.parquet", partitioning=None)
    pq.write_table(table.drop_columns(["utc_offset"]), shard / "photos.parquet", write_page_checksum=True)
    local = [None if p.taken_at is None else p.taken_at.replace(tzinfo=None) for p in photos]
    assert read_photos(shard) == [dataclasses.replace(p, taken_at=at) for p, at in zip(photos, local, strict=True)]
    assert len(read_tables(shard.parent).photos) == len(photos)
    pq.write_table(table.drop_columns(["n_faces"]), shard / "photos.parquet", write_page_checksum=True)
    with pytest.raises(ShardError, match="its columns are others"):
        read_photos(shard)


@pytest.mark.parametrize("dimension", [1, 128])
def test_round_trip_of_no_face(dimension: int, tmp_path: Path):
    shard = write_shard(tmp_path, some_photos(1), no_faces(dimension), MODEL)
    assert same_faces(read_faces(shard), no_faces(dimension))
    assert check_shard(shard) == []


def test_round_trip_of_no_photo(tmp_path: Path):
    shard = write_shard(tmp_path, [], no_faces(4), MODEL)
    assert read_photos(shard) == []
    assert check_shard(shard) == []


def test_faces_need_not_lie_in_one_piece_of_memory(tmp_path: Path):
    """A slice of a larger table, or one in another order of bytes, is written as what it shows."""
    faces = some_faces(9, 6)
    every_other = dataclasses.replace(
        faces,
        face_ids=faces.face_ids[::2],
        photo_ids=faces.photo_ids[::2],
        boxes_xywh=faces.boxes_xywh[::2],
        landmarks=faces.landmarks[::2].astype(">f4"),
        confidences=faces.confidences[::2],
        qualities=faces.qualities[::2],
        embeddings=np.asfortranarray(faces.embeddings[::2]).astype(">f2"),
    )
    found = read_faces(write_shard(tmp_path, some_photos(5), every_other, MODEL))
    np.testing.assert_array_equal(found.landmarks, faces.landmarks[::2])
    np.testing.assert_array_equal(found.embeddings, faces.embeddings[::2])
    np.testing.assert_array_equal(found.face_ids, faces.face_ids[::2])


def test_others_can_read_the_embeddings(shard: Path):
    """As the documentation shows it: plain Parquet, two bytes for each number."""
    faces = some_faces(8, 6)
    table = pq.read_table(shard / "faces.parquet")
    raw = b"".join(table.column("embedding").to_pylist())
    np.testing.assert_array_equal(np.frombuffer(raw, "<f2").reshape(8, 6), faces.embeddings)
    assert table.column("w").to_pylist() == faces.boxes_xywh[:, 2].tolist()


def test_the_manifest_says_what_is_inside(shard: Path):
    manifest = read_manifest(shard)
    assert dataclasses.replace(manifest, sha256={}) == Manifest(1, MODEL, 6, 6, 8, {})
    assert set(manifest.sha256) == {"photos.parquet", "faces.parquet"}


# ---------------------------------------------------------------- folders


def test_shards_are_numbered_one_after_the_other(tmp_path: Path):
    written = [write_shard(tmp_path, [], no_faces(4), MODEL) for _ in range(3)]
    assert [path.name for path in written] == ["000001", "000002", "000003"]
    assert list_shards(tmp_path) == written


def test_a_gap_is_not_filled(tmp_path: Path):
    """The newest row of a path counts: a new shard must stand behind the others."""
    (tmp_path / "000007").mkdir()
    assert write_shard(tmp_path, [], no_faces(4), MODEL).name == "000008"


def test_shards_are_listed_by_number(tmp_path: Path):
    for name in ("1000000", "999999", "000002", ".tmp-1-000003", "notes", "²"):
        (tmp_path / name).mkdir()
    (tmp_path / "000004").write_text("a file is no shard")
    assert [path.name for path in list_shards(tmp_path)] == ["000002", "999999", "1000000"]


def test_a_folder_that_is_not_there_holds_no_shard(tmp_path: Path):
    assert list_shards(tmp_path / "none") == []
    assert remove_unfinished(tmp_path / "none") == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes: left out that shards are private")
def test_shards_are_private(tmp_path: Path):
    former = os.umask(0)
    try:
        shard = write_shard(tmp_path / "album" / "shards", some_photos(1), some_faces(1), MODEL)
    finally:
        os.umask(former)
    assert (mode(shard.parent), mode(shard)) == (0o700, 0o700)
    assert {path.name: mode(path) for path in shard.iterdir()} == dict.fromkeys(FILES, 0o600)


@pytest.mark.parametrize("step", ["_photo_table", "_face_table", "file_sha256", "manifest_bytes", "_flush"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_nothing(
    step: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = write_shard(tmp_path, some_photos(1), some_faces(1), MODEL)

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(embedder.shards, step, fail)
        with pytest.raises(type(error)):
            write_shard(tmp_path, some_photos(1), some_faces(1), MODEL)
    assert list(tmp_path.iterdir()) == [first]
    assert check_shard(first) == []
    assert write_shard(tmp_path, some_photos(1), some_faces(1), MODEL).name == "000002"


def test_everything_is_on_the_disk_before_the_name_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    flushed: list[str] = []
    really: Callable[[Path], None] = embedder.shards._flush

    def flush(path: Path) -> None:
        assert (tmp_path / "000001").exists() == (path == tmp_path)
        flushed.append(path.name)
        really(path)

    monkeypatch.setattr(embedder.shards, "_flush", flush)
    write_shard(tmp_path, some_photos(1), some_faces(1), MODEL)
    assert flushed[:3] == list(FILES)
    assert flushed[3].startswith(".tmp-")
    assert flushed[4:] == [tmp_path.name]


def test_what_a_killed_writer_left_does_not_count_and_is_removed(shard: Path):
    folder = shard.parent
    unfinished = folder / ".tmp-4711-000002"
    unfinished.mkdir()
    for name in FILES:
        (unfinished / name).write_bytes((shard / name).read_bytes()[:100])
    assert list_shards(folder) == [shard]
    assert remove_unfinished(folder) == 1
    assert list(folder.iterdir()) == [shard]
    assert check_shard(shard) == []
    assert remove_unfinished(folder) == 0


# ---------------------------------------------------------------- damage


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(name: str, place: float, bit: int, shard: Path):
    """Wherever it is. Reading either finds it too or gives what was written: never anything else."""
    path = shard / name
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[int(place * len(whole))] ^= 1 << bit
    path.write_bytes(flipped)
    try:
        assert check_shard(shard) != []
        assert reads_right_or_not_at_all(shard)
    finally:
        path.write_bytes(whole)


def reads_right_or_not_at_all(shard: Path) -> bool:
    try:
        photos, faces = read_photos(shard), read_faces(shard)
    except ShardError:
        return True
    return photos == some_photos(4) and same_faces(faces, some_faces(8, 6))


def test_every_flipped_bit_of_the_manifest_is_found(shard: Path):
    """Also in the model's fingerprint, which nothing else in the shard repeats."""
    path = shard / "manifest.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        assert check_shard(shard) != []
    path.write_bytes(whole)
    assert check_shard(shard) == []


@pytest.mark.parametrize("name", ["photos.parquet", "faces.parquet"])
def test_reading_compares_the_checksums_of_pages(name: str, shard: Path):
    """A flipped bit in the middle of the numbers would otherwise come out as another number."""
    path = shard / name
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    flipped = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    flipped[start + column.total_compressed_size - 1] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ShardError, match=r"(?i)crc checksum.*visavis verify"):
        (read_photos if name == "photos.parquet" else read_faces)(shard)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "other"])
def test_a_missing_or_cut_file_is_found(name: str, damage: str, shard: Path):
    path = shard / name
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": whole[:-5], "other": b"PAR1" + bytes(200) + b"PAR1"}[damage])
    assert any(name in problem for problem in check_shard(shard))
    with pytest.raises(ShardError) as caught:
        read_manifest(shard)
        read_photos(shard)
        read_faces(shard)
    assert name in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "{}", '"format"', '{"format": 1}', '{"format": 1, "own_sha256": ""}'])
def test_a_manifest_that_is_none_is_found(content: str, shard: Path):
    (shard / "manifest.json").write_text(content)
    with pytest.raises(ShardError, match="missing or damaged"):
        read_manifest(shard)


def rewrite_manifest(shard: Path, **changes: object) -> None:
    """Write another manifest, as a program that knows its checksum would."""
    manifest = dataclasses.replace(read_manifest(shard), **changes)
    (shard / "manifest.json").write_bytes(embedder.shards.manifest_bytes(manifest))


def test_a_newer_format_is_refused(shard: Path):
    path = shard / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2, "unheard of": "yes"}))
    with pytest.raises(ShardError, match="has format 2, this version knows 1: update visavis"):
        read_manifest(shard)
    assert "update visavis" in check_shard(shard)[0]


def test_counts_that_differ_are_found(shard: Path):
    for change in ({"photos": 5}, {"faces": 9}):
        whole = (shard / "manifest.json").read_bytes()
        rewrite_manifest(shard, **change)
        assert "manifest says otherwise" in check_shard(shard)[0]
        (shard / "manifest.json").write_bytes(whole)


def test_embeddings_of_another_length_are_found(shard: Path):
    rewrite_manifest(shard, dimension=7)
    with pytest.raises(ShardError, match=r"faces\.parquet is damaged: its columns are others"):
        read_faces(shard)
    assert "columns are others" in check_shard(shard)[0]


def test_faces_without_their_photo_are_found(tmp_path: Path):
    shard = write_shard(tmp_path, some_photos(3), some_faces(8), MODEL)  # two faces each: the fourth has no row
    assert check_shard(shard) == [f"{shard}: faces of 1 photos that have no row"]


def test_embeddings_that_are_no_numbers_are_found(tmp_path: Path):
    faces = some_faces(4)
    faces.embeddings[2, 5] = np.nan
    shard = write_shard(tmp_path, some_photos(2), faces, MODEL)
    assert check_shard(shard) == [f"{shard}: embeddings that are not numbers"]


# ---------------------------------------------------------------- generations


def test_the_latest_generation_of_a_number_counts(tmp_path: Path):
    for count in (1, 2, 3):
        write_shard(tmp_path, some_photos(count), some_faces(0, 4), MODEL)
    second = tmp_path / "000002"
    first = write_generation(second, some_photos(5), some_faces(2, 4))
    assert [shard.name for shard in list_shards(tmp_path)] == ["000001", "000002.1", "000003"]
    assert superseded_shards(tmp_path) == [second]
    assert write_generation(first, [], no_faces(4)).name == "000002.2"
    assert read_manifest(tmp_path / "000002.2").fingerprint == MODEL
    assert superseded_shards(tmp_path) == [second, first]
    assert remove_unfinished(tmp_path) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001", "000002.2", "000003"]


def test_a_new_shard_comes_after_every_generation(tmp_path: Path):
    shard = write_shard(tmp_path, some_photos(1), no_faces(4), MODEL)
    write_generation(shard, [], no_faces(4))
    assert write_shard(tmp_path, [], no_faces(4), MODEL).name == "000002"


def test_only_a_shard_has_generations(tmp_path: Path):
    with pytest.raises(ValueError, match="is no shard"):
        write_generation(tmp_path / "photos", [], no_faces(4))
    assert shard_number("000017.12") == (17, 12) and shard_number("000017") == (17, 0)
    assert not any(shard_number(name) for name in (".tmp-1-000017", "000017.", "17.x", "a", ""))


def test_a_deleted_shard_is_gone(shard: Path):
    delete_shard(shard)
    assert list(shard.parent.iterdir()) == []
