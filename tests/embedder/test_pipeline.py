"""From files to shards: every file gets its row, whatever happens in between. The model is a quick stand-in."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import embedder.pipeline
import embedder.shards
from embedder.catalogue import read_catalogue, shown_faces
from embedder.compaction import compact_shards, plan_compaction
from embedder.decode import Decode, DecodeError, Photo, decode
from embedder.model import ENOUGH_PIXELS, DecodedPhoto, EmbeddedFaces
from embedder.paths import path_text
from embedder.pipeline import EmbedSettings, embed_photos, is_known
from embedder.report import EmbedReport
from embedder.rows import PhotoRow, face_id, gone_row, no_faces, photo_id, removed_row
from embedder.scan import PhotoFile, scan
from embedder.shard_check import check_shard
from embedder.shards import list_shards, read_faces, read_photos, write_shard
from embedder.tables import read_tables

DIMENSION = 4
SMALL_STEPS = EmbedSettings(shard_photos=4, chunk_photos=2, readers=2)


class QuickModel:
    """Finds as many faces as the red of a photo's first pixel says; green and blue become the embedding."""

    def __init__(self, on_find: Callable[[int], None] = lambda photos: None) -> None:
        self.spec = SimpleNamespace(network=SimpleNamespace(dimension=DIMENSION), fingerprint=lambda: "feedfacecafe")
        self.calls: list[int] = []
        self._on_find = on_find

    @property
    def photos(self) -> int:
        """How many it has seen."""
        return sum(self.calls)

    def find_in(self, photos: Sequence[DecodedPhoto]) -> list[EmbeddedFaces]:
        self._on_find(len(photos))
        self.calls.append(len(photos))
        return [faces_in(photo.pixels) for photo in photos]


def faces_in(photo: np.ndarray) -> EmbeddedFaces:
    count, green, blue = (int(value) for value in photo[0, 0])
    embeddings = np.array([[green, blue, number, 1] for number in range(count)], np.float32).reshape(-1, DIMENSION)
    return EmbeddedFaces(
        np.array([[number, 1, 2, 3] for number in range(count)], np.int32).reshape(-1, 4),
        np.full((count, 5, 2), green, np.float32),
        np.full(count, 0.5, np.float32),
        np.full(count, 0.25, np.float32),
        embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True),
    )


