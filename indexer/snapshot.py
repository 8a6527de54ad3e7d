"""A snapshot: the tables of an album's shards in files that need not be parsed. Derived: may be deleted at any time.

    index/snapshot-1a2b3c4d5e6f/    a raw little-endian file for each column of the faces, photos.arrow, contents.arrow
                 manifest.json      which shards it covers, shapes, SHA-256 of every file and block

Hundreds of Parquet files take seconds to open; a snapshot is mapped into memory, and of the embeddings only what is
asked for is read. Every byte is compared with its checksum before it is used: small columns when the snapshot is
opened, embeddings block by block when they are first touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from embedder.rows import FaceColumns
from embedder.shards import ShardError, list_shards
from embedder.tables import AlbumTables, add_shards, no_tables
from embedder.vectors import Vectors
from indexer.album import Album

FORMAT = 1
BLOCK_ROWS = 1 << 14
"""Embeddings that share a checksum: 4 MB, a few milliseconds to check."""
MIN_SHARDS = 32
"""Fewer shards than this, and reading them takes less than a quarter of a second: no snapshot is made for them."""
NEW_SHARE = 0.1
"""A snapshot is renewed when so many new shards have come, as a share of those that it covers."""
_PREFIX, _MANIFEST = "snapshot-", "manifest.json"
_COLUMNS: dict[str, tuple[str, tuple[int, ...]]] = {
    "face_ids": ("<i8", ()),
    "contents": ("<i4", ()),
    "boxes_xywh": ("<i4", (4,)),
    "landmarks": ("<f4", (5, 2)),
    "confidences": ("<f4", ()),
    "qualities": ("<f4", ()),
}
_TABLES = ("photos", "contents")


@dataclass(frozen=True)
class _Manifest:
    """What a snapshot says about itself.

    Attributes:
        format: of the snapshot.
        shards: name and own checksum of each shard that it covers, oldest first.
        faces, dimension: rows, and numbers in an embedding.
        sha256: file name → checksum.
        blocks: checksum of each block of embeddings.
    """

    format: int
    shards: list[list[str]]
    faces: int
    dimension: int
    sha256: dict[str, str]
    blocks: list[str]


class SnapshotDamaged(ShardError):
    """A block of embeddings that is not what was written. The shards still hold what it was made from."""


class _CheckedRows:
    """Embeddings in a file that is mapped into memory; a block is compared with its checksum when first read."""

    def __init__(self, path: Path, shape: tuple[int, int], blocks: Sequence[str]) -> None:
        self._rows = np.memmap(path, "<f2", "r", shape=shape)
        self._path, self._blocks = path, blocks
        self._checked = np.zeros(len(blocks), bool)

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, D)."""
        return tuple(self._rows.shape)

    def __getitem__(self, rows: Any) -> np.ndarray:
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(self.shape[0])
            touched = np.arange(start // BLOCK_ROWS, -(-max(stop, start) // BLOCK_ROWS))
        else:
            touched = np.unique(np.asarray(rows) // BLOCK_ROWS)
        for block in touched[~self._checked[touched]].tolist():
            if _block_digest(self._rows, block) != self._blocks[block]:
                raise SnapshotDamaged(
                    f"{self._path} is not what was written: delete {self._path.parent}, it is made anew from the shards"
                )
            self._checked[block] = True
        return np.asarray(self._rows[rows])


def read_album_tables(album: Album) -> AlbumTables:
    """Read what the shards say: from the snapshot as far as it reaches, the rest from the shards themselves.

    Raises:
        embedder.shards.ShardError: if a shard is damaged.
    """
    shards = list_shards(album.shards)
    for folder in _snapshots(album.index):
        manifest = _read_manifest(folder)
        if manifest is None or not _covers(manifest, shards):
            continue
        tables = _load(folder, manifest)
        if tables is not None:
            return add_shards(tables, shards[len(manifest.shards) :])
    return add_shards(no_tables(), shards)


def refresh_snapshot(album: Album) -> bool:
    """Write a snapshot if the album is large enough and the last one is not recent enough. The caller holds the lock.

    Returns:
        whether one was written.
    """
    shards = list_shards(album.shards)
    folders = _snapshots(album.index)
    manifests = [found for folder in folders if (found := _read_manifest(folder)) and _covers(found, shards)]
    covered = max((len(manifest.shards) for manifest in manifests), default=0)
    if len(shards) - covered < max(MIN_SHARDS, NEW_SHARE * covered):
        return False
    target = _write(album.index, read_album_tables(album), shards)
    for old in folders:
        if old != target:
            shutil.rmtree(old)
    return True


def check_snapshots(album: Album) -> list[str]:
    """Compare every file of the snapshots with its checksum: what is wrong, a sentence each."""
    problems = []
    for folder in _snapshots(album.index):
        manifest = _read_manifest(folder)
        if manifest is None:
            problems.append(f"{folder / _MANIFEST} is not what was written: delete {folder}, it is made anew")
            continue
        for name, expected in manifest.sha256.items():
            if not (folder / name).exists() or _sha256(folder / name) != expected:
                problems.append(f"{folder / name} is not what was written: delete {folder}, it is made anew")
    return problems


def _write(index: Path, tables: AlbumTables, shards: Sequence[Path]) -> Path:
    index.mkdir(exist_ok=True, mode=0o700)
    making = index / f".tmp-{_PREFIX}{os.getpid()}"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    try:
        faces = tables.faces
        for name, (kind, _) in _COLUMNS.items():
            (making / name).write_bytes(np.ascontiguousarray(getattr(faces, name), kind).data)
        blocks = []
        with (making / "embeddings").open("wb") as file:
            for start in range(0, len(faces), BLOCK_ROWS):
                block = np.ascontiguousarray(faces.embeddings[start : start + BLOCK_ROWS], "<f2").tobytes()
                blocks.append(hashlib.sha256(block).hexdigest())
                file.write(block)
        for name in _TABLES:
            table = getattr(tables, name).combine_chunks()
            with pa.OSFile(str(making / f"{name}.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
        names = [*_COLUMNS, "embeddings", *(f"{name}.arrow" for name in _TABLES)]
        manifest = _Manifest(
            FORMAT,
            [[shard.name, _own_checksum(shard)] for shard in shards],
            len(faces),
            faces.embeddings.shape[1],
            {name: _sha256(making / name) for name in names},
            blocks,
        )
        (making / _MANIFEST).write_bytes(_manifest_bytes(manifest))
        for name in (*names, _MANIFEST):
            (making / name).chmod(0o600)
        target = index / f"{_PREFIX}{hashlib.sha256(_manifest_bytes(manifest)).hexdigest()[:12]}"
        if target.exists():
            shutil.rmtree(target)
        making.rename(target)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return target


def _load(folder: Path, manifest: _Manifest) -> AlbumTables | None:
    """Open a snapshot; None if a file is not what was written."""
    columns: dict[str, np.ndarray] = {}
    tables: dict[str, pa.Table] = {}
    try:
        for name, (kind, shape) in _COLUMNS.items():
            content = (folder / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != manifest.sha256[name]:
                return None
            columns[name] = np.frombuffer(content, kind).reshape(manifest.faces, *shape)
        for name in _TABLES:
            buffer = pa.memory_map(str(folder / f"{name}.arrow")).read_buffer()
            if hashlib.sha256(buffer).hexdigest() != manifest.sha256[f"{name}.arrow"]:
                return None
            tables[name] = pa.ipc.open_file(buffer).read_all()
            if tables[name].schema != getattr(no_tables(), name).schema:
                return None  # written by another version
        shape = (manifest.faces, manifest.dimension)
        if (folder / "embeddings").stat().st_size != shape[0] * shape[1] * 2:
            return None
        parts = [_CheckedRows(folder / "embeddings", shape, manifest.blocks)] if manifest.faces else []
    except OSError:
        return None
    faces = FaceColumns(**columns, embeddings=Vectors(parts, manifest.dimension))
    return AlbumTables(tables["photos"], tables["contents"], faces)


def _snapshots(index: Path) -> list[Path]:
    return sorted(path for path in index.iterdir() if path.name.startswith(_PREFIX)) if index.is_dir() else []


def _covers(manifest: _Manifest, shards: Sequence[Path]) -> bool:
    """Whether the shards begin with those that were covered, unchanged."""
    if len(manifest.shards) > len(shards):
        return False
    pairs = zip(manifest.shards, shards, strict=False)
    return all(name == shard.name and own == _own_checksum(shard) for (name, own), shard in pairs)


def _own_checksum(shard: Path) -> str:
    """A shard's manifest names the checksums of its files, so its own checksum stands for all of it."""
    return hashlib.sha256((shard / _MANIFEST).read_bytes()).hexdigest()


def _manifest_bytes(manifest: _Manifest) -> bytes:
    content = asdict(manifest)
    own = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**content, "own_sha256": own}) + "\n").encode()


def _read_manifest(folder: Path) -> _Manifest | None:
    """Read a manifest; None if it is missing, damaged, or of another format."""
    try:
        raw = (folder / _MANIFEST).read_bytes()
        content = json.loads(raw)
        content.pop("own_sha256")
        manifest = _Manifest(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if manifest.format == FORMAT and _manifest_bytes(manifest) == raw else None


def _block_digest(rows: np.ndarray, block: int) -> str:
    return hashlib.sha256(rows[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS].data).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
