"""What an album knows of photo files: the valid row of each path, and the contents that are embedded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedder.rows import Content, FaceColumns, PhotoRow, with_zone
from embedder.shards import PHOTO_SCHEMA, list_shards, read_manifest
from embedder.tables import AlbumTables, read_tables, shown_contents


class Photos:
    """The newest row of each path, looked up by it. Rows stay columns until they are asked for."""

    def __init__(self, rows: pa.Table, photo_ids: pa.ChunkedArray) -> None:
        self._rows, self._photo_ids = rows, photo_ids

    @cached_property
    def _place(self) -> dict[str, int]:
        return {path: row for row, path in enumerate(self._rows.column("path").to_pylist())}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __contains__(self, path: str) -> bool:
        return path in self._place

    def __getitem__(self, path: str) -> PhotoRow:
        return next(self._read(self._rows.slice(self._place[path], 1)))

    def get(self, path: str) -> PhotoRow | None:
        """Give the row of a path; None if it was never seen."""
        return self[path] if path in self._place else None

    def items(self) -> Iterator[tuple[str, PhotoRow]]:
        """Yield path and row of every file."""
        return ((row.path, row) for row in self.values())

    def values(self) -> Iterator[PhotoRow]:
        """Yield the row of every file."""
        return self._read(self._rows)

    def of_status(self, status: str) -> Iterator[PhotoRow]:
        """Yield the rows with this status, by path."""
        found = self._rows.filter(pc.equal(self._rows.column("status"), status))
        return self._read(found.sort_by("path"))

    def count(self, status: str) -> int:
        """Count the rows with this status."""
        return int(pc.sum(pc.equal(self._rows.column("status"), status)).as_py() or 0)

    def held(self) -> int:
        """Count the files that the album holds, readable or not: neither removed nor gone."""
        return self.count("ok") + self.count("unreadable")

    def place(self, path: str) -> int | None:
        """Give the number of a path's row, 0 to N − 1; None if it was never seen."""
        return self._place.get(path)

    def was_read(self, path: str) -> bool:
        """Whether the content of a file that was seen is known; where it is not, the file could not even be read."""
        return bool(self._rows.column("content")[self._place[path]].as_py() >= 0)

    def held_below(self, folders: Sequence[str], places: np.ndarray) -> Iterator[PhotoRow]:
        """Yield those of the rows at ``places`` (int64) that the album holds and that lie in folders, or are them."""
        rows = self._rows.take(pa.array(places))
        rows = rows.filter(pc.is_in(rows.column("status"), pa.array(["ok", "unreadable"])))
        paths = rows.column("path")
        inside = pc.is_in(paths, pa.array(folders, pa.string()))
        for folder in folders:
            inside = pc.or_(inside, pc.starts_with(paths, folder.rstrip(os.sep) + os.sep))
        return self._read(rows.filter(inside))

    def as_they_were(self, path: str, size: int, mtime_ns: int) -> str | None:
        """Give the status of a file if it is still the one that was seen, by size and time; else None."""
        row = self.place(path)
        if row is None or (self._sizes[row], self._times[row]) != (size, mtime_ns):
            return None
        return str(self._rows.column("status")[row].as_py())

    @cached_property
    def _sizes(self) -> np.ndarray:
        return np.asarray(self._rows.column("size").to_numpy())

    @cached_property
    def _times(self) -> np.ndarray:
        return np.asarray(self._rows.column("mtime_ns").to_numpy())

    def _read(self, rows: pa.Table) -> Iterator[PhotoRow]:
        for batch in rows.to_batches(max_chunksize=4096):
            content = batch.column("content")
            known = pc.if_else(pc.greater_equal(content, 0), content, None)
            columns = {f.name: _values(batch, f.name) for f in PHOTO_SCHEMA if f.name != "photo_id"}
            offsets = columns.pop("utc_offset")
            columns["taken_at"] = list(map(with_zone, columns["taken_at"], offsets))
            for name, *others in zip(self._photo_ids.take(known).to_pylist(), *columns.values(), strict=True):
                yield PhotoRow(name, *others)


