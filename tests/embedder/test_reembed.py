"""Known faces with another network: same rows, same ids, and a run that goes on where it stopped."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.decode import decode
from embedder.encode import Encoded
from embedder.model import FaceModel, ModelSpec, model_with
from embedder.pipeline import EmbedSettings
from embedder.pretrained import NETWORKS
from embedder.reembed import ReembedReport, paths_by_content, reembed_shards, shards_to_do
from embedder.rows import FaceRows, PhotoRow, face_id, gone_row, photo_id, removed_row
from embedder.shards import list_shards, read_faces, read_photos, write_shard
from embedder.tables import read_tables

SETTINGS = EmbedSettings(readers=2, chunk_photos=2)


class Colours(FaceModel):
    """A network whose embedding of a face is the colour where its first landmark lies."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.asked = 0

    def embed_known(self, photos, landmarks) -> list[Encoded]:
        self.asked += len(photos)
        found = []
        for photo, points in zip(photos, landmarks, strict=True):
            rows = np.zeros((len(points), self.spec.network.dimension), np.float32)
            for row, (x, y) in zip(rows, points[:, 0].astype(int), strict=True):
                row[:3] = photo[y, x] / np.linalg.norm(photo[y, x])
            found.append(Encoded(rows, np.full(len(rows), 9, np.float32), np.ones(len(rows))))
        return found


