"""Write shards anew without the rows that no longer count, so that nothing is left of them in any file.

A face counts while some file shows its photo, and once. A photo row counts if it is the newest of its path, or the
newest that speaks of its content: that the content was removed is told by it. Whatever is left out changes nothing
of what the shards say, so that a kill between two shards, or between a new generation and the end of the former
one, leaves the album as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedder.rows import select_faces
from embedder.shards import (
    delete_shard,
    list_shards,
    read_face_columns,
    read_faces,
    read_photo_table,
    read_photos,
    remove_unfinished,
    write_generation,
)


@dataclass(frozen=True)
class Rewrite:
    """A shard that holds rows that no longer count.

    Attributes:
        shard: its folder.
        photos, faces: int64, the rows that stay.
        photos_left_out, faces_left_out: how many do not.
    """

    shard: Path
    photos: np.ndarray
    faces: np.ndarray
    photos_left_out: int
    faces_left_out: int


@dataclass(frozen=True)
class _Rows:
    """What decides about the rows of a shard: photo_id and path of its photos, photo_id and face_id of its faces."""

    contents: list[str | None]
    paths: list[str]
    status: list[str]
    face_contents: list[str]
    face_ids: list[int]


def plan_compaction(folder: Path) -> list[Rewrite]:
    """Find the shards in ``folder`` that hold rows which no longer count, oldest first.

    Raises:
        embedder.shards.ShardError: if a shard is damaged.
    """
    shards = list_shards(folder)
    rows = [_read_rows(shard) for shard in shards]
    newest_of_path: dict[str, tuple[int, int]] = {}
    newest_of_content: dict[str, tuple[int, int]] = {}
    for number, part in enumerate(rows):
        for place, (path, content) in enumerate(zip(part.paths, part.contents, strict=True)):
            newest_of_path[path] = number, place
            if content is not None:
                newest_of_content[content] = number, place
    shown = {rows[n].contents[p] for n, p in newest_of_path.values() if rows[n].status[p] == "ok"}
    counting: list[set[int]] = [set() for _ in shards]
    for number, place in (*newest_of_path.values(), *newest_of_content.values()):
        counting[number].add(place)
    seen: set[int] = set()
    plan = []
    for shard, part, rows_that_count in zip(shards, rows, counting, strict=True):
        faces = _faces_that_count(part, shown, seen)
        photos = _photos_that_count(part, rows_that_count, faces)
        left_out = len(part.paths) - len(photos), len(part.face_ids) - len(faces)
        if any(left_out):
            plan.append(Rewrite(shard, np.array(photos, np.int64), np.array(faces, np.int64), *left_out))
    return plan


def compact_shards(
    folder: Path, plan: list[Rewrite], on_progress: Callable[[int], None] = lambda finished: None
) -> None:
    """Carry out a plan, and delete what killed writers left. The caller holds the album's lock.

    Args:
        on_progress: called after each shard with how many are finished.
    Raises:
        OSError: if the disk is full; every row is still there then.
    """
    remove_unfinished(folder)
    last = list_shards(folder)[-1:]
    for finished, rewrite in enumerate(plan, 1):
        # The last one stays, though it be empty: no number is given twice.
        if len(rewrite.photos) or [rewrite.shard] == last:
            photos = read_photos(rewrite.shard)
            faces = select_faces(read_faces(rewrite.shard), rewrite.faces)
            write_generation(rewrite.shard, [photos[row] for row in rewrite.photos.tolist()], faces)
        delete_shard(rewrite.shard)
        on_progress(finished)


def _read_rows(shard: Path) -> _Rows:
    photos = read_photo_table(shard)
    face_contents, faces = read_face_columns(shard)
    contents, paths, status = (photos.column(name).to_pylist() for name in ("photo_id", "path", "status"))
    return _Rows(contents, paths, status, face_contents.to_pylist(), faces.face_ids.tolist())


def _faces_that_count(part: _Rows, shown: set[str | None], seen: set[int]) -> list[int]:
    kept = []
    for row, (face, content) in enumerate(zip(part.face_ids, part.face_contents, strict=True)):
        if content in shown and face not in seen:
            seen.add(face)
            kept.append(row)
    return kept


def _photos_that_count(part: _Rows, counting: set[int], faces: list[int]) -> list[int]:
    """Give the rows that count, with one for each photo whose faces stay in this shard."""
    missing = {part.face_contents[row] for row in faces} - {part.contents[row] for row in counting}
    kept = set(counting)
    for row in reversed(range(len(part.contents))):
        if part.contents[row] in missing:
            missing.discard(str(part.contents[row]))
            kept.add(row)
    return sorted(kept)