def put(path: Path, number: int, *, faces: int = 1, size: tuple[int, int] = (7, 5)) -> Path:
    """Write a photo whose content is that of ``number`` alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (faces, number // 256, number % 256)).save(path, "PNG")
    return path


def put_archive(folder: Path, count: int = 13) -> Path:
    """Photos with 0 to 2 faces, of which some cannot be read and one is there twice."""
    for number in range(count):
        put(folder / f"{number:03d}.png", number, faces=number % 3)
    (folder / "004.png").write_bytes(b"")
    (folder / "007.png").write_bytes(b"Dear Ann,\n")
    put(folder / "009.png", 2, faces=2)
    return folder


def embed(
    folder: Path,
    shards: Path,
    model: QuickModel | None = None,
    settings: EmbedSettings = SMALL_STEPS,
    on_progress: Callable[[EmbedReport], None] = lambda report: None,
    decode: Decode = decode,
) -> EmbedReport:
    catalogue = read_catalogue(shards)
    return embed_photos(scan([folder]), model or QuickModel(), shards, catalogue, settings, on_progress, decode=decode)  # type: ignore[arg-type]


def counts(report: EmbedReport) -> dict[str, int]:
    """All that is not 0."""
    names = ("seen", "unchanged", "embedded", "known_content", "unreadable", "faces")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def everything(shards: Path) -> tuple[list[object], list[object]]:
    """All photo rows and face rows, in an order of their own; every shard must be whole."""
    photos, faces = [], []
    for shard in list_shards(shards):
        assert check_shard(shard) == []
        photos += read_photos(shard)
        table = read_faces(shard)
        columns = [value.tolist() if isinstance(value, np.ndarray) else value for value in vars(table).values()]
        faces += zip(*columns, strict=True)
    return sorted(photos, key=lambda row: row.path), sorted(faces)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return tmp_path / "album" / "shards"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return put_archive(tmp_path / "archive")


# ---------------------------------------------------------------- rows


def test_every_file_gets_its_row(archive: Path, shards: Path):
    report = embed(archive, shards)
    assert counts(report) == {"seen": 13, "embedded": 10, "known_content": 1, "unreadable": 2, "faces": 10}
    assert report.finished == 13
    rows = read_catalogue(shards).photos
    assert sorted(rows) == [str(path) for path in sorted(archive.iterdir())]
    for path, row in rows.items():
        assert row.photo_id == photo_id(Path(path).read_bytes())
        assert (row.size, row.mtime_ns) == (Path(path).stat().st_size, Path(path).stat().st_mtime_ns)
        if row.status == "ok":
            assert (row.width, row.height, row.reason) == (7, 5, None)
    assert [rows[str(archive / f"{n:03d}.png")].n_faces for n in range(13)] == [0, 1, 2, 0, 0, 2, 0, 0, 2, 2, 1, 2, 0]


def test_faces_are_written_as_they_were_found(tmp_path: Path, shards: Path):
    path = put(tmp_path / "archive" / "a.png", 777, faces=2)
    embed(tmp_path / "archive", shards)
    (shard,) = list_shards(shards)
    name = photo_id(path.read_bytes())
    found, faces = faces_in(np.asarray(Image.open(path))), read_faces(shard)
    assert faces.photo_ids == [name, name]
    assert faces.face_ids.tolist() == [face_id(name, (0, 1, 2, 3)), face_id(name, (1, 1, 2, 3))]
    np.testing.assert_array_equal(faces.boxes_xywh, found.boxes_xywh)
    np.testing.assert_array_equal(faces.landmarks, found.landmarks)
    np.testing.assert_array_equal(faces.confidences, found.confidences)
    np.testing.assert_array_equal(faces.qualities, found.qualities)
    np.testing.assert_array_equal(faces.embeddings, found.embeddings.astype(np.float16))


def test_the_time_of_the_camera_is_kept_also_for_a_copy(tmp_path: Path, shards: Path):
    exif = Image.Exif()
    exif[306] = "2019:07:20 20:17:40"
    exif.get_ifd(0x8769)[0x9010] = "-03:30"
    (tmp_path / "archive").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "archive" / "a.png", exif=exif)
    embed(tmp_path / "archive", shards)
    (tmp_path / "archive" / "b.png").write_bytes((tmp_path / "archive" / "a.png").read_bytes())
    embed(tmp_path / "archive", shards)
    rows = read_catalogue(shards).photos.values()
    taken_at = datetime(2019, 7, 20, 20, 17, 40, tzinfo=timezone(timedelta(minutes=-210)))
    assert [(row.taken_at, row.width, row.height) for row in rows] == [(taken_at, 6, 4)] * 2
    written = [row.taken_at for shard in list_shards(shards) for row in read_photos(shard)]
    assert [moment.utcoffset() for moment in written if moment] == [timedelta(minutes=-210)] * 2
    table = pq.read_table(list_shards(shards)[0] / "photos.parquet")
    assert table.column("taken_at").to_pylist() == [datetime(2019, 7, 20, 20, 17, 40)], "local time, for other tools"
    assert table.column("utc_offset").to_pylist() == [-210]


def test_nothing_to_do_writes_nothing(tmp_path: Path, shards: Path):
    (tmp_path / "archive").mkdir()
    assert counts(embed(tmp_path / "archive", shards)) == {}
    assert list_shards(shards) == []


@pytest.mark.parametrize(
    "settings",
    [
        EmbedSettings(),
        EmbedSettings(shard_photos=1, chunk_photos=1, readers=1),
        EmbedSettings(shard_photos=3, chunk_photos=5, readers=4),
        EmbedSettings(shard_photos=100, chunk_photos=2, chunk_pixels=1, readers=2),
    ],
)
def test_how_the_work_is_cut_up_changes_no_row(settings: EmbedSettings, archive: Path, tmp_path: Path, shards: Path):
    embed(archive, shards)
    embed(archive, tmp_path / "other", settings=settings)
    assert everything(tmp_path / "other") == everything(shards)


def test_rows_keep_the_order_of_the_files(archive: Path, shards: Path):
    """Though some are read faster than those before them."""

    def dawdle(content: bytes, *, at_least: int | None = None) -> Photo:
        time.sleep(random.Random(content).choice([0, 0.02]))
        return decode(content)

    embed(archive, shards, settings=dataclasses.replace(SMALL_STEPS, readers=6), decode=dawdle)
    paths = [row.path for shard in list_shards(shards) for row in read_photos(shard)]
    assert paths == [str(path) for path in sorted(archive.iterdir())]


# ---------------------------------------------------------------- running again


def test_a_second_run_embeds_nothing(archive: Path, shards: Path):
    embed(archive, shards)
    before, model = everything(shards), QuickModel()
    assert counts(embed(archive, shards, model)) == {"seen": 13, "unchanged": 13}
    assert model.photos == 0
    assert everything(shards) == before


def test_new_photos_are_added(archive: Path, shards: Path):
    embed(archive, shards)
    put(archive / "005b.png", 500, faces=2)
    model = QuickModel()
    assert counts(embed(archive, shards, model)) == {"seen": 14, "unchanged": 13, "embedded": 1, "faces": 2}
    assert model.photos == 1


def test_a_moved_photo_is_known_by_its_content(archive: Path, shards: Path):
    """It is neither decoded nor embedded, and keeps its faces."""
    embed(archive, shards)
    (archive / "005.png").rename(archive / "moved.png")
    model = QuickModel()
    report = embed(archive, shards, model, decode=lambda content, *, at_least=None: pytest.fail("was decoded"))
    assert counts(report) == {"seen": 13, "unchanged": 12, "known_content": 1}
    assert model.photos == 0
    row = read_catalogue(shards).photos[str(archive / "moved.png")]
    assert (row.status, row.n_faces, row.width, row.height) == ("ok", 2, 7, 5)


def test_copies_are_embedded_once(tmp_path: Path, shards: Path):
    """In one chunk, in another, and in another run."""
    for name in ("a", "b", "c", "d", "e"):
        put(tmp_path / "archive" / f"{name}.png", 1, faces=2)
    model = QuickModel()
    assert counts(embed(tmp_path / "archive", shards, model)) == {
        "seen": 5,
        "embedded": 1,
        "known_content": 4,
        "faces": 2,
    }
    put(tmp_path / "archive" / "f.png", 1, faces=2)
    embed(tmp_path / "archive", shards, model)
    assert model.photos == 1
    photos, faces = everything(shards)
    assert [row.n_faces for row in photos] == [2] * 6
    assert len(faces) == 2


def test_a_changed_photo_is_embedded_again(archive: Path, shards: Path):
    embed(archive, shards)
    put(archive / "005.png", 600, faces=1)
    assert counts(embed(archive, shards)) == {"seen": 13, "unchanged": 12, "embedded": 1, "faces": 1}
    catalogue = read_catalogue(shards)
    assert len(shown_faces(read_tables(shards))) == 10 - 2 + 1
    assert catalogue.photos[str(archive / "005.png")].n_faces == 1


def test_a_content_that_comes_back_has_its_faces_again(archive: Path, shards: Path):
    """No file showed it for a while, so only the shards know how many faces it has."""
    embed(archive, shards)
    put(archive / "005.png", 600)
    embed(archive, shards)
    put(archive / "back.png", 5, faces=2)
    model = QuickModel()
    assert counts(embed(archive, shards, model)) == {"seen": 14, "unchanged": 13, "known_content": 1}
    assert model.photos == 0
    assert read_catalogue(shards).photos[str(archive / "back.png")].n_faces == 2


def test_a_touched_photo_gets_a_new_row_and_no_new_faces(archive: Path, shards: Path):
    embed(archive, shards)
    os.utime(archive / "005.png", ns=(1, 1))
    assert counts(embed(archive, shards)) == {"seen": 13, "unchanged": 12, "known_content": 1}
    assert counts(embed(archive, shards)) == {"seen": 13, "unchanged": 13}
    assert len(everything(shards)[1]) == 10


# ---------------------------------------------------------------- what cannot be read


def test_what_cannot_be_read_says_why(archive: Path, shards: Path):
    (archive / "gone.jpg").symlink_to(archive / "nowhere")
    reasons = dict(embed(archive, shards).reasons)
    assert reasons == {
        str(archive / "004.png"): "the file is empty",
        str(archive / "007.png"): "no photo: unknown format or broken header",
        str(archive / "gone.jpg"): "cannot be read: No such file or directory",
    }
    rows = read_catalogue(shards).photos
    assert {path: rows[path].reason for path in reasons} == reasons
    for path in reasons:
        row = rows[path]
        assert (row.status, row.width, row.height, row.n_faces) == ("unreadable", 0, 0, 0)
    assert rows[str(archive / "gone.jpg")].photo_id is None


def test_a_file_with_a_problem_is_never_opened(archive: Path, shards: Path):
    """It may be a pipe, which would be waited for without end; here it is a good photo."""
    file = PhotoFile(archive / "005.png", 0, 0, "not a regular file")
    report = embed_photos([file], QuickModel(), shards, read_catalogue(shards), SMALL_STEPS)  # type: ignore[arg-type]
    assert report.reasons == [(str(archive / "005.png"), "not a regular file")]


def test_a_photo_that_vanishes_while_the_run_goes_on_says_so(archive: Path, shards: Path):
    def remove_the_last(photos: int) -> None:
        (archive / "012.png").unlink(missing_ok=True)

    settings = dataclasses.replace(SMALL_STEPS, readers=1)
    files = list(scan([archive]))
    model = QuickModel(remove_the_last)
    report = embed_photos(files, model, shards, read_catalogue(shards), settings)  # type: ignore[arg-type]
    assert report.reasons[-1] == (str(archive / "012.png"), "cannot be read: No such file or directory")
    assert report.finished == 13


def test_what_could_not_be_read_is_left_alone_until_asked_for(archive: Path, shards: Path):
    embed(archive, shards)
    again = dataclasses.replace(SMALL_STEPS, retry_unreadable=True)
    assert counts(embed(archive, shards)) == {"seen": 13, "unchanged": 13}
    assert counts(embed(archive, shards, settings=again)) == {"seen": 13, "unchanged": 11, "unreadable": 2}


def test_a_file_that_could_not_even_be_read_is_tried_again_once_it_can(
    archive: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
):
    """A drive did not answer, or permission was wanting: neither changes the file's size or time."""
    readable = False
    really = embedder.pipeline.read_photo

    def read(path: Path) -> bytes:
        if path.name == "005.png" and not readable:
            raise OSError(5, "Input/output error")
        return really(path)

    monkeypatch.setattr(embedder.pipeline, "read_photo", read)
    monkeypatch.setattr(embedder.pipeline, "can_be_read", lambda path: readable)
    assert (str(archive / "005.png"), "cannot be read: Input/output error") in embed(archive, shards).reasons
    assert counts(embed(archive, shards)) == {"seen": 13, "unchanged": 13}, "a row for each run would be too many"
    readable = True
    assert counts(embed(archive, shards)) == {"seen": 13, "unchanged": 12, "embedded": 1, "faces": 2}
    assert read_catalogue(shards).photos[str(archive / "005.png")].n_faces == 2


