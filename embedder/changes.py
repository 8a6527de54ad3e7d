"""What became of the files of an album since they were last seen: new, changed, moved, copied, back, or deleted."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from embedder.catalogue import Catalogue
from embedder.paths import file_path, is_missing, path_text
from embedder.rows import PhotoRow, gone_row


class Change(StrEnum):
    """What a file that got a row is to the album."""

    NEW = "new"
    """a photo that the album did not have"""
    CHANGED = "changed"
    """another photo than was seen under this path before"""
    MOVED = "moved"
    """a photo that was seen under a path where there is no file any more"""
    DUPLICATE = "duplicate"
    """a photo that another file shows as well"""
    BACK = "back"
    """a photo whose faces the album still has, though no file showed it any more"""
    TOUCHED = "touched"
    """the photo that was seen under this path before; only the file's time is another"""


class Changes:
    """Tells what each file of a run is, one after the other: what came before it decides with."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._left_behind: dict[str, list[str]] = {}

    def of_file(self, path: str, photo_id: str, *, shown_before: bool) -> tuple[Change, PhotoRow | None]:
        """Tell what a readable file is.

        Args:
            path, photo_id: of the file.
            shown_before: whether another file of this run shows the same.
        Returns:
            (what, and for a moved one the row that takes its former path out of the album).
        """
        former = self._catalogue.photos.get(path)
        if former is not None and former.status == "ok":
            return (Change.TOUCHED if former.photo_id == photo_id else Change.CHANGED), None
        paths = self._catalogue.paths_of(photo_id)
        if paths and not shown_before:
            self._left_behind[photo_id] = [other for other in paths if other != path and is_missing(other)]
        if left_behind := self._left_behind.get(photo_id):
            name = Path(path).name
            source = next((other for other in left_behind if Path(other).name == name), left_behind[0])
            left_behind.remove(source)
            row = self._catalogue.photos[source]
            return Change.MOVED, gone_row(row.photo_id, row.path, row.size, row.mtime_ns)
        if shown_before or paths:
            return Change.DUPLICATE, None
        return (Change.BACK if photo_id in self._catalogue.embedded else Change.NEW), None


@dataclass(frozen=True)
class Unseen:
    """What an album knows of folders, and a scan of them did not find.

    Attributes:
        deleted: photos whose file is not there any more.
        stale: rows that end what is said of files and folders that could not be read, and are not there any more, or
            could be read this time.
    """

    deleted: int
    stale: list[PhotoRow]


def unseen(catalogue: Catalogue, roots: Iterable[Path], seen: np.ndarray, moved_from: Collection[str] = ()) -> Unseen:
    """Tell what became of photos that a scan did not come by.

    Args:
        catalogue: of before the run.
        roots: what was scanned.
        seen: bool (N,), by the place of each path in the catalogue.
        moved_from: paths of which the run has found where their files are now.
    """
    folders = [path_text(root.resolve() if root.is_dir() else root.parent.resolve() / root.name) for root in roots]
    deleted, stale = 0, []
    for row in catalogue.photos.held_below(folders, np.flatnonzero(~seen)):
        if row.path in moved_from:
            continue
        missing = is_missing(row.path)
        if row.status == "ok":
            deleted += missing
        elif missing or _is_folder(row.path):
            stale.append(gone_row(row.photo_id, row.path, row.size, row.mtime_ns))
    return Unseen(deleted, stale)


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(file_path(path).stat().st_mode)
    except OSError:
        return False
