"""Shards: the database. Each is a folder with two Parquet files and their checksums, written once.

    000017/photos.parquet     a row for each photo that was seen, read or not
    000017/faces.parquet      a row for each face, with its embedding
    000017/manifest.json      format, model, counts, SHA-256 of both files and of itself

A shard is made under a temporary name, flushed to the disk and renamed: under its number it is whole. A shard that
was written anew without some of its rows is a generation of the same number: 000017.1, then 000017.2.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embedder.rows import FaceColumns, FaceRows, PhotoRow, with_zone, without_zone
from embedder.vectors import Vectors

FORMAT = 1
PHOTOS, _FACES, MANIFEST = "photos.parquet", "faces.parquet", "manifest.json"
_TEMPORARY = ".tmp-"
_SHARD_NAME = re.compile(r"([0-9]+)(?:\.([0-9]+))?")  # number, generation

PHOTO_SCHEMA = pa.schema(
    [
        pa.field("photo_id", pa.string()),
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("taken_at", pa.timestamp("ms")),  # local time; Parquet has no coarser one
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("n_faces", pa.int32(), nullable=False),
        pa.field("utc_offset", pa.int16()),  # minutes that taken_at is ahead of UTC
    ]
)
_SCHEMA_WITHOUT_OFFSET = PHOTO_SCHEMA.remove(len(PHOTO_SCHEMA) - 1)  # shards of before it was read


@dataclass(frozen=True)
class Manifest:
    """What a shard says about itself.

    Attributes:
        format: of the shard.
        fingerprint: of the model that made the embeddings.
        dimension: numbers in an embedding.
        photos, faces: how many rows.
        sha256: file name → checksum.
    """

    format: int
    fingerprint: str
    dimension: int
    photos: int
    faces: int
    sha256: dict[str, str]


class ShardError(ValueError):
    """A shard that is damaged, or of a format that this version does not know."""


def shard_number(name: str) -> tuple[int, int] | None:
    """Read a folder's name as (number, generation) of a shard; None if it is no such name."""
    found = _SHARD_NAME.fullmatch(name)
    return None if found is None else (int(found[1]), int(found[2] or 0))


def list_shards(folder: Path) -> list[Path]:
    """Give the whole shards in ``folder``, oldest first: of each number the latest generation."""
    latest = {number: path for (number, _), path in _generations(folder)}
    return [latest[number] for number in sorted(latest)]


def superseded_shards(folder: Path) -> list[Path]:
    """Give the shards in ``folder`` of which there is a later generation: a killed compaction leaves one."""
    latest = set(list_shards(folder))
    return [path for _, path in _generations(folder) if path not in latest]


def write_shard(folder: Path, photos: Sequence[PhotoRow], faces: FaceRows, fingerprint: str) -> Path:
    """Write a shard and give it the next free number.

    Args:
        folder: the album's ``shards``. Only one process may write there at a time.
        photos, faces: the rows.
        fingerprint: of the model that made the embeddings.
    Returns:
        the shard's folder.
    Raises:
        OSError: if the disk is full or the folder cannot be written; nothing is left then.
    """
    numbers = [number for (number, _), _ in _generations(folder)]
    return _write(folder / f"{max(numbers, default=0) + 1:06d}", photos, faces, fingerprint)


def write_generation(shard: Path, photos: Sequence[PhotoRow], faces: FaceRows) -> Path:
    """Write a shard anew, with other rows and the same number; the former one stays. Else like ``write_shard``."""
    known = shard_number(shard.name)
    if known is None:
        raise ValueError(f"{shard} is no shard")
    return _write(shard.with_name(f"{known[0]:06d}.{known[1] + 1}"), photos, faces, read_manifest(shard).fingerprint)


def write_named_shard(shard: Path, photos: Sequence[PhotoRow], faces: FaceRows, fingerprint: str) -> Path:
    """Write a shard under a name that another generation of the album gave it. Else like ``write_shard``."""
    if shard_number(shard.name) is None:
        raise ValueError(f"{shard} is no name of a shard")
    return _write(shard, photos, faces, fingerprint)