def test_a_moved_photo_leaves_its_former_path_in_the_same_shard(archive: Path, shards: Path):
    """So that a kill leaves both rows or none."""
    embed(archive, shards)
    (archive / "005.png").rename(archive / "moved.png")
    report = embed(archive, shards)
    assert (report.changes, report.moved_from) == ({"moved": 1}, {str(archive / "005.png")})
    rows = read_photos(list_shards(shards)[-1])
    assert [(Path(row.path).name, row.status) for row in rows] == [("moved.png", "ok"), ("005.png", "gone")]
    assert report.finished == 1
    (archive / "moved.png").rename(archive / "005.png")
    assert embed(archive, shards).changes == {"moved": 1}, "and back again"
    assert read_catalogue(shards).photos[str(archive / "005.png")].status == "ok"


def test_what_each_file_is_to_the_album_is_counted(archive: Path, shards: Path):
    first = embed(archive, shards).changes
    assert first == {"new": 10, "duplicate": 1}
    put(archive / "005.png", 600)
    put(archive / "copy.png", 6, faces=0)
    put(archive / "other.png", 601)
    os.utime(archive / "003.png", ns=(1, 1))
    assert embed(archive, shards).changes == {"changed": 1, "duplicate": 1, "new": 1, "touched": 1}


def test_a_repaired_photo_is_embedded(archive: Path, shards: Path):
    embed(archive, shards)
    put(archive / "004.png", 4, faces=1)
    assert counts(embed(archive, shards)) == {"seen": 13, "unchanged": 12, "embedded": 1, "faces": 1}
    row = read_catalogue(shards).photos[str(archive / "004.png")]
    assert (row.status, row.reason, row.n_faces) == ("ok", None, 1)


