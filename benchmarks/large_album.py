"""Make an album of synthetic faces, as large as wanted, to measure what answers cost at that size.

    python -m benchmarks.large_album ALBUM --faces 1000000 --named 20000

Its photos are rows only: there are no files. Embeddings come from ``benchmarks.synthetic``; the shards are written by
the product's own code, in its usual size.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.synthetic import Block, face_blocks, read_calibration
from embedder.model import choose_model
from embedder.rows import FaceRows, PhotoRow, face_id
from embedder.shards import write_shard
from indexer.album import Album, open_or_create
from indexer.people import FaceRef, PeopleStore

SHARD_PHOTOS = 1024


def make_album(root: Path, faces: int, *, named: int, seed: int = 0) -> Album:
    """Write an album of ``faces`` faces, with about ``named`` of them named, the people of most photos first.

    Raises:
        indexer.album.AlbumError: if ``root`` is there and is something else.
    """
    spec = choose_model("sface")
    album = open_or_create(root, spec.name, spec.fingerprint())
    refs: dict[int, list[FaceRef]] = {}
    for block in face_blocks(read_calibration(), faces, seed=seed):
        for photos, table, people in _shards(block):
            write_shard(album.shards, photos, table, album.fingerprint)
            for row, person in enumerate(people.tolist()):
                x, y, w, h = table.boxes_xywh[row].tolist()
                refs.setdefault(person, []).append(
                    FaceRef(int(table.face_ids[row]), table.photo_ids[row], (x, y, w, h))
                )
    _name(album, refs, named)
    return album


def _shards(block: Block) -> Iterator[tuple[list[PhotoRow], FaceRows, np.ndarray]]:
    """Cut a block into shards: photo rows, face rows, and the person of each face."""
    photos, which = np.unique(block.photos, return_inverse=True)
    for first in range(0, len(photos), SHARD_PHOTOS):
        names = [f"{number:032x}" for number in photos[first : first + SHARD_PHOTOS].tolist()]
        rows = np.flatnonzero((which >= first) & (which < first + len(names)))
        place = np.arange(len(rows)) - np.searchsorted(which[rows], which[rows])  # 0, 1, … within each photo
        boxes = np.stack([10 + 120 * place, 10 + 0 * place, 100 + 0 * place, 110 + 0 * place], axis=1).astype(np.int32)
        ids = [names[n] for n in (which[rows] - first).tolist()]
        counts = np.bincount(which[rows] - first, minlength=len(names)).tolist()
        table = FaceRows(
            np.array([face_id(name, box) for name, box in zip(ids, boxes.tolist(), strict=True)], np.int64),
            ids,
            boxes,
            np.zeros((len(rows), 5, 2), np.float32),
            np.full(len(rows), 0.9, np.float32),
            np.full(len(rows), 0.9, np.float32),
            block.embeddings[rows].astype(np.float16),
        )
        photo_rows = [
            PhotoRow(name, f"/archive/{int(name, 16) % 997:03d}/{name}.jpg", 10**6, 0, 2000, 1500, None, "ok", None, n)
            for name, n in zip(names, counts, strict=True)
        ]
        yield photo_rows, table, block.people[rows]


def _name(album: Album, refs: dict[int, list[FaceRef]], named: int) -> None:
    left = named
    with PeopleStore(album.people, who="benchmark") as store:
        for person, faces in sorted(refs.items(), key=lambda item: (-len(item[1]), item[0])):
            if left <= 0:
                break
            store.assign(faces, f"Person {person}", add_to_existing=False)
            left -= len(faces)


def main() -> None:
    """Make the album that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("album", type=Path)
    parser.add_argument("--faces", type=int, default=1_000_000)
    parser.add_argument("--named", type=int, default=20_000, help="faces to name, about")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    album = make_album(asked.album, asked.faces, named=asked.named, seed=asked.seed)
    print(f"{album.root}: {asked.faces:,} faces", file=sys.stderr)


if __name__ == "__main__":
    main()
