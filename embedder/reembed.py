"""Embed the faces of shards with another network: same photos, boxes and landmarks, so that every face keeps its id.

Nothing is detected. The new shards have the names of the old ones and the same rows, in the same order. Left out are
only faces that no file shows any more; a killed run goes on at the first shard that is not whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedder.decode import Decode, DecodeError, Photo, decode
from embedder.encode import Encoded
from embedder.model import FaceModel
from embedder.pipeline import EmbedSettings
from embedder.pretrained import FaceNetwork
from embedder.quality import face_qualities
from embedder.rows import FaceRows, PhotoRow, gone_row, join_faces, no_faces, photo_id, select_faces
from embedder.shards import delete_shard, list_shards, read_faces, read_manifest, read_photos, write_named_shard
from embedder.tables import AlbumTables, shown_contents


@dataclass
class ReembedReport:
    """What a run did, counted while it goes on.

    Attributes:
        shards: that are whole in the new generation, those of earlier runs too.
        photos: with faces that were embedded again in this run.
        faces: that were embedded in this run.
        lost: photo_ids whose content no file holds any more: their faces are left out.
    """

    shards: int = 0
    photos: int = 0
    faces: int = 0
    lost: int = 0


@dataclass(frozen=True)
class _Faces:
    """The faces of one photo: their rows among those asked for, and the photo; None if no file holds it any more."""

    photo_id: str
    rows: np.ndarray
    photo: Photo | None


def paths_by_content(tables: AlbumTables) -> dict[str, list[str]]:
    """Give the paths that show each photo, by photo_id; a photo that none shows is left out."""
    ids = tables.contents.column("photo_id").to_pylist()
    shown = shown_contents(tables)
    paths: dict[str, list[str]] = {}
    columns = (tables.photos.column(name).to_pylist() for name in ("content", "path", "status"))
    for content, path, status in zip(*columns, strict=True):
        if status == "ok" and content >= 0 and shown[content]:
            paths.setdefault(ids[content], []).append(path)
    return paths


def shards_to_do(source: Path, target: Path) -> list[Path]:
    """List the shards of ``source`` that ``target`` does not have yet, oldest first."""
    return [shard for shard in list_shards(source) if not _is_copy(target / shard.name, shard)]


def reembed_shards(
    source: Path,
    target: Path,
    model: FaceModel,
    paths: Mapping[str, Sequence[Path]],
    on_progress: Callable[[ReembedReport], None] = lambda report: None,
    *,
    settings: EmbedSettings,
    decode: Decode = decode,
) -> ReembedReport:
    """Bring ``target`` up to ``source``, with the embeddings of ``model``.

    Args:
        source: folder of shards that another model made, with the same detector.
        target: folder of the shards to be made. The caller holds the album's lock.
        model: embeds the faces; it does not look for any.
        paths: photo_id → files that show the photo, see ``paths_by_content``. Faces of others are left out.
        settings: how the work is cut up: chunks and readers.
        decode: as for ``embedder.pipeline.embed_photos``.
    Raises:
        embedder.shards.ShardError: if a shard of ``source`` is damaged.
        OSError: if a shard cannot be written; those before it stay.
    """
    report = ReembedReport()
    wanted = list_shards(source)
    for stray in {shard.name for shard in list_shards(target)} - {shard.name for shard in wanted}:
        delete_shard(target / stray)
    with ThreadPoolExecutor(settings.readers, thread_name_prefix="reader") as pool:
        reader = _Reader(paths, pool, decode, settings)
        for shard in wanted:
            if not _is_copy(target / shard.name, shard):
                photos, faces = _embed_shard(shard, model, reader, report, on_progress)
                if (target / shard.name).exists():
                    delete_shard(target / shard.name)
                write_named_shard(target / shard.name, photos, faces, model.spec.fingerprint())
            report.shards += 1
            on_progress(report)
    return report


def embed_faces_of(
    names: Sequence[str],
    landmarks: np.ndarray,
    model: FaceModel,
    paths: Mapping[str, Sequence[Path]],
    on_progress: Callable[[int, int], None] = lambda photos, faces: None,
    *,
    settings: EmbedSettings,
    decode: Decode = decode,
) -> np.ndarray:
    """Embed N known faces; nothing is stored.

    Args:
        names: photo_id of each.
        landmarks: float32 (N, 5, 2), pixels of the upright photo.
        model, paths, settings, decode: as for ``reembed_shards``.
        on_progress: called after each chunk with photos and faces so far.
    Returns:
        float32 (N, D), unit rows; zeros for a face that no file shows any more.
    """
    embeddings = np.zeros((len(names), model.spec.network.dimension), np.float32)
    photos = faces = 0
    with ThreadPoolExecutor(settings.readers, thread_name_prefix="reader") as pool:
        for chunk in _Reader(paths, pool, decode, settings).chunks(names):
            for found, encoded in _embed_chunk(chunk, landmarks, model):
                embeddings[found.rows] = encoded.embeddings
            photos, faces = photos + len(chunk), faces + sum(len(found.rows) for found in chunk)
            on_progress(photos, faces)
    return embeddings


def _embed_shard(
    shard: Path,
    model: FaceModel,
    reader: _Reader,
    report: ReembedReport,
    on_progress: Callable[[ReembedReport], None],
) -> tuple[list[PhotoRow], FaceRows]:
    """Give the rows of a shard as they are with the model."""
    faces, lost = read_faces(shard), set()
    parts = [no_faces(model.spec.network.dimension)]
    for chunk in reader.chunks(faces.photo_ids):
        lost |= {found.photo_id for found in chunk if found.photo is None}
        for found, encoded in _embed_chunk(chunk, faces.landmarks, model):
            parts.append(_encoded(select_faces(faces, found.rows), encoded, model.spec.network))
            report.photos += 1
            report.faces += len(found.rows)
        report.lost += sum(found.photo is None for found in chunk)
        on_progress(report)
    photos = [
        gone_row(row.photo_id, row.path, row.size, row.mtime_ns) if row.status == "ok" and row.photo_id in lost else row
        for row in read_photos(shard)
    ]
    return photos, join_faces(parts)


def _embed_chunk(chunk: Sequence[_Faces], landmarks: np.ndarray, model: FaceModel) -> Iterator[tuple[_Faces, Encoded]]:
    """Yield the embeddings of each photo that is there."""
    there = [found for found in chunk if found.photo is not None]
    pixels = [found.photo.pixels for found in there if found.photo is not None]
    if there:
        yield from zip(there, model.embed_known(pixels, [landmarks[found.rows] for found in there]), strict=True)


@dataclass(frozen=True)
class _Reader:
    """Reads the photos of known faces ahead, in a pool of threads."""

    paths: Mapping[str, Sequence[Path]]
    pool: ThreadPoolExecutor
    decode: Decode
    settings: EmbedSettings

    def chunks(self, names: Sequence[str]) -> Iterator[list[_Faces]]:
        """Give the photos of faces, each once, in chunks; a photo without a path is passed over.

        Args:
            names: photo_id of each face.
        """
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            if name in self.paths:
                rows.setdefault(name, []).append(row)
        return _chunks(self._ahead(rows), self.settings)

    def _ahead(self, rows: Mapping[str, list[int]]) -> Iterator[_Faces]:
        waiting: deque[Future[_Faces]] = deque()
        for name, places in rows.items():
            waiting.append(self.pool.submit(self._read, name, np.array(places, np.int64)))
            if len(waiting) > 4 * self.settings.readers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _read(self, name: str, rows: np.ndarray) -> _Faces:
        """Decode a photo from the first file that still holds it."""
        for path in self.paths[name]:
            try:
                content = path.read_bytes()
                if photo_id(content) == name:
                    return _Faces(name, rows, self.decode(content))
            except (OSError, DecodeError):
                continue  # the next path may do; without any the photo counts as lost, which is told
        return _Faces(name, rows, None)


def _chunks(photos: Iterator[_Faces], settings: EmbedSettings) -> Iterator[list[_Faces]]:
    chunk: list[_Faces] = []
    pixels = 0
    for photo in photos:
        chunk.append(photo)
        pixels += 0 if photo.photo is None else photo.photo.pixels.size // 3
        if len(chunk) >= settings.chunk_photos or pixels >= settings.chunk_pixels:
            yield chunk
            chunk, pixels = [], 0
    if chunk:
        yield chunk


def _encoded(faces: FaceRows, encoded: Encoded, network: FaceNetwork) -> FaceRows:
    return FaceRows(
        faces.face_ids,
        faces.photo_ids,
        faces.boxes_xywh,
        faces.landmarks,
        faces.confidences,
        face_qualities(faces.boxes_xywh, faces.confidences, encoded.lengths, encoded.agreements, network.quality),
        encoded.embeddings.astype(np.float16),
    )


def _is_copy(shard: Path, source: Path) -> bool:
    """Whether ``shard`` is there and speaks of as many photos as ``source``: under its name a shard is whole."""
    return shard.exists() and read_manifest(shard).photos == read_manifest(source).photos