def test_a_file_is_known_by_path_size_and_time(archive: Path, shards: Path):
    embed(archive, shards)
    catalogue = read_catalogue(shards)
    file = next(iter(scan([archive])))
    assert is_known(file, catalogue, SMALL_STEPS)
    for change in ({"size": file.size + 1}, {"mtime_ns": file.mtime_ns + 1}, {"path": file.path.with_name("x")}):
        assert not is_known(dataclasses.replace(file, **change), catalogue, SMALL_STEPS)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names: left out names that are not UTF-8")
def test_names_that_are_not_utf8_are_written_so_that_they_can_be_told_apart(tmp_path: Path, shards: Path):
    assert path_text(Path("/a/größe.jpg")) == "/a/größe.jpg"
    strange = [os.fsdecode(name) for name in (b"caf\xe9.png", b"caf\xe8.png")]
    try:
        for number, name in enumerate(strange):
            put(tmp_path / "archive" / name, number)
    except OSError:
        pytest.skip("this file system takes no such names: left out that they are embedded")
    assert counts(embed(tmp_path / "archive", shards)) == {"seen": 2, "embedded": 2, "faces": 2}
    assert [Path(path).name for path in read_catalogue(shards).photos] == ["caf\\xe8.png", "caf\\xe9.png"]
    assert counts(embed(tmp_path / "archive", shards)) == {"seen": 2, "unchanged": 2}


