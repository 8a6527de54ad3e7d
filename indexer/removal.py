"""Take photos out of an album, and back in: a small shard of photo rows says so. Nothing is deleted here but caches.

A photo is removed by its content, so that it stays out when its file is moved. One whose file is not there any more
is gone: it comes back with the file.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from embedder.catalogue import Catalogue
from embedder.compaction import Rewrite, compact_shards
from embedder.paths import is_below, is_missing, path_text
from embedder.rows import PhotoRow, gone_row, no_faces, removed_row
from embedder.shards import list_shards, read_manifest, write_shard
from embedder.tables import read_tables
from indexer.album import Album, write_whole
from indexer.grouping.groups import FILE_NAME, LINKS_NAME, Groups, read_groups, read_links, write_groups, write_links
from indexer.grouping.regrouping import CHANGES_NAME
from indexer.locks import changing_groups
from indexer.seals import SUFFIX

MANY = 20
"""Photos of a folder of which more than half must be there, or the folder itself may be missing: a drive, say."""

_HELD = ("ok", "unreadable")


class RemovalError(Exception):
    """Photos that cannot be taken out of the album, or not back in."""


@dataclass(frozen=True)
class Change:
    """A photo that leaves the album or comes back.

    Attributes:
        row: what is to hold of its path from now on.
        faces: faces in it.
        asked: False for another path of the same photo, which nobody named.
    """

    row: PhotoRow
    faces: int
    asked: bool = True


def removal(catalogue: Catalogue, asked: Sequence[Path]) -> list[Change]:
    """Plan to remove photos or folders, with every other path that shows the same photos.

    Returns:
        sorted by path; nothing for what was removed before.
    Raises:
        RemovalError: if the album does not hold one of ``asked``; names them all.
    """
    paths = _below(catalogue, asked, ("ok", "unreadable", "removed"), "the album does not hold")
    rows = [row for row in catalogue.photos.values() if row.status in _HELD]
    contents = {row.photo_id for row in rows if row.path in paths} - {None}
    return [
        Change(removed_row(row.photo_id, row.path, row.size, row.mtime_ns), row.n_faces, row.path in paths)
        for row in sorted(rows, key=lambda row: row.path)
        if row.path in paths or row.photo_id in contents
    ]


def restoration(catalogue: Catalogue, asked: Sequence[Path]) -> list[Change]:
    """Plan to take removed photos back in, with every other path that shows the same photos.

    Those whose faces are still in the shards are there again at once. The rest is forgotten, so that
    `visavis index` takes them in as new.

    Returns:
        sorted by path.
    Raises:
        RemovalError: if one of ``asked`` was not removed; names them all.
    """
    paths = _below(catalogue, asked, ("removed",), "not removed from the album")
    rows = [row for row in catalogue.photos.values() if row.status == "removed"]
    contents = {row.photo_id for row in rows if row.path in paths} - {None}
    changes = []
    for row in sorted(rows, key=lambda row: row.path):
        if row.path not in paths and row.photo_id not in contents:
            continue
        known = None if row.photo_id is None else catalogue.embedded.get(row.photo_id)
        if known is None:
            changes.append(Change(gone_row(row.photo_id, row.path, row.size, row.mtime_ns), 0, row.path in paths))
            continue
        about = known.width, known.height, known.taken_at, "ok", None, known.n_faces
        restored = PhotoRow(row.photo_id, row.path, row.size, row.mtime_ns, *about)
        changes.append(Change(restored, known.n_faces, row.path in paths))
    return changes


def missing_photos(catalogue: Catalogue, below: Sequence[Path]) -> list[Change]:
    """Find the photos whose files are not there any more, of all the album or below folders.

    A file that cannot be asked for, as for want of permission, counts as there.
    """
    folders = [_text(path) for path in below]
    changes = []
    for row in sorted(catalogue.photos.values(), key=lambda row: row.path):
        inside = not folders or any(is_below(row.path, folder) for folder in folders)
        if inside and row.status in _HELD and is_missing(row.path):
            changes.append(Change(gone_row(row.photo_id, row.path, row.size, row.mtime_ns), row.n_faces))
    return changes


def doubtful_folders(catalogue: Catalogue, changes: Iterable[Change]) -> list[tuple[str, int, int]]:
    """Find folders of which more than half of the photos are missing: their drive may not be there.

    Returns:
        (folder, photos missing, photos held) of each outermost such folder with at least ``MANY`` photos, or of the
        folder that holds all of the album.
    """
    held = [row.path for row in catalogue.photos.values() if row.status in _HELD]
    if not held:
        return []
    of_folder = Counter(folder for path in held for folder in _folders(path))
    lost = Counter(folder for change in changes for folder in _folders(change.row.path))
    whole = os.path.commonpath([str(Path(path).parent) for path in held])
    doubtful: list[str] = []
    for folder in sorted(lost):
        enough = of_folder[folder] >= MANY or folder == whole
        within = len(folder) >= len(whole) and not any(is_below(folder, outer) for outer in doubtful)
        if enough and within and 2 * lost[folder] > of_folder[folder]:
            doubtful.append(folder)
    return [(folder, lost[folder], of_folder[folder]) for folder in doubtful]


def write_changes(album: Album, changes: Sequence[Change]) -> None:
    """Let changes hold from now on. The caller holds the album's lock."""
    end_rows(album, [change.row for change in changes])


