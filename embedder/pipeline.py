"""From photo files to shards: read and decode ahead, embed in chunks, write whole shards."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from embedder.catalogue import Catalogue
from embedder.changes import Changes
from embedder.content_table import ContentTable
from embedder.decode import MAX_PIXELS, Decode, DecodeError, Photo, decode
from embedder.model import ENOUGH_PIXELS, DecodedPhoto, EmbeddedFaces, FaceModel
from embedder.paths import path_text
from embedder.report import EmbedReport
from embedder.rows import Content, FaceRows, PhotoRow, face_id, join_faces, no_faces, photo_id, removed_row
from embedder.scan import PhotoFile, UnusableFile, can_be_read, read_photo, why_unread
from embedder.shards import write_shard

_PIXELS_AHEAD = 200_000_000  # decoded photos that wait for the model take 600 MB at most, but for a sudden huge one


@dataclass(frozen=True)
class EmbedSettings:
    """How the work is cut up, and which photos are taken. How it is cut up changes no row.

    Attributes:
        shard_photos: a shard is closed after this many photos; a kill loses no more than that.
        chunk_photos, chunk_pixels: photos are embedded together until one of the limits is reached.
        readers: threads that read and decode; OpenCV and Pillow let go of the interpreter meanwhile.
        retry_unreadable: look again at files that could not be decoded before.
        max_pixels: larger photos are not decoded. It holds in the decoder that ``embed_photos`` is given.
    """

    shard_photos: int = 1024
    chunk_photos: int = 64
    chunk_pixels: int = 100_000_000
    readers: int = os.cpu_count() or 1
    retry_unreadable: bool = False
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class _ReadPhoto:
    """A file after reading.

    Attributes:
        file: which.
        photo_id: None if it could not be read.
        photo: decoded; None if that failed or was not needed.
        twin: what is known of the same content, which spares decoding.
        reason: why there is nothing to embed, or None.
        removed: whether this content was removed from the album by hand.
        content: the file, as long as not all of its pixels are decoded.
    """

    file: PhotoFile
    photo_id: str | None = None
    photo: Photo | None = None
    twin: Content | None = None
    reason: str | None = None
    removed: bool = False
    content: bytes | None = None

    @property
    def pixels(self) -> int:
        """How many are decoded; a content that is kept counts as those that take as much memory."""
        return 0 if self.photo is None else (self.photo.pixels.size + len(self.content or b"")) // 3

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright photo, (0, 0) if it is not known."""
        if self.photo is not None:
            return self.photo.size
        return (self.twin.width, self.twin.height) if self.twin is not None else (0, 0)


def embed_photos(
    files: Iterable[PhotoFile],
    model: FaceModel,
    shards: Path,
    catalogue: Catalogue,
    settings: EmbedSettings,
    on_progress: Callable[[EmbedReport], None] = lambda report: None,
    *,
    decode: Decode = decode,
) -> EmbedReport:
    """Embed the photos that the catalogue does not have, and write them as shards.

    Interrupting (KeyboardInterrupt) writes what is finished, then goes on to the caller.

    Args:
        files: from ``scan``; their order decides the order of the rows.
        model: finds and embeds the faces.
        shards: folder to write to. The caller holds the album's lock.
        catalogue: what is there already.
        settings: how the work is cut up.
        on_progress: called after each chunk with the report so far.
        decode: called from several threads; ``DecodePool.decode`` keeps what it does out of this process.
    Raises:
        OSError: if a shard cannot be written; those before it stay.
    """
    report = EmbedReport()
    work = _Open(shards, model, catalogue, report, decode)
    new_files = _count_known(files, catalogue, settings, report)
    with ThreadPoolExecutor(settings.readers, thread_name_prefix="reader") as pool:
        photos = _ahead(
            pool, lambda file: _read(file, work.twin, catalogue.removed, decode), new_files, 4 * settings.readers
        )
        try:
            for chunk in _chunks(photos, settings):
                work.add(chunk)
                on_progress(report)
                if work.photos >= settings.shard_photos:
                    work.close_shard()
            work.close_shard()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            work.close_shard()
            raise
    on_progress(report)
    return report


