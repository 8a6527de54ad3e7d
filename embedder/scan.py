"""Walk folders and say which files are photos. Opens no photo."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Names that make a file a candidate. What it really holds is decided by its content, in decode.
_COMMON = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
PHOTO_SUFFIXES = frozenset((*_COMMON, ".heic", ".heif", ".hif", ".avif"))


@dataclass(frozen=True)
class PhotoFile:
    """A file that was seen.

    Attributes:
        path: absolute. A link that is met on the way keeps the name under which it was found.
        size: bytes.
        mtime_ns: time of the last change, nanoseconds since 1970.
        problem: why it cannot be read, or None. A folder that could not be entered comes as one
            ``PhotoFile`` with a problem.
    """

    path: Path
    size: int
    mtime_ns: int
    problem: str | None = None


def scan(roots: Sequence[Path]) -> Iterator[PhotoFile]:
    """Yield the photos in folders, and every file that is named itself, in a fixed order.

    Folders are walked in the order of their names. Hidden files and folders are left out. Links
    are followed; a folder that was entered before, by whatever name, is not entered again. A file that
    is named itself comes once, at its place among the roots.

    Args:
        roots: folders or files.
    Raises:
        FileNotFoundError: if a root is not there; before any file is yielded.
    """
    for root in roots:
        if not os.path.lexists(root):
            raise FileNotFoundError(f"{root} is not there")
    # One name for each folder, whatever way the user came.
    roots = list(dict.fromkeys(r.resolve() if r.is_dir() else r.parent.resolve() / r.name for r in roots))
    named = {root for root in roots if not root.is_dir()}
    entered: set[tuple[int, int]] = set()
    for root in roots:
        if root in named:
            yield _look(root)
        else:
            yield from (file for file in _walk(root, entered) if file.path not in named)


def _walk(folder: Path, entered: set[tuple[int, int]]) -> Iterator[PhotoFile]:
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in entered:
            return
        entered.add((status.st_dev, status.st_ino))
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield PhotoFile(folder, 0, 0, f"folder cannot be read: {error.strerror}")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            yield from _walk(Path(entry.path), entered)
        elif Path(entry.name).suffix.lower() in PHOTO_SUFFIXES:
            yield _look(Path(entry.path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _look(path: Path) -> PhotoFile:
    try:
        status = path.stat()
    except OSError as error:
        return PhotoFile(path, 0, 0, f"cannot be read: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return PhotoFile(path, 0, status.st_mtime_ns, "not a regular file")
    return PhotoFile(path, status.st_size, status.st_mtime_ns)
