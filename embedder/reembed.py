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

from embedder.decode import DecodeError, Photo, decode
from embedder.model import FaceModel
from embedder.pipeline import EmbedSettings
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
    """The faces of one photo in a shard: their rows there, and the photo's pixels; None if no file shows it."""

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
    decode: Callable[[bytes], Photo] = decode,
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
        for shard in wanted:
            if not _is_copy(target / shard.name, shard):
                work = _Shard(shard, paths, pool, decode)
                photos, faces = work.embed(model, settings, report, on_progress)
                if (target / shard.name).exists():
                    delete_shard(target / shard.name)
                write_named_shard(target / shard.name, photos, faces, model.spec.fingerprint())
            report.shards += 1
            on_progress(report)
    return report


class _Shard:
    """One shard on its way into the new generation."""

    def __init__(
        self,
        shard: Path,
        paths: Mapping[str, Sequence[Path]],
        pool: ThreadPoolExecutor,
        decode: Callable[[bytes], Photo],
    ) -> None:
        self._photos, self._faces = read_photos(shard), read_faces(shard)
        self._paths, self._pool, self._decode = paths, pool, decode

    def embed(
        self,
        model: FaceModel,
        settings: EmbedSettings,
        report: ReembedReport,
        on_progress: Callable[[ReembedReport], None],
    ) -> tuple[list[PhotoRow], FaceRows]:
        """Give the rows of the new shard."""
        parts, lost = [no_faces(model.spec.network.dimension)], set()
        for chunk in _chunks(self._ahead(4 * settings.readers), settings):
            there = [faces for faces in chunk if faces.photo is not None]
            lost |= {faces.photo_id for faces in chunk if faces.photo is None}
            if there:
                pixels = [faces.photo.pixels for faces in there if faces.photo is not None]
                embeddings = model.embed_known(pixels, [self._faces.landmarks[faces.rows] for faces in there])
                parts += [
                    _with_embeddings(select_faces(self._faces, faces.rows), rows)
                    for faces, rows in zip(there, embeddings, strict=True)
                ]
            report.photos += len(there)
            report.faces += sum(len(faces.rows) for faces in there)
            report.lost += len(chunk) - len(there)
            on_progress(report)
        photos = [
            gone_row(row.photo_id, row.path, row.size, row.mtime_ns)
            if row.status == "ok" and row.photo_id in lost
            else row
            for row in self._photos
        ]
        return photos, join_faces(parts)

    def _ahead(self, ahead: int) -> Iterator[_Faces]:
        """Read the photos with faces in the pool, in the order of the shard."""
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self._faces.photo_ids):
            if name in self._paths:
                rows.setdefault(name, []).append(row)
        waiting: deque[Future[_Faces]] = deque()
        for name, places in rows.items():
            waiting.append(self._pool.submit(self._read, name, np.array(places, np.int64)))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _read(self, name: str, rows: np.ndarray) -> _Faces:
        """Decode a photo from the first file that still holds it."""
        for path in self._paths[name]:
            try:
                content = path.read_bytes()
                if photo_id(content) == name:
                    return _Faces(name, rows, self._decode(content))
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


def _with_embeddings(faces: FaceRows, embeddings: np.ndarray) -> FaceRows:
    return FaceRows(
        faces.face_ids,
        faces.photo_ids,
        faces.boxes_xywh,
        faces.landmarks,
        faces.confidences,
        faces.qualities,
        embeddings.astype(np.float16),
    )


def _is_copy(shard: Path, source: Path) -> bool:
    """Whether ``shard`` is there and speaks of as many photos as ``source``: under its name a shard is whole."""
    return shard.exists() and read_manifest(shard).photos == read_manifest(source).photos