class _Open:
    """The open shard: rows that are not yet written."""

    def __init__(
        self, shards: Path, model: FaceModel, catalogue: Catalogue, report: EmbedReport, decode: Decode
    ) -> None:
        self._known, self._new_twins = catalogue.embedded, ContentTable()
        self._changes = Changes(catalogue)
        self._parts: list[tuple[list[PhotoRow], list[FaceRows]]] = []
        self._shards, self._model, self._report, self._decode = shards, model, report, decode

    def twin(self, photo_id: str | None) -> Content | None:
        """Give what is known of a content that is embedded already, before this run or in it."""
        if photo_id is None:
            return None
        return self._new_twins.get(photo_id) or self._known.get(photo_id)

    @property
    def photos(self) -> int:
        """How many rows are waiting."""
        return sum(len(rows) for rows, _ in self._parts)

    def add(self, chunk: list[_ReadPhoto]) -> None:
        """Embed a chunk and keep its rows."""
        new: dict[str, DecodedPhoto] = {}
        for read in chunk:
            if read.photo is not None and self.twin(read.photo_id) is None:
                photo = DecodedPhoto(read.photo.pixels, read.photo.size, partial(self._whole, read.content))
                new.setdefault(str(read.photo_id), photo)
        found = dict(zip(new, self._model.find_in(list(new.values())), strict=True))
        rows = []
        for read in chunk:
            if read.removed and read.photo_id is not None:
                row = removed_row(read.photo_id, path_text(read.file.path), read.file.size, read.file.mtime_ns)
            else:
                row = _photo_row(read, found.get(str(read.photo_id)), self.twin(read.photo_id))
            rows.append(row)
            self._count(row, read)
            rows += self._former_path(row)
            if row.status == "ok" and row.photo_id is not None:
                self._new_twins.add(row.photo_id, Content(row.width, row.height, row.taken_at, row.n_faces))
        # One step, so that an interrupt leaves both or none.
        self._parts.append((rows, [_face_rows(name, faces) for name, faces in found.items()]))
        self._report.faces += sum(len(faces) for faces in found.values())

    def _whole(self, content: bytes | None) -> np.ndarray | None:
        try:
            return None if content is None else self._decode(content).pixels
        except DecodeError:  # as for want of memory; what was decoded serves
            return None

    def close_shard(self) -> None:
        """Write the rows, if there are any."""
        if self._parts:
            nothing = no_faces(self._model.spec.network.dimension)
            faces = join_faces([nothing, *(table for _, tables in self._parts for table in tables)])
            photos = [row for rows, _ in self._parts for row in rows]
            write_shard(self._shards, photos, faces, self._model.spec.fingerprint())
            self._parts = []

    def _former_path(self, row: PhotoRow) -> list[PhotoRow]:
        """Count what a file is to the album; a moved one's former path gets a row that takes it out."""
        if row.status != "ok":
            return []
        name = str(row.photo_id)
        change, former = self._changes.of_file(row.path, name, shown_before=name in self._new_twins)
        self._report.changes[change] += 1
        if former is None:
            return []
        self._report.moved_from.add(former.path)
        return [former]

    def _count(self, row: PhotoRow, read: _ReadPhoto) -> None:
        if read.removed:
            self._report.removed += 1
        elif row.reason is not None:
            self._report.reasons.append((row.path, row.reason))
        elif read.photo is None or self.twin(read.photo_id) is not None:
            self._report.known_content += 1
        else:
            self._report.embedded += 1