# ---------------------------------------------------------------- how the work is cut up


@pytest.mark.parametrize(
    ("shard_photos", "chunk_photos", "expected"),
    [(4, 2, [4, 4, 4, 1]), (4, 3, [6, 6, 1]), (13, 1, [13]), (100, 5, [13]), (3, 5, [5, 5, 3]), (12, 12, [12, 1])],
)
def test_a_shard_is_closed_with_the_chunk_that_fills_it(
    shard_photos: int, chunk_photos: int, expected: list[int], archive: Path, shards: Path
):
    embed(archive, shards, settings=EmbedSettings(shard_photos=shard_photos, chunk_photos=chunk_photos, readers=2))
    assert [len(read_photos(shard)) for shard in list_shards(shards)] == expected


def test_large_photos_come_in_smaller_chunks(tmp_path: Path, shards: Path):
    for number, side in enumerate((10, 10, 30, 10, 10, 10)):
        put(tmp_path / "archive" / f"{number}.png", number, size=(side, side))
    model = QuickModel()
    embed(tmp_path / "archive", shards, model, EmbedSettings(chunk_pixels=300, chunk_photos=9, readers=2))
    assert model.calls == [3, 3]
    model = QuickModel()
    embed(tmp_path / "archive", tmp_path / "other", model, EmbedSettings(chunk_pixels=1, readers=2))
    assert model.calls == [1] * 6


