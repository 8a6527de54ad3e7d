"""Albums for tests: a small made-up one that needs no model, and one of the demo's pictures that does."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from embedder.model import choose_model
from embedder.rows import FaceRows, PhotoRow, face_id, photo_id
from embedder.shards import write_shard
from indexer.album import Album, open_or_create
from indexer.cli import cli
from indexer.demo import DemoPhotos, make_photos
from indexer.search import album_index

AlbumMaker = Callable[[dict[str, Sequence[Sequence[float]]]], Album]


@pytest.fixture
def make_album(tmp_path: Path) -> AlbumMaker:
    """Give a function that makes an album: photo name → a direction in space for each of its faces.

    The photos are real files (grey, with a number drawn in), the embeddings are what is given, as
    unit vectors padded with zeros to 128 numbers. Each call adds a shard.
    """

    def make(photos: dict[str, Sequence[Sequence[float]]]) -> Album:
        spec = choose_model("sface")
        album = open_or_create(tmp_path / "album", spec.name, spec.fingerprint())
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        rows, names, boxes, vectors = [], [], [], []
        for name, faces in photos.items():
            path = folder / name
            picture = np.full((120, 100 * max(1, len(faces)), 3), 128, np.uint8)
            cv2.putText(picture, name, (5, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255))
            cv2.imwrite(str(path), picture)
            content = path.read_bytes()
            status = path.stat()
            height, width = picture.shape[:2]
            known = photo_id(content), str(path), status.st_size, status.st_mtime_ns
            rows.append(PhotoRow(*known, width, height, None, "ok", None, len(faces)))
            for number, face in enumerate(faces):
                names.append(photo_id(content))
                boxes.append((10 + 100 * number, 10, 80, 90))
                vectors.append(np.pad(np.array(face, np.float32), (0, 128 - len(face))))
        count = len(names)
        embeddings = np.array(vectors, np.float32).reshape(count, 128)
        embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-9)
        table = FaceRows(
            np.array([face_id(n, b) for n, b in zip(names, boxes, strict=True)], np.int64),
            names,
            np.array(boxes, np.int32).reshape(count, 4),
            np.zeros((count, 5, 2), np.float32),
            np.ones(count, np.float32),
            np.ones(count, np.float32),
            embeddings.astype(np.float16),
        )
        write_shard(album.shards, rows, table, album.fingerprint)
        return album

    return make


@pytest.fixture
def cells_from_16_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let albums of 17 faces and more be searched in cells, as large ones are."""
    for name in ("open_index", "describe_index", "refresh_index"):
        monkeypatch.setattr(album_index, name, partial(getattr(album_index, name), exact_up_to=16))


@pytest.fixture(scope="session")
def demo_photos(tmp_path_factory: pytest.TempPathFactory) -> DemoPhotos:
    """The demo's pictures of two people; they come with pip packages."""
    return make_photos(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def run() -> Callable[..., Result]:
    """Give a function that runs `visavis` with arguments and returns its exit code, stdout and stderr."""

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture(scope="session")
def embedded_demo(
    demo_photos: DemoPhotos, weights: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An album that holds the demo's pictures. Not to be changed: ``demo_album`` is a copy that may be."""
    weights("centerface"), weights("sface")
    album = tmp_path_factory.mktemp("embedded") / "album"
    result = CliRunner().invoke(cli, ["index", "--album", str(album), str(demo_photos.archive)])
    assert result.exit_code == 0, result.output
    return album


@pytest.fixture
def demo_album(embedded_demo: Path, tmp_path: Path) -> Path:
    """A copy of the album of the demo's pictures."""
    return Path(shutil.copytree(embedded_demo, tmp_path / "album"))
