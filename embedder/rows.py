"""The rows of a shard in memory, and how photos and faces are named."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import numpy as np

from embedder.vectors import Vectors

STATUSES = frozenset({"ok", "unreadable", "removed", "gone"})
"""See ``PhotoRow.status``."""


@dataclass(frozen=True)
class PhotoRow:
    r"""A photo as it was seen once. The last row of a path is the valid one.

    Attributes:
        photo_id: first 128 bits of the SHA-256 of the file's content, as 32 hex digits; None if
            the file could not even be read.
        path: absolute; bytes that are not UTF-8 are written as ``\xNN``.
        size, mtime_ns: of the file, to see whether it changed.
        width, height: pixels of the upright photo; 0 if it could not be decoded.
        taken_at: local time of the camera; with its zone if the camera says so, as a fixed offset.
        status: "ok"; "unreadable"; "removed": by hand, and its content with it, under whatever path; "gone": the
            file was not there any more, and is taken in again when it comes back.
        reason: why it is not "ok", else None.
        n_faces: faces found in it.
    """

    photo_id: str | None
    path: str
    size: int
    mtime_ns: int
    width: int
    height: int
    taken_at: datetime | None
    status: str
    reason: str | None
    n_faces: int


@dataclass(frozen=True)
class FaceRows:
    """N faces, in columns.

    Attributes:
        face_ids: int64 (N,), see ``face_id``.
        photo_ids: N strings.
        boxes_xywh: int32 (N, 4), pixels of the upright photo.
        landmarks: float32 (N, 5, 2), pixels of the upright photo.
        confidences: float32 (N,), of the detector, 0–1.
        qualities: float32 (N,), 0–1; how much the embedding can be relied on.
        embeddings: float16 (N, D), unit rows.
    """

    face_ids: np.ndarray
    photo_ids: list[str]
    boxes_xywh: np.ndarray
    landmarks: np.ndarray
    confidences: np.ndarray
    qualities: np.ndarray
    embeddings: np.ndarray

    def __len__(self) -> int:
        return len(self.face_ids)


@dataclass(frozen=True)
class FaceColumns:
    """N faces of many photos, in columns: what answers are made from.

    Attributes:
        face_ids: int64 (N,), see ``face_id``.
        contents: int32 (N,), number of the photo's content; faces of one photo have the same.
        boxes_xywh: int32 (N, 4), pixels of the upright photo.
        landmarks: float32 (N, 5, 2), pixels of the upright photo.
        confidences: float32 (N,), of the detector, 0–1.
        qualities: float32 (N,), 0–1; how much the embedding can be relied on.
        embeddings: (N, D), unit rows as stored.
    """

    face_ids: np.ndarray
    contents: np.ndarray
    boxes_xywh: np.ndarray
    landmarks: np.ndarray
    confidences: np.ndarray
    qualities: np.ndarray
    embeddings: Vectors

    def __len__(self) -> int:
        return len(self.face_ids)

    def select(self, rows: np.ndarray) -> FaceColumns:
        """Give the faces at ``rows`` (int64), in that order; embeddings are not read for it."""
        return FaceColumns(
            self.face_ids[rows],
            self.contents[rows],
            self.boxes_xywh[rows],
            self.landmarks[rows],
            self.confidences[rows],
            self.qualities[rows],
            self.embeddings.select(rows),
        )


@dataclass(frozen=True, slots=True)
class Content:
    """What is known of a photo's content, under whatever path: pixels of the upright photo, camera's time, faces."""

    width: int
    height: int
    taken_at: datetime | None
    n_faces: int


def without_zone(moment: datetime | None) -> tuple[datetime | None, int | None]:
    """Split a moment: (local time, minutes that it is ahead of UTC); each None if it is not known."""
    if moment is None:
        return None, None
    offset = moment.utcoffset()
    return moment.replace(tzinfo=None), None if offset is None else round(offset.total_seconds() / 60)


def with_zone(local: datetime | None, utc_offset: int | None) -> datetime | None:
    """Put a moment together again from what ``without_zone`` gave."""
    if local is None or utc_offset is None:
        return local
    return local.replace(tzinfo=timezone(timedelta(minutes=utc_offset)))


def removed_row(photo_id: str | None, path: str, size: int, mtime_ns: int) -> PhotoRow:
    """Make the row of a photo that was removed by hand; of what it showed it holds nothing."""
    return PhotoRow(photo_id, path, size, mtime_ns, 0, 0, None, "removed", "removed from the album", 0)


def gone_row(photo_id: str | None, path: str, size: int, mtime_ns: int) -> PhotoRow:
    """Make the row of a photo whose file is not there any more."""
    return PhotoRow(photo_id, path, size, mtime_ns, 0, 0, None, "gone", "the file was not there any more", 0)


def photo_id(content: bytes) -> str:
    """Name a photo by its content: the first 32 hex digits of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:32]


def face_id(photo: str, box_xywh: Sequence[int]) -> int:
    """Name a face by its photo and box, the same in every run: an int64 above 0."""
    digest = hashlib.sha256(f"{photo}:{','.join(str(int(v)) for v in box_xywh)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1 or 1


def no_faces(dimension: int) -> FaceRows:
    """Give zero faces with embeddings of ``dimension`` numbers."""
    return FaceRows(
        np.empty(0, np.int64),
        [],
        np.empty((0, 4), np.int32),
        np.empty((0, 5, 2), np.float32),
        np.empty(0, np.float32),
        np.empty(0, np.float32),
        np.empty((0, dimension), np.float16),
    )


def join_faces(parts: Sequence[FaceRows]) -> FaceRows:
    """Put tables of faces one after the other; there must be at least one."""
    return FaceRows(
        np.concatenate([p.face_ids for p in parts]),
        [name for p in parts for name in p.photo_ids],
        np.concatenate([p.boxes_xywh for p in parts]),
        np.concatenate([p.landmarks for p in parts]),
        np.concatenate([p.confidences for p in parts]),
        np.concatenate([p.qualities for p in parts]),
        np.concatenate([p.embeddings for p in parts]),
    )


def select_faces(faces: FaceRows, rows: np.ndarray) -> FaceRows:
    """Give the faces at ``rows`` (int64), in that order."""
    return FaceRows(
        faces.face_ids[rows],
        [faces.photo_ids[row] for row in rows],
        faces.boxes_xywh[rows],
        faces.landmarks[rows],
        faces.confidences[rows],
        faces.qualities[rows],
        faces.embeddings[rows],
    )