def test_progress_is_told_after_each_chunk(archive: Path, shards: Path):
    told: list[tuple[int, int]] = []
    embed(archive, shards, on_progress=lambda report: told.append((report.finished, report.faces)))
    assert [finished for finished, _ in told] == [2, 4, 6, 8, 10, 12, 13, 13]
    assert told[-1] == (13, 10)
    assert [faces for _, faces in told] == sorted(faces for _, faces in told)


def most_that_wait(archive: Path, shards: Path, settings: EmbedSettings) -> int:
    """Embed all photos of ``archive``: how many of them were decoded, at most, and not yet looked at."""
    decoded, most_waiting, lock = 0, 0, threading.Lock()

    def count(content: bytes, *, at_least: int | None = None) -> Photo:
        nonlocal decoded
        with lock:
            decoded += 1
        return decode(content)

    def look(photos: int) -> None:
        nonlocal most_waiting
        time.sleep(0.02)  # for the readers to run as far as they may
        most_waiting = max(most_waiting, decoded - model.photos - photos)

    model = QuickModel(look)
    embed(archive, shards, model, settings, decode=count)
    assert decoded == len(list(archive.iterdir()))
    return most_waiting


def test_reading_does_not_run_far_ahead(tmp_path: Path, shards: Path):
    """Decoded photos are large. While the model works, no more wait than the limit, however many there are."""
    for number in range(60):
        put(tmp_path / "archive" / f"{number:02d}.png", number)
    assert 0 < most_that_wait(tmp_path / "archive", shards, EmbedSettings(chunk_photos=3, readers=2)) <= 4 * 2


def test_huge_photos_are_not_read_far_ahead(tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch):
    """Eight of 200 million pixels would take 5 GB while they wait."""
    for number in range(30):
        put(tmp_path / "archive" / f"{number:02d}.png", number, size=(20, 20))
    monkeypatch.setattr(embedder.pipeline, "_PIXELS_AHEAD", 3 * 400)
    assert 0 < most_that_wait(tmp_path / "archive", shards, EmbedSettings(chunk_photos=1, readers=4)) <= 3


# ---------------------------------------------------------------- interrupted and killed


def expected_rows(archive: Path, tmp_path: Path) -> tuple[list[object], list[object]]:
    """Of a run that nothing interrupts."""
    embed(archive, tmp_path / "uninterrupted")
    return everything(tmp_path / "uninterrupted")


@pytest.mark.parametrize("after", [2, 4, 6, 12])
def test_an_interrupted_run_keeps_what_is_finished(after: int, archive: Path, tmp_path: Path, shards: Path):
    """Also what stands in a shard that is not full; and the next run adds the rest."""

    def interrupt(report: EmbedReport) -> None:
        if report.finished >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(archive, shards, on_progress=interrupt)
    assert len(read_catalogue(shards).photos) == after
    everything(shards)  # each shard is whole
    report = embed(archive, shards)
    assert (report.unchanged, report.finished) == (after, 13 - after)
    assert everything(shards) == expected_rows(archive, tmp_path)


@pytest.mark.parametrize("call", range(1, 7))
def test_an_interrupt_while_the_model_works_loses_only_that_chunk(
    call: int, archive: Path, tmp_path: Path, shards: Path
):
    def interrupt(photos: int) -> None:
        if len(model.calls) == call:
            raise KeyboardInterrupt

    model = QuickModel(interrupt)
    with pytest.raises(KeyboardInterrupt):
        embed(archive, shards, model)
    assert len(read_catalogue(shards).photos) == 2 * call
    embed(archive, shards)
    assert everything(shards) == expected_rows(archive, tmp_path)


