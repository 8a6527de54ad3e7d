"""All shards of an album as a few columns: the newest row of each path, what is known of each content, all faces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedder.rows import FaceColumns
from embedder.shards import PHOTO_SCHEMA, list_shards, read_face_columns, read_photo_table
from embedder.vectors import Vectors

_NEVER = np.iinfo(np.int64).min  # in place of a time that is not known
_NO_OFFSET = np.iinfo(np.int16).min
_CONTENT_SCHEMA = pa.schema(
    [
        pa.field("photo_id", pa.string(), nullable=False),
        pa.field("embedded", pa.bool_(), nullable=False),
        pa.field("removed", pa.bool_(), nullable=False),
        *(PHOTO_SCHEMA.field(name) for name in ("width", "height", "taken_at", "n_faces", "utc_offset")),
    ]
)


@dataclass(frozen=True)
class AlbumTables:
    """What the shards of an album say.

    Attributes:
        photos: the newest row of each path: ``PHOTO_SCHEMA`` with ``content``, int32, in place of photo_id; −1 for a
            file that could not be read.
        contents: a row for each content that was ever seen, by its number: photo_id; whether its faces stand in a
            shard; whether it was removed by hand, wherever its file lies; width, height, taken_at, n_faces and
            utc_offset of an embedded one.
        faces: each face of a shard once, whether or not a file still shows it.
    """

    photos: pa.Table
    contents: pa.Table
    faces: FaceColumns


def no_tables() -> AlbumTables:
    """Give the tables of an album without a shard."""
    fields = [pa.field("content", pa.int32(), nullable=False), *(f for f in PHOTO_SCHEMA if f.name != "photo_id")]
    empty = np.empty(0, np.int32)
    faces = FaceColumns(
        empty.astype(np.int64),
        empty,
        np.empty((0, 4), np.int32),
        np.empty((0, 5, 2), np.float32),
        np.empty(0, np.float32),
        np.empty(0, np.float32),
        Vectors([], 0),
    )
    return AlbumTables(pa.schema(fields).empty_table(), _CONTENT_SCHEMA.empty_table(), faces)


def read_tables(folder: Path) -> AlbumTables:
    """Read all shards in ``folder``; raises what ``add_shards`` does."""
    return add_shards(no_tables(), list_shards(folder))


def add_shards(tables: AlbumTables, shards: Sequence[Path]) -> AlbumTables:
    """Read shards that are newer than what the tables hold.

    Args:
        tables: of the shards before; ``no_tables`` for none.
        shards: folders, oldest first.
    Raises:
        embedder.shards.ShardError: if one is damaged.
    """
    if not shards:
        return tables
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        photos = list(pool.map(read_photo_table, shards))
        faces = list(pool.map(read_face_columns, shards))
    known = tables.contents.column("photo_id").combine_chunks()
    numbers, ids = _number([known, *(t.column("photo_id") for t in photos), *(ids for ids, _ in faces)])
    of_photos, of_faces = numbers[1 : 1 + len(photos)], numbers[1 + len(photos) :]
    new = [_with_content(table, content) for table, content in zip(photos, of_photos, strict=True)]
    rows = pa.concat_tables([tables.photos, *new])
    columns = [(part, content) for (_, part), content in zip(faces, of_faces, strict=True)]
    return AlbumTables(_newest(rows), _contents(tables.contents, ids, new), _join_faces(tables.faces, columns))


def shown_contents(tables: AlbumTables) -> np.ndarray:
    """Tell which contents some file still shows: bool, by the number of the content."""
    shown = np.zeros(len(tables.contents), bool)
    readable = pc.equal(tables.photos.column("status"), "ok").to_numpy()
    shown[tables.photos.column("content").to_numpy()[readable]] = True
    return shown


def _number(ids: Sequence[pa.Array | pa.ChunkedArray]) -> tuple[list[np.ndarray], pa.Array]:
    """Number equal strings alike, in the order in which they first come: (int32 for each of ``ids``, the strings)."""
    chunks = [chunk for array in ids for chunk in (array.chunks if isinstance(array, pa.ChunkedArray) else [array])]
    encoded = pa.chunked_array(chunks, pa.string()).dictionary_encode().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # no string at all
        return [np.empty(0, np.int32) for _ in ids], pa.array([], pa.string())
    codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), np.int32)
    return np.split(codes, np.cumsum([len(array) for array in ids])[:-1]), encoded.dictionary


def _with_content(table: pa.Table, content: np.ndarray) -> pa.Table:
    field = pa.field("content", pa.int32(), nullable=False)
    return table.set_column(table.column_names.index("photo_id"), field, pa.array(content))


def _newest(rows: pa.Table) -> pa.Table:
    """Keep the last row of each path."""
    (paths,), distinct = _number([rows.column("path")])
    if len(distinct) == len(rows):
        return rows
    last = np.zeros(len(distinct), np.int64)
    last[paths] = np.arange(len(rows))  # of equal places the last one stays
    return rows.take(pa.array(np.sort(last)))


def _contents(known: pa.Table, ids: pa.Array, new: Sequence[pa.Table]) -> pa.Table:
    """Bring what is known of each content up to date with rows that are newer."""
    rows = pa.concat_tables(new)
    rows = rows.filter(pc.greater_equal(rows.column("content"), 0))
    judged = rows.filter(pc.is_in(rows.column("status"), pa.array(["ok", "removed", "gone"])))
    rows = rows.filter(pc.equal(rows.column("status"), "ok"))

    def updated(name: str, values: np.ndarray, unknown: int, of: pa.Table = rows) -> np.ndarray:
        before = _numbers(known.column(name))
        column = np.full(len(ids), unknown, before.dtype)
        column[: len(known)] = before
        column[of.column("content").to_numpy()] = values  # of equal places the last one stays
        return column

    offsets = updated("utc_offset", _numbers(rows.column("utc_offset")), _NO_OFFSET)
    removed = np.asarray(pc.equal(judged.column("status"), "removed").to_numpy())
    taken_at = updated("taken_at", _numbers(rows.column("taken_at")), _NEVER)
    columns = {
        "photo_id": ids,
        "embedded": updated("embedded", np.ones(len(rows), bool), False),
        "removed": updated("removed", removed, False, judged),
        **{name: updated(name, _numbers(rows.column(name)), 0) for name in ("width", "height", "n_faces")},
        "utc_offset": pa.array(offsets, pa.int16(), mask=offsets == _NO_OFFSET),
        "taken_at": pa.array(taken_at, pa.int64(), mask=taken_at == _NEVER).cast(PHOTO_SCHEMA.field("taken_at").type),
    }
    return pa.table(columns, schema=_CONTENT_SCHEMA)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Give a column as numbers; times are milliseconds. What is not known is ``_NEVER``, of minutes ``_NO_OFFSET``."""
    if column.type == pa.int16():
        column = pc.fill_null(column, _NO_OFFSET)
    if pa.types.is_timestamp(column.type):
        column = pc.fill_null(column.cast(pa.int64()), _NEVER)
    return np.asarray(column.to_numpy())


def _join_faces(base: FaceColumns, parts: Sequence[tuple[FaceColumns, np.ndarray]]) -> FaceColumns:
    """Put faces below each other, each face_id once: where it first stands."""
    all_parts = [(base, base.contents), *parts] if len(base) else list(parts)
    face_ids = np.concatenate([part.face_ids for part, _ in all_parts])
    dimension = max(part.embeddings.shape[1] for part, _ in all_parts)
    joined = FaceColumns(
        face_ids,
        np.concatenate([content for _, content in all_parts]),
        np.concatenate([part.boxes_xywh for part, _ in all_parts]),
        np.concatenate([part.landmarks for part, _ in all_parts]),
        np.concatenate([part.confidences for part, _ in all_parts]),
        np.concatenate([part.qualities for part, _ in all_parts]),
        Vectors([part.embeddings for part, _ in all_parts], dimension),
    )
    first = np.unique(face_ids, return_index=True)[1]
    return joined if len(first) == len(face_ids) else joined.select(np.sort(first))
