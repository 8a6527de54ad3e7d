"""Name very many faces: in blocks, into a file that a killed run goes on with.

Each finished block is a Parquet file of its own in the folder `FILE.parts`, whole under its name. When all are
there, they become the one file that was asked for, and the folder goes. The name of a part holds a digest of
all that the answers depend on, so that a file is never a mixture of two albums, settings or opinions.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from indexer.archive import Archive
from indexer.named_faces import Line

BLOCK_FACES = 4096
"""Faces that are named together and kept together: a second or two of work."""

_BOX = pa.list_(pa.int32())
_EVIDENCE = pa.struct({"photo": pa.string(), "box": _BOX, "person": pa.string(), "similarity": pa.float64()})
SCHEMA = pa.schema(
    {
        "photo": pa.string(),
        "box": _BOX,
        "confidence": pa.float64(),
        "person": pa.string(),
        "said": pa.bool_(),
        "most_like": pa.string(),
        "similarity": pa.float64(),
        "probability": pa.float64(),
        "reason": pa.string(),
        "nearest": pa.list_(_EVIDENCE),
        "face_id": pa.int64(),
        "group": pa.int64(),
    }
)
_UNREADABLE = b"unreadable"  # key of a part's metadata: photos of the block that could not be read


class PartsError(Exception):
    """Parts of an unfinished file that cannot be used."""


@dataclass
class Tally:
    """What was answered, counted.

    Attributes:
        faces, unreadable: of these, and photos that could not be read.
        photos: person → photos that show them.
        named, said: person → their faces, and those of them that a human named.
    """

    faces: int = 0
    unreadable: int = 0
    photos: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)

    def add(self, photos: Iterable[str], persons: Iterable[str | None], said: Iterable[bool]) -> None:
        """Count faces. Those of one photo must come in one call."""
        shown: set[tuple[str, str]] = set()
        for photo, person, by_hand in zip(photos, persons, said, strict=True):
            self.faces += 1
            if person is not None:
                shown.add((person, photo))
                self.named[person] += 1
                self.said[person] += by_hand
        self.photos.update(person for person, _ in shown)

    def add_block(self, block: Block) -> None:
        """Count the answers of a block."""
        self.unreadable += block.unreadable
        self.add(*([line[name] for line in block.lines] for name in ("photo", "person", "said")))


@dataclass(frozen=True)
class Block:
    """The answers of one block: a line for each face, and the photos that could not be read."""

    lines: list[Line]
    unreadable: int = 0


def photo_order(archive: Archive) -> tuple[np.ndarray, np.ndarray]:
    """Sort the faces of an archive, but for the ignored, by the path of their photo and from left to right.

    Returns:
        (rows int64 (M,), starts int64 (P,): where the faces of each photo begin).
    """
    rows = np.flatnonzero(~archive.ignored)
    _, first, photo = np.unique(archive.photo_numbers[rows], return_index=True, return_inverse=True)
    paths = [archive.paths[row] for row in rows[first].tolist()]
    rank = np.empty(len(paths), np.int64)
    rank[sorted(range(len(paths)), key=paths.__getitem__)] = np.arange(len(paths))
    order = np.lexsort((archive.faces.face_ids[rows], archive.faces.boxes_xywh[rows, 0], rank[photo]))
    return rows[order], np.flatnonzero(np.diff(rank[photo][order], prepend=-1))


def block_ends(starts: np.ndarray, faces: int, size: int) -> list[tuple[int, int]]:
    """Cut faces into blocks of about ``size``, each from a first position up to a last; no photo is cut in two.

    Args:
        starts: where the faces of each photo begin, rising from 0 on.
        faces: how many there are.
    """
    cuts = starts[np.flatnonzero(np.diff(starts // size, prepend=-1))].tolist()
    return list(zip(cuts, [*cuts[1:], faces][: len(cuts)], strict=True))


def digest_of(archive: Archive, groups: np.ndarray, asked: Iterable[str], settings: object) -> str:
    """Digest all that answers depend on: the faces, what was said, the groups, what is asked and in which order.

    Args:
        groups: int64 (N,), of each face of the archive.
        asked: what is asked about: the photos.
        settings: of the answers; its ``repr`` must tell it all.
    """
    people = archive.people
    said = sorted(people.rejected), sorted(people.ignored), people.different
    about = version("visavis"), archive.album.fingerprint, settings, sorted(people.persons.items()), said
    columns = archive.faces.face_ids, archive.persons, groups
    digest = hashlib.sha256()
    for part in (
        repr(about).encode(),
        *(np.ascontiguousarray(column, np.int64).tobytes() for column in columns),
        "\0".join(asked).encode("utf-8", "surrogateescape"),
    ):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:16]


class PartsFolder:
    """The parts of a file that is not finished yet. One process at a time: the caller holds its lock."""

    def __init__(self, target: Path, digest: str) -> None:
        self.path = parts_path(target)
        self._target, self._digest = target, digest

    def discard_others(self) -> int:
        """Delete the parts that rest on something else, and what a killed run left; gives how many blocks."""
        others = [path for path in self.path.iterdir() if path.name != ".lock" and not self._is_ours(path)]
        for path in others:
            path.unlink()
        return sum(path.suffix == ".parquet" and not path.name.startswith(".") for path in others)

    def has(self, number: int) -> bool:
        """Whether block ``number`` is finished."""
        return self._part(number).exists()

    def write(self, number: int, block: Block) -> None:
        """Keep a finished block."""
        table = pa.Table.from_pylist(block.lines, SCHEMA)
        table = table.replace_schema_metadata({_UNREADABLE: str(block.unreadable)})
        part = self._part(number)
        making = part.with_name(f".tmp-{part.name}")
        with _private(making) as file:
            pq.write_table(table, file, compression="zstd", write_page_checksum=True)
        _settle(making, part)

    def finish(self, blocks: int) -> Tally:
        """Make the file from its blocks, and delete the parts; gives what it tells.

        Raises:
            PartsError: if a part is damaged; it is deleted, so that the next run makes it anew.
        """
        tally = Tally()
        making = self.path / f".tmp-{self._target.name}"
        tables = (self._read(number, tally) for number in range(blocks))
        with _private(making) as file:
            if self._target.suffix == ".parquet":
                with pq.ParquetWriter(file, SCHEMA, compression="zstd", write_page_checksum=True) as writer:
                    for table in tables:
                        writer.write_table(table)
            else:
                for table in tables:
                    file.writelines(_json_lines(table))
        _settle(making, self._target)
        shutil.rmtree(self.path)
        return tally

    def _read(self, number: int, tally: Tally) -> pa.Table:
        part = self._part(number)
        try:
            table = pq.read_table(part, page_checksum_verification=True, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            part.unlink(missing_ok=True)
            raise PartsError(f"{part} is damaged and was deleted: the same command makes it again") from error
        tally.unreadable += int(table.schema.metadata[_UNREADABLE])
        tally.add(*(table.column(name).to_pylist() for name in ("photo", "person", "said")))
        return table.replace_schema_metadata(None)

    def _part(self, number: int) -> Path:
        return self.path / f"{self._digest}-{number:06d}.parquet"

    def _is_ours(self, path: Path) -> bool:
        return path.name.startswith(f"{self._digest}-")


def parts_path(target: Path) -> Path:
    """Give the folder where the parts of a file lie until it is finished."""
    return target.with_name(target.name + ".parts")


def name_into(
    parts: PartsFolder, blocks: int, name: Callable[[int], Block], on_progress: Callable[[int, Block], None]
) -> Tally:
    """Name the blocks that are not there yet, and make the file.

    Args:
        blocks: how many there are.
        name: gives the answers of a block by its number.
        on_progress: called with each block that was finished, and its number.
    """
    for number in range(blocks):
        if not parts.has(number):
            block = name(number)
            parts.write(number, block)
            on_progress(number, block)
    return parts.finish(blocks)


def _json_lines(table: pa.Table) -> Iterator[bytes]:
    for line in table.to_pylist():
        yield (json.dumps(line, ensure_ascii=False) + "\n").encode()


def _private(path: Path) -> Any:
    """Open a file to write that only the user may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _settle(making: Path, target: Path) -> None:
    """Flush a file to the disk and give it its name."""
    handle = os.open(making, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    making.replace(target)