@pytest.fixture
def model() -> Colours:
    return Colours(model_with(dataclasses.replace(NETWORKS["sface"], dimension=4)))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two shards of three photos; each photo has two faces, one on its red, one on its coloured half."""
    folder, draw = tmp_path / "old", np.random.default_rng(0)
    for _ in range(2):
        rows, names, boxes, points = [], [], [], []
        for number in range(3):
            pixels = np.zeros((20, 40, 3), np.uint8)
            pixels[:, :20], pixels[:, 20:] = (200, 0, 0), draw.integers(20, 255, 3)
            path = tmp_path / f"{len(list(tmp_path.glob('*.png')))}.png"
            Image.fromarray(pixels).save(path)
            name = photo_id(path.read_bytes())
            rows.append(PhotoRow(name, str(path), path.stat().st_size, 7, 40, 20, None, "ok", None, 2))
            for place in (5, 30) if number else (30, 5):
                names.append(name)
                boxes.append((place - 3, 5, 7, 8))
                points.append(np.full((5, 2), (place, 10), np.float32))
        write_shard(folder, rows, faces_of(names, boxes, points), "0ld")
    return folder


def faces_of(names: list[str], boxes: list[tuple[int, ...]], points: list[np.ndarray]) -> FaceRows:
    ids = np.array([face_id(name, box) for name, box in zip(names, boxes, strict=True)], np.int64)
    numbers = np.linspace(0.4, 1, len(ids)).astype(np.float32)
    embeddings = np.zeros((len(ids), 2), np.float16)
    boxes_xywh, landmarks = np.array(boxes, np.int32).reshape(-1, 4), np.array(points).reshape(-1, 5, 2)
    return FaceRows(ids, names, boxes_xywh, landmarks, numbers, numbers[::-1], embeddings)


def renew(source: Path, target: Path, model: Colours, **more) -> ReembedReport:
    texts = paths_by_content(read_tables(source))
    paths = {name: [Path(text) for text in there] for name, there in texts.items()}
    return reembed_shards(source, target, model, paths, settings=SETTINGS, decode=decode, **more)


def pairs(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    olds, news = list_shards(source), list_shards(target)
    assert [shard.name for shard in olds] == [shard.name for shard in news]
    return zip(olds, news, strict=True)


def test_every_row_stays_and_only_embeddings_are_new(source: Path, tmp_path: Path, model: Colours) -> None:
    report = renew(source, tmp_path / "new", model)
    assert (report.shards, report.photos, report.faces, report.lost) == (2, 6, 12, 0)
    for old, new in pairs(source, tmp_path / "new"):
        assert read_photos(old) == read_photos(new)
        before, after = read_faces(old), read_faces(new)
        assert before.photo_ids == after.photo_ids
        for name in ("face_ids", "boxes_xywh", "landmarks", "confidences"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
        np.testing.assert_array_equal(after.qualities, np.full(len(after.face_ids), 0.5, np.float32))  # 9 of 5 to 13
        red = after.landmarks[:, 0, 0] < 20
        np.testing.assert_array_equal(after.embeddings[red], np.tile(np.float16([1, 0, 0, 0]), (3, 1)))
        assert (after.embeddings[~red][:, 1:3] > 0).all(), "the faces are not mixed up"


def test_a_stopped_run_goes_on_at_the_first_shard_that_is_not_whole(source: Path, tmp_path: Path, model) -> None:
    class Killed(BaseException):
        pass

    def kill(report: ReembedReport) -> None:
        if report.shards == 1 and report.photos > 4:
            raise Killed

    with pytest.raises(Killed):
        renew(source, tmp_path / "new", model, on_progress=kill)
    assert [shard.name for shard in list_shards(tmp_path / "new")] == ["000001"]
    assert shards_to_do(source, tmp_path / "new") == [source / "000002"]
    model.asked = 0
    renew(source, tmp_path / "new", model)
    assert model.asked == 3 and shards_to_do(source, tmp_path / "new") == []
    renew(source, tmp_path / "whole", model)
    for one, other in pairs(tmp_path / "new", tmp_path / "whole"):
        np.testing.assert_array_equal(read_faces(one).embeddings, read_faces(other).embeddings)


def test_a_shard_that_speaks_of_other_photos_is_made_anew(source: Path, tmp_path: Path, model: Colours) -> None:
    renew(source, tmp_path / "new", model)
    first = read_photos(source / "000001")
    shutil.rmtree(tmp_path / "new" / "000002")
    write_shard(tmp_path / "new", first[:1], faces_of([], [], []), "0ther")
    write_shard(tmp_path / "new", first[:1], faces_of([], [], []), "0ther")
    renew(source, tmp_path / "new", model)
    for old, new in pairs(source, tmp_path / "new"):
        assert read_photos(old) == read_photos(new)


def test_a_photo_that_no_file_holds_any_more_is_gone(source: Path, tmp_path: Path, model: Colours) -> None:
    row = read_photos(source / "000001")[1]
    Path(row.path).write_bytes(b"something else")
    report = renew(source, tmp_path / "new", model)
    assert (report.lost, report.faces) == (1, 10)
    photos = read_photos(tmp_path / "new" / "000001")
    assert photos[1] == gone_row(row.photo_id, row.path, row.size, row.mtime_ns)
    assert row.photo_id not in read_faces(tmp_path / "new" / "000001").photo_ids


def test_a_moved_photo_is_found_under_its_other_name(source: Path, tmp_path: Path, model: Colours) -> None:
    row = read_photos(source / "000001")[1]
    moved = Path(row.path).rename(tmp_path / "moved.png")
    write_shard(source, [dataclasses.replace(row, path=str(moved))], faces_of([], [], []), "0ld")
    report = renew(source, tmp_path / "new", model)
    assert (report.lost, report.faces, report.shards) == (0, 12, 3)


def test_removed_photos_stay_removed_and_are_not_read(source: Path, tmp_path: Path, model: Colours) -> None:
    row = read_photos(source / "000001")[0]
    out = removed_row(row.photo_id, row.path, row.size, row.mtime_ns)
    write_shard(source, [out], faces_of([], [], []), "0ld")
    renew(source, tmp_path / "new", model)
    assert model.asked == 5
    assert read_photos(tmp_path / "new" / "000003") == [out]
    assert row.photo_id not in read_faces(tmp_path / "new" / "000001").photo_ids