def end_rows(album: Album, rows: Sequence[PhotoRow]) -> None:
    """Let rows that take photos out hold from now on; without any nothing is written. The caller holds the lock."""
    if rows:
        dimension = read_manifest(list_shards(album.shards)[-1]).dimension
        write_shard(album.shards, rows, no_faces(dimension), album.fingerprint)


def compact_album(
    album: Album, plan: list[Rewrite], on_progress: Callable[[int], None] = lambda finished: None
) -> None:
    """Delete every row and vector that no longer counts, from the shards and from all that is derived of them.

    Damaged shards that were set aside go as well. The caller holds the album's lock. Killed at any moment, it leaves
    the album as it was; the next one goes on.

    Args:
        plan: from ``embedder.compaction.plan_compaction``, made under the same lock.
        on_progress: called after each shard with how many are finished.
    Raises:
        indexer.grouping.groups.GroupsError: if the groups are damaged; all else is done then.
    """
    if album.damaged.is_dir():
        shutil.rmtree(album.damaged)
    if plan:
        forget_derived(album)
    compact_shards(album.shards, plan, on_progress)
    if plan:
        forget_derived(album)  # a reader may have made some of it anew meanwhile, of what it had read before
        forget_groups(album)


def forget_derived(album: Album) -> None:
    """Delete all that is derived but the groups and their history, which hold no vector. The rest is made anew."""
    with changing_groups(album):  # or files would be deleted of which somebody is about to make groups
        for path in list(album.index.iterdir()) if album.index.is_dir() else []:
            if path.name.removesuffix(SUFFIX) in (FILE_NAME, LINKS_NAME, CHANGES_NAME):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def forget_groups(album: Album) -> None:
    """Leave the faces out of the groups that are in no shard any more. The caller holds the album's lock."""
    if not any((album.index / name).exists() for name in (FILE_NAME, LINKS_NAME)):
        return
    left = read_tables(album.shards).faces.face_ids
    with changing_groups(album):
        if (album.index / FILE_NAME).exists():
            write_whole(album.index / FILE_NAME, write_groups(_groups_of(read_groups(album.index / FILE_NAME), left)))
        if (album.index / LINKS_NAME).exists():
            links = read_links(album.index / LINKS_NAME)
            write_whole(album.index / LINKS_NAME, write_links(links[np.isin(links, left).all(axis=1)]))


def _groups_of(groups: Groups, face_ids: np.ndarray) -> Groups:
    stay = np.isin(groups.face_ids, face_ids)
    return replace(
        groups,
        face_ids=groups.face_ids[stay],
        groups=groups.groups[stay],
        proposed=groups.proposed[stay],
        sureness=groups.sureness[stay],
        chance=groups.chance[stay],
        offset=groups.offset[stay],
        formerly=groups.formerly[stay],
    )


def _below(catalogue: Catalogue, asked: Sequence[Path], statuses: Sequence[str], refusal: str) -> set[str]:
    """Give the paths of these statuses that ``asked`` names, itself or by a folder.

    Raises:
        RemovalError: if one names none.
    """
    known = [row.path for row in catalogue.photos.values() if row.status in statuses]
    every, found, strange = set(known), set(), []
    for path in asked:
        text = _text(path)
        named = {text} if text in every else {other for other in known if is_below(other, text)}
        if not named:
            strange.append(str(path))
        found |= named
    if strange:
        raise RemovalError(f"{refusal}: {', '.join(strange)}. Nothing was changed")
    return found


def _text(path: Path) -> str:
    """Write a path as ``embedder.scan`` finds it and the album stores it."""
    return path_text(path.resolve() if path.is_dir() else path.parent.resolve() / path.name)


def _folders(path: str) -> Iterator[str]:
    return (str(folder) for folder in Path(path).parents)