@pytest.mark.parametrize("shard", [1, 2, 4])
def test_an_interrupt_while_a_shard_is_written_writes_it_again(
    shard: int, archive: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
):
    """Also the last one. What was embedded is not lost to a Ctrl-C at the wrong moment."""
    calls, really = [], embedder.pipeline.write_shard

    def write(*arguments: object) -> Path:
        calls.append(arguments)
        if len(calls) == shard:
            raise KeyboardInterrupt
        return really(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(embedder.pipeline, "write_shard", write)
    with pytest.raises(KeyboardInterrupt):
        embed(archive, shards)
    assert len(read_catalogue(shards).photos) == min(4 * shard, 13)
    assert len(list_shards(shards)) == shard


def test_an_error_keeps_the_shards_before_it(archive: Path, tmp_path: Path, shards: Path):
    def fail(photos: int) -> None:
        if len(model.calls) == 5:
            raise RuntimeError("CUDA out of memory")

    model = QuickModel(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        embed(archive, shards, model)
    assert [len(read_photos(shard)) for shard in list_shards(shards)] == [4, 4]
    embed(archive, shards)
    assert everything(shards) == expected_rows(archive, tmp_path)


def test_a_full_disk_keeps_the_shards_before_it(
    archive: Path, tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
):
    really: Callable[[Path], None] = embedder.shards._flush

    def flush(path: Path) -> None:
        if path.parent.name.endswith("000002"):
            raise OSError(28, "No space left on device")
        really(path)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(embedder.shards, "_flush", flush)
        embed(archive, shards)
    assert [path.name for path in shards.iterdir()] == ["000001"]
    embed(archive, shards)
    assert everything(shards) == expected_rows(archive, tmp_path)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_until_killed(moment: str, archive: Path, shards: Path) -> None:
    """Embed and die: while the model looks at the fifth chunk, or with the second shard half on the disk."""
    if moment == "model":
        model = QuickModel(lambda photos: die() if len(model.calls) == 5 else None)
        embed(archive, shards, model)
    really: Callable[[Path], None] = embedder.shards._flush
    embedder.shards._flush = lambda path: die() if path.parent.name.endswith("000002") else really(path)
    embed(archive, shards)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL: left out that a killed run can go on")
@pytest.mark.parametrize(("moment", "kept", "left"), [("model", 2, 0), ("write", 1, 1)])
def test_a_killed_run_goes_on_to_the_same_rows(
    moment: str, kept: int, left: int, archive: Path, tmp_path: Path, shards: Path
):
    script = (
        "import importlib.util, pathlib, sys; module = importlib.util.spec_from_file_location('test', sys.argv[1]);"
        "test = importlib.util.module_from_spec(module); module.loader.exec_module(test);"
        "test.run_until_killed(sys.argv[2], *map(pathlib.Path, sys.argv[3:]))"
    )
    arguments = [sys.executable, "-c", script, __file__, moment, str(archive), str(shards)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list_shards(shards)) == kept
    assert sum(path.name.startswith(".tmp-") for path in shards.iterdir()) == left
    assert embedder.shards.remove_unfinished(shards) == left
    embed(archive, shards)
    assert everything(shards) == expected_rows(archive, tmp_path)


# ---------------------------------------------------------------- what was removed


def _say(shards: Path, path: Path, row: Callable[[str | None, str, int, int], PhotoRow]) -> None:
    """Write a row that takes a photo out of the album."""
    known = read_catalogue(shards).photos[str(path)]
    write_shard(
        shards, [row(known.photo_id, known.path, known.size, known.mtime_ns)], no_faces(DIMENSION), "feedfacecafe"
    )


def test_a_removed_photo_stays_out_and_is_not_even_decoded(archive: Path, shards: Path):
    embed(archive, shards)
    _say(shards, archive / "001.png", removed_row)
    faces = len(shown_faces(read_tables(shards)))
    assert counts(embed(archive, shards)) == {"seen": 13, "unchanged": 13}
    retry = dataclasses.replace(SMALL_STEPS, retry_unreadable=True)
    assert embed(archive, shards, settings=retry).removed == 0
    (archive / "001.png").rename(archive / "moved.png")
    (archive / "copy.png").write_bytes((archive / "moved.png").read_bytes())

    def decode_nothing(content: bytes, *, at_least: int | None = None) -> Photo:
        raise AssertionError("a removed photo was decoded")

    report = embed(archive, shards, QuickModel(), decode=decode_nothing)
    assert report.removed == 2 and report.finished == 2
    catalogue = read_catalogue(shards)
    assert catalogue.photos[str(archive / "copy.png")].status == "removed"
    assert len(catalogue.removed) == 1 and len(shown_faces(read_tables(shards))) == faces
    assert counts(embed(archive, shards)) == {"seen": 14, "unchanged": 14}


def test_a_changed_file_is_another_photo_and_comes_in(archive: Path, shards: Path):
    embed(archive, shards)
    _say(shards, archive / "001.png", removed_row)
    put(archive / "001.png", 999, faces=2)
    report = embed(archive, shards)
    assert (report.embedded, report.removed) == (1, 0)
    assert read_catalogue(shards).photos[str(archive / "001.png")].n_faces == 2


def test_what_was_gone_comes_back_with_its_file(archive: Path, shards: Path):
    """And is embedded again only if its faces are not in the shards any more."""
    embed(archive, shards)
    before = everything_shown(shards)
    _say(shards, archive / "001.png", gone_row)
    assert everything_shown(shards) != before
    model = QuickModel()
    assert embed(archive, shards, model).known_content == 1 and model.photos == 0
    assert everything_shown(shards) == before
    _say(shards, archive / "001.png", gone_row)
    compact_shards(shards, plan_compaction(shards))
    assert embed(archive, shards, model).embedded == 1
    assert sorted(everything_shown(shards)) == sorted(before)


def everything_shown(shards: Path) -> list[int]:
    """The faces that count."""
    return [int(face) for face in shown_faces(read_tables(shards)).face_ids]


def test_a_large_photo_is_decoded_in_part_and_again_only_when_asked(tmp_path: Path):
    """The row tells the whole photo's size; its file is read once."""
    path = tmp_path / "archive" / "large.jpg"
    path.parent.mkdir()
    Image.new("RGB", (2 * ENOUGH_PIXELS + 2, 40), (3, 3, 3)).save(path, "JPEG")
    asked: list[int | None] = []

    def count(content: bytes, *, at_least: int | None = None) -> Photo:
        asked.append(at_least)
        return decode(content, at_least=at_least)

    class Doubtful(QuickModel):
        def find_in(self, photos: Sequence[DecodedPhoto]) -> list[EmbeddedFaces]:
            (photo,) = photos
            assert photo.pixels.shape[1] == ENOUGH_PIXELS + 1
            whole = photo.whole()
            assert whole is not None and whole.shape[1::-1] == photo.size
            return super().find_in(photos)

    embed(tmp_path / "archive", tmp_path / "shards", Doubtful(), decode=count)
    assert asked == [ENOUGH_PIXELS, None]
    row = read_catalogue(tmp_path / "shards").photos[str(path)]
    assert (row.width, row.height, row.n_faces) == (2 * ENOUGH_PIXELS + 2, 40, 3)


def test_what_was_decoded_serves_where_the_whole_cannot_be_had(tmp_path: Path):
    path = tmp_path / "archive" / "large.jpg"
    path.parent.mkdir()
    Image.new("RGB", (2 * ENOUGH_PIXELS, 40), (1, 0, 0)).save(path, "JPEG")

    def refuse(content: bytes, *, at_least: int | None = None) -> Photo:
        if at_least is None:
            raise DecodeError("too large for that")
        return decode(content, at_least=at_least)

    class Doubtful(QuickModel):
        def find_in(self, photos: Sequence[DecodedPhoto]) -> list[EmbeddedFaces]:
            assert photos[0].whole() is None
            return super().find_in(photos)

    report = embed(tmp_path / "archive", tmp_path / "shards", Doubtful(), decode=refuse)
    assert (report.embedded, report.unreadable) == (1, 0)