def delete_shard(shard: Path) -> None:
    """Delete a shard so that a kill at any moment leaves it whole or not at all."""
    leaving = shard.with_name(f"{_TEMPORARY}{os.getpid()}-{shard.name}")
    shard.rename(leaving)
    _flush(shard.parent)
    shutil.rmtree(leaving)


def remove_unfinished(folder: Path) -> int:
    """Delete what a killed writer left; gives the number of folders. Only the one writer may call it."""
    left = [p for p in folder.iterdir() if p.name.startswith(_TEMPORARY)] if folder.is_dir() else []
    for path in left:
        shutil.rmtree(path)
    superseded = superseded_shards(folder)
    for path in superseded:
        delete_shard(path)
    return len(left) + len(superseded)


def _generations(folder: Path) -> list[tuple[tuple[int, int], Path]]:
    """Give every shard in ``folder`` with its number and generation, sorted by these."""
    paths = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return sorted((known, path) for path in paths if (known := shard_number(path.name)) is not None)


def _write(target: Path, photos: Sequence[PhotoRow], faces: FaceRows, fingerprint: str) -> Path:
    folder = target.parent
    making = folder / f"{_TEMPORARY}{os.getpid()}-{target.name}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        making.mkdir(mode=0o700)
        pq.write_table(_photo_table(photos), making / PHOTOS, write_page_checksum=True, compression="zstd")
        pq.write_table(
            _face_table(faces),
            making / _FACES,
            write_page_checksum=True,
            compression="none",  # embeddings do not compress
            use_dictionary=["photo_id"],
        )
        manifest = Manifest(
            FORMAT,
            fingerprint,
            int(faces.embeddings.shape[1]),
            len(photos),
            len(faces),
            {name: file_sha256(making / name) for name in (PHOTOS, _FACES)},
        )
        (making / MANIFEST).write_bytes(manifest_bytes(manifest))
        for name in (PHOTOS, _FACES, MANIFEST):
            (making / name).chmod(0o600)
            _flush(making / name)
        _flush(making)
        making.rename(target)
        _flush(folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return target


def read_photo_table(shard: Path) -> pa.Table:
    """Read the photo rows of a shard as a table with the columns of ``PHOTO_SCHEMA``.

    Raises:
        ShardError: if a page does not match its checksum or the file is no Parquet.
    """
    table = _read(shard / PHOTOS, PHOTO_SCHEMA, _SCHEMA_WITHOUT_OFFSET)
    if table.schema.equals(PHOTO_SCHEMA):
        return table
    return table.append_column(PHOTO_SCHEMA.field("utc_offset"), pa.nulls(len(table), pa.int16()))


def read_photos(shard: Path) -> list[PhotoRow]:
    """Read the photo rows of a shard one by one; raises what ``read_photo_table`` does."""
    rows = read_photo_table(shard).to_pylist()
    for row in rows:
        row["taken_at"] = with_zone(row["taken_at"], row.pop("utc_offset"))
    return [PhotoRow(**row) for row in rows]


def read_face_columns(shard: Path) -> tuple[pa.ChunkedArray, FaceColumns]:
    """Read the faces of a shard as columns.

    Returns:
        (photo_id of each face, the columns; their ``contents`` are all 0, since only the reader of many shards can
        number photos).
    Raises:
        ShardError: if a page does not match its checksum, the file is no Parquet, or its embeddings are
            not as long as the manifest says.
    """
    dimension = read_manifest(shard).dimension
    table = _read(shard / _FACES, _face_schema(dimension))

    def column(name: str) -> np.ndarray:
        return np.asarray(table.column(name).to_numpy())

    columns = FaceColumns(
        column("face_id"),
        np.zeros(len(table), np.int32),
        np.stack([column(name) for name in ("x", "y", "w", "h")], axis=1),
        _fixed_bytes(table.column("landmarks"), np.dtype("<f4")).reshape(-1, 5, 2),
        column("confidence"),
        column("quality"),
        Vectors([_fixed_bytes(table.column("embedding"), np.dtype("<f2"))], dimension),
    )
    return table.column("photo_id"), columns


def read_faces(shard: Path) -> FaceRows:
    """Read the faces of a shard; raises what ``read_face_columns`` does."""
    photo_ids, columns = read_face_columns(shard)
    return FaceRows(
        columns.face_ids,
        photo_ids.to_pylist(),
        columns.boxes_xywh,
        columns.landmarks,
        columns.confidences,
        columns.qualities,
        np.asarray(columns.embeddings),
    )


def read_manifest(shard: Path) -> Manifest:
    """Read a shard's manifest.

    Raises:
        ShardError: if it is missing, damaged, or of a newer format.
    """
    try:
        content = json.loads((shard / MANIFEST).read_text())
        found = content["format"]
        if found == FORMAT:
            del content["own_sha256"]  # `shard_check` compares it
            return Manifest(**content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShardError(f"{shard}: {MANIFEST} is missing or damaged ({error})") from error
    raise ShardError(f"{shard} has format {found}, this version knows {FORMAT}: update visavis")


def manifest_bytes(manifest: Manifest) -> bytes:
    """Give the content of a manifest's file, with a checksum of its own."""
    content = asdict(manifest)
    own = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**content, "own_sha256": own}, indent=1) + "\n").encode()