def _photo_row(read: _ReadPhoto, found: EmbeddedFaces | None, twin: Content | None) -> PhotoRow:
    faces = len(found) if found is not None else twin.n_faces if twin is not None else 0
    width, height = read.size
    return PhotoRow(
        photo_id=read.photo_id,
        path=path_text(read.file.path),
        size=read.file.size,
        mtime_ns=read.file.mtime_ns,
        width=width,
        height=height,
        taken_at=read.photo.taken_at if read.photo is not None else read.twin.taken_at if read.twin else None,
        status="ok" if read.reason is None else "unreadable",
        reason=read.reason,
        n_faces=faces if read.reason is None else 0,
    )


def _read(
    file: PhotoFile,
    twin_of: Callable[[str], Content | None],
    removed: Container[str],
    decode: Decode,
) -> _ReadPhoto:
    """Read and decode one file; a failure is the reason in the result, not an exception."""
    if file.problem is not None:
        return _ReadPhoto(file, reason=file.problem)
    try:
        content = read_photo(file.path)
    except (OSError, UnusableFile) as error:
        return _ReadPhoto(file, reason=why_unread(error))
    name = photo_id(content)
    if name in removed:
        return _ReadPhoto(file, name, removed=True)
    twin = twin_of(name)
    if twin is not None:
        return _ReadPhoto(file, name, twin=twin)
    try:
        photo = decode(content, at_least=ENOUGH_PIXELS)
        return _ReadPhoto(file, name, photo, content=content if photo.reduced else None)
    except DecodeError as error:
        return _ReadPhoto(file, name, reason=str(error))


def is_known(file: PhotoFile, catalogue: Catalogue, settings: EmbedSettings) -> bool:
    """Whether the catalogue has this file as it is now, by path, size and time.

    A file that could not even be read then, for want of permission or of a drive that answers, counts as new once
    it can be.
    """
    path = path_text(file.path)
    status = catalogue.photos.as_they_were(path, file.size, file.mtime_ns)
    if status != "unreadable":
        return status in ("ok", "removed")
    if settings.retry_unreadable:
        return False
    return catalogue.photos.was_read(path) or file.problem is not None or not can_be_read(file.path)


def _count_known(
    files: Iterable[PhotoFile], catalogue: Catalogue, settings: EmbedSettings, report: EmbedReport
) -> Iterator[PhotoFile]:
    for file in files:
        report.seen += 1
        if is_known(file, catalogue, settings):
            report.unchanged += 1
        else:
            yield file


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[PhotoFile], _ReadPhoto], files: Iterator[PhotoFile], ahead: int
) -> Iterator[_ReadPhoto]:
    """Read files in the pool, at most ``ahead`` of them early, and give them in their order.

    Where photos are huge, fewer: as many as ``_PIXELS_AHEAD`` are enough for, but two. So it begins, too.
    """
    waiting: deque[Future[_ReadPhoto]] = deque()
    large = _PIXELS_AHEAD // 2  # pixels of a photo, as large as they came lately
    for file in files:
        while len(waiting) >= max(2, min(ahead, _PIXELS_AHEAD // large)):
            photo = waiting.popleft().result()
            large = max(photo.pixels, large * 3 // 4, 1)
            yield photo
        waiting.append(pool.submit(read, file))
    while waiting:
        yield waiting.popleft().result()


def _chunks(photos: Iterator[_ReadPhoto], settings: EmbedSettings) -> Iterator[list[_ReadPhoto]]:
    """Cut the photos up. Where a cut lies depends only on the photos since the last one."""
    chunk: list[_ReadPhoto] = []
    pixels = 0
    for photo in photos:
        chunk.append(photo)
        pixels += photo.pixels
        if len(chunk) >= settings.chunk_photos or pixels >= settings.chunk_pixels:
            yield chunk
            chunk, pixels = [], 0
    if chunk:
        yield chunk


def _face_rows(name: str, faces: EmbeddedFaces) -> FaceRows:
    return FaceRows(
        np.array([face_id(name, box) for box in faces.boxes_xywh], np.int64),
        [name] * len(faces),
        faces.boxes_xywh,
        faces.landmarks,
        faces.confidences,
        faces.qualities,
        faces.embeddings.astype(np.float16),
    )
