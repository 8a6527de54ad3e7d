"""Repair an album: remove what killed commands left, what is derived and damaged, and set damaged shards aside.

What humans said is never touched. A damaged shard is moved to the folder ``damaged``; its photos are embedded again by
the next `visavis index`. What it says of photos that were removed by hand is kept, if that can still be read.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from embedder.rows import PhotoRow, no_faces
from embedder.shard_check import check_shard, photos_are_whole
from embedder.shards import (
    ShardError,
    list_shards,
    read_manifest,
    read_photos,
    remove_unfinished,
    superseded_shards,
    write_shard,
)
from indexer.album import Album, flush_folder
from indexer.grouping.groups import FILE_NAME, LINKS_NAME, GroupsError, read_groups
from indexer.grouping.regrouping import CHANGES_NAME
from indexer.locks import changing_groups
from indexer.removal import forget_derived, forget_groups
from indexer.seals import broken_seals, seal_path
from indexer.verify import CACHES, derived_problems


def repair(album: Album) -> Iterator[str]:
    """Repair what can be repaired; yields what was done, a sentence each. The caller holds the album's lock."""
    yield from _remove_leftovers(album)
    set_aside = [shard for shard in list_shards(album.shards) if _is_unusable(shard, album)]
    for shard in set_aside:
        yield _set_aside(shard, album)
    if set_aside or derived_problems(album):
        forget_derived(album)
        yield "what is derived from the shards was deleted: it is made anew when it is needed"
    yield from _repair_groups(album)


def _remove_leftovers(album: Album) -> list[str]:
    """Remove unfinished files and folders. Nobody who needs only the lock of the groups is about to finish one then."""
    with changing_groups(album):
        return list(_leftovers_removed(album))


def _leftovers_removed(album: Album) -> Iterator[str]:
    left = [path for folder in (album.root, album.shards, album.index) for path in sorted(folder.glob(".tmp-*"))]
    left += superseded_shards(album.shards)
    remove_unfinished(album.shards)
    for path in left:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        yield f"{path} was removed: a killed command had left it"


def _is_unusable(shard: Path, album: Album) -> bool:
    if check_shard(shard):
        return True
    return read_manifest(shard).fingerprint != album.fingerprint


def _set_aside(shard: Path, album: Album) -> str:
    """Move a shard away, but for what it says of photos without faces."""
    words, dimension = _words(shard)
    album.damaged.mkdir(exist_ok=True, mode=0o700)
    target = album.damaged / shard.name
    number = 1
    while target.exists():
        number += 1
        target = album.damaged / f"{shard.name}-{number}"
    if words:  # first, so that a kill in between loses none of them
        write_shard(album.shards, words, no_faces(dimension), album.fingerprint)
    shard.rename(target)
    flush_folder(album.shards)
    kept = "" if words is not None else "; photos removed by hand may come back, since its list of them is damaged"
    return f"{shard} was moved to {target}: run `visavis index` to embed its photos again{kept}"


def _words(shard: Path) -> tuple[list[PhotoRow] | None, int]:
    """Read what a damaged shard says of photos that were removed or are gone; None if that is damaged itself."""
    try:
        manifest = read_manifest(shard)
        if photos_are_whole(shard):
            return [row for row in read_photos(shard) if row.status in ("removed", "gone")], manifest.dimension
    except (ShardError, OSError):
        pass
    return None, 0


def _repair_groups(album: Album) -> Iterator[str]:
    """Delete groups that are not what was written, and leave faces out of them that are in no shard."""
    with changing_groups(album):  # a file and its seal are not written at once
        broken = [path for path in broken_seals(album.index) if path.name not in CACHES]
        for path in broken:
            path.unlink()
            seal_path(path).unlink()
    for path in broken:
        lost = " Numbers of groups begin anew" if path.name == FILE_NAME else ""
        yield f"{path} was deleted: `visavis cluster` makes it anew.{lost}"
    try:
        before = len(read_groups(album.index / FILE_NAME).face_ids)
        forget_groups(album)
        left_out = before - len(read_groups(album.index / FILE_NAME).face_ids)
    except GroupsError:
        for name in (FILE_NAME, LINKS_NAME, CHANGES_NAME):
            (album.index / name).unlink(missing_ok=True)
            seal_path(album.index / name).unlink(missing_ok=True)
        yield f"the groups in {album.index} were deleted: `visavis cluster` makes them anew, with new numbers"
        return
    if left_out:
        yield f"{left_out} faces that are in no shard were left out of the groups"