class EmbeddedContents:
    """The contents whose faces stand in a shard, whether or not a file still shows them: by photo_id."""

    def __init__(self, tables: AlbumTables) -> None:
        self._contents, self._faces = tables.contents, tables.faces

    @cached_property
    def _place(self) -> dict[str, int]:
        # A compaction takes the faces away of what no file shows, at once or, if it is killed, before the row.
        whole = self._contents.column("n_faces").to_numpy() == 0
        whole[self._faces.contents] = True
        embedded = whole & self._contents.column("embedded").to_numpy()
        ids = self._contents.column("photo_id").to_pylist()
        return {ids[row]: row for row in np.flatnonzero(embedded).tolist()}

    def __len__(self) -> int:
        return len(self._place)

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __contains__(self, photo_id: str) -> bool:
        return photo_id in self._place

    def __getitem__(self, photo_id: str) -> Content:
        row = self._contents.slice(self._place[photo_id], 1)
        names = "width", "height", "taken_at", "utc_offset", "n_faces"
        width, height, local, utc_offset, n_faces = (row.column(name)[0].as_py() for name in names)
        return Content(width, height, with_zone(local, utc_offset), n_faces)

    def number(self, photo_id: str) -> int | None:
        """Give the number of an embedded content; None if it was never embedded."""
        return self._place.get(photo_id)

    def get(self, photo_id: str) -> Content | None:
        """Give what is known of a content; None if it was never embedded."""
        return self[photo_id] if photo_id in self._place else None


class Catalogue:
    """The photos of an album.

    Attributes:
        photos: path → its newest row.
        embedded: photo_id → what is known of a content whose faces stand in a shard.
        removed: photo_ids of what was removed by hand, wherever its file lies now.
    """

    def __init__(self, tables: AlbumTables) -> None:
        self.photos = Photos(tables.photos, tables.contents.column("photo_id"))
        self.embedded = EmbeddedContents(tables)
        self._tables = tables
        gone = tables.contents.filter(tables.contents.column("removed"))
        self.removed = frozenset(gone.column("photo_id").to_pylist())

    @cached_property
    def _paths(self) -> PathsOfContents:
        return PathsOfContents(self._tables.photos)

    def paths_of(self, photo_id: str) -> list[str]:
        """Give the paths that show an embedded content, as they were seen; none for another content."""
        content = self.embedded.number(photo_id)
        return [] if content is None else self._paths.all_of(content)


class PathsOfContents:
    """For each content the paths that show it, as they were seen; by number the first in the order of names."""

    def __init__(self, photos: pa.Table) -> None:
        self._paths = photos.column("path")
        readable = np.asarray(pc.equal(photos.column("status"), "ok").to_numpy())
        contents = photos.column("content").to_numpy()
        rows = np.flatnonzero(readable)
        self._rows = rows[np.argsort(contents[rows], kind="stable")]
        self._contents = contents[self._rows]
        self._read: dict[int, str] = {}

    def read_all(self) -> None:
        """Look up every path at once: of a whole archive one by one takes fifty times as long."""
        paths = self._paths.take(pa.array(self._rows)).to_pylist()
        for content, path in zip(self._contents.tolist(), paths, strict=True):
            self._read[content] = min(path, self._read.get(content, path))

    def __getitem__(self, content: int) -> str:
        if (known := self._read.get(content)) is not None:
            return known
        paths = self.all_of(content)
        if not paths:
            raise KeyError(f"no file shows content {content}")
        return min(paths)

    def all_of(self, content: int) -> list[str]:
        """Give every path that shows a content."""
        first, end = np.searchsorted(self._contents, [content, content + 1])
        return [str(self._paths[int(row)].as_py()) for row in self._rows[first:end]]


def read_catalogue(shards: Path) -> Catalogue:
    """Read what every shard in the folder ``shards`` says of photo files.

    Raises:
        embedder.shards.ShardError: if one is damaged.
    """
    return Catalogue(read_tables(shards))


def shown_faces(tables: AlbumTables) -> FaceColumns:
    """Give the faces of every photo that a file still shows, in the order of the shards."""
    shown = shown_contents(tables)[tables.faces.contents]
    return tables.faces if shown.all() else tables.faces.select(np.flatnonzero(shown))


def shard_fingerprints(shards: Path) -> dict[str, str]:
    """Give the model fingerprint of each shard, by the shard's name."""
    return {shard.name: read_manifest(shard).fingerprint for shard in list_shards(shards)}


def _values(batch: pa.RecordBatch, name: str) -> list[Any]:
    return list(batch.column(name).to_pylist())