def _photo_table(photos: Sequence[PhotoRow]) -> pa.Table:
    columns = {name: [getattr(photo, name) for photo in photos] for name in PHOTO_SCHEMA.names if name != "utc_offset"}
    moments = [without_zone(photo.taken_at) for photo in photos]
    columns["taken_at"], columns["utc_offset"] = [local for local, _ in moments], [offset for _, offset in moments]
    return pa.table(columns, schema=PHOTO_SCHEMA)


def _face_table(faces: FaceRows) -> pa.Table:
    columns = {
        "face_id": pa.array(faces.face_ids, pa.int64()),
        "photo_id": pa.array(faces.photo_ids, pa.string()),
        **{name: pa.array(faces.boxes_xywh[:, i], pa.int32()) for i, name in enumerate("xywh")},
        "landmarks": _fixed_binary(faces.landmarks.astype("<f4").reshape(len(faces), 10)),
        "confidence": pa.array(faces.confidences, pa.float32()),
        "quality": pa.array(faces.qualities, pa.float32()),
        "embedding": _fixed_binary(faces.embeddings.astype("<f2")),
    }
    return pa.table(columns, schema=_face_schema(faces.embeddings.shape[1]))


def _face_schema(dimension: int) -> pa.Schema:
    types = {
        "face_id": pa.int64(),
        "photo_id": pa.string(),
        **dict.fromkeys("xywh", pa.int32()),
        "landmarks": pa.binary(5 * 2 * 4),  # float32, little-endian, x before y
        "confidence": pa.float32(),
        "quality": pa.float32(),
        "embedding": pa.binary(2 * dimension),  # float16, little-endian
    }
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])


def _fixed_binary(rows: np.ndarray) -> pa.Array:
    """See a matrix as one column of fixed-size binary, without a copy."""
    rows = np.ascontiguousarray(rows)
    width = rows.dtype.itemsize * rows.shape[1]
    return pa.Array.from_buffers(pa.binary(width), len(rows), [None, pa.py_buffer(rows)])


def _fixed_bytes(column: pa.ChunkedArray, dtype: np.dtype) -> np.ndarray:
    """See a column of fixed-size binary as a matrix; one copy if it has several chunks."""
    width = column.type.byte_width
    parts = []
    for chunk in column.chunks:
        buffer = chunk.buffers()[1]
        flat = np.frombuffer(buffer, np.uint8, count=len(chunk) * width, offset=chunk.offset * width)
        parts.append(flat.view(dtype).reshape(len(chunk), width // dtype.itemsize))
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty((0, width // dtype.itemsize), dtype), *parts])


def _read(path: Path, *schemas: pa.Schema) -> pa.Table:
    try:
        # Small files: threads for the columns of each, and a dataset around it, cost more than they give.
        with pq.ParquetFile(path, page_checksum_verification=True, memory_map=True) as file:
            table = file.read(use_threads=False)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ShardError(f"{path} is damaged or missing: {error}. `visavis verify` checks the whole album") from error
    if not any(table.schema.equals(schema) for schema in schemas):
        raise ShardError(f"{path} is damaged: its columns are others. `visavis verify` checks the whole album")
    return table


def file_sha256(path: Path) -> str:
    """Digest a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
