"""Walk folders, say which files are photos, and read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# Names that make a file a candidate. What it really holds is decided by its content, in decode.
_COMMON = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_RAW = (
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".iiq", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2",
    ".rwl", ".sr2", ".srw", ".x3f",
)  # fmt: skip
PHOTO_SUFFIXES = frozenset((*_COMMON, ".heic", ".heif", ".hif", ".avif", *_RAW))
# The first bytes of JPEG, PNG, GIF, TIFF; and what follows the length in HEIC and AVIF.
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_FTYP = tuple(b"ftyp" + brand for brand in (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"))
# Folders that are not hidden and hold no photo of the user's: thumbnails and bins of network drives and other systems.
_NOT_THE_USERS = frozenset(("@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information", "__macosx"))
MAX_BYTES = 1 << 31
"""A larger file is not read: the largest photos that the limit of pixels lets through take less."""


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

    Folders are walked in the order of their names. Hidden files and folders are left out, and so are the bins and
    thumbnails of other systems; a file without a suffix counts if it begins like a photo. Links are followed; a folder
    that was entered before, by whatever name, is not entered again. A file that is named itself comes once, at its
    place among the roots.

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
        if entry.name.startswith(".") or entry.name.lower() in _NOT_THE_USERS:
            continue
        if _is_folder(entry):
            yield from _walk(Path(entry.path), entered)
        elif _may_be_photo(entry):
            yield _look(Path(entry.path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _may_be_photo(entry: os.DirEntry[str]) -> bool:
    """Whether a file's suffix is a photo's; one without any suffix is asked for its first bytes."""
    suffix = Path(entry.name).suffix.lower()
    if suffix:
        return suffix in PHOTO_SUFFIXES
    try:
        with _open(Path(entry.path), MAX_BYTES) as file:
            start = file.read(12)
    except (OSError, UnusableFile):
        return False
    return start.startswith(_STARTS) or start[4:] in _FTYP or (start[:4], start[8:]) == (b"RIFF", b"WEBP")


def _look(path: Path) -> PhotoFile:
    try:
        status = path.stat()
    except OSError as error:
        return PhotoFile(path, 0, 0, f"cannot be read: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return PhotoFile(path, 0, status.st_mtime_ns, "not a regular file")
    return PhotoFile(path, status.st_size, status.st_mtime_ns)


class UnusableFile(Exception):
    """A file that is not read at all; the message is the reason, for people."""


def read_photo(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a file once, from its start to its end.

    Raises:
        OSError: if it cannot be read.
        UnusableFile: if it is larger than ``max_bytes``, or a pipe, which has no end, has taken its place.
    """
    with _open(path, max_bytes) as file:
        return file.read()


def can_be_read(path: Path) -> bool:
    """Whether a file lets itself be read; a byte of it is."""
    try:
        with _open(path, MAX_BYTES) as file:
            file.read(1)
    except (OSError, UnusableFile):
        return False
    return True


def _open(path: Path, max_bytes: int) -> BinaryIO:
    # Opening a pipe would wait for its other end, if it were not for O_NONBLOCK.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size <= max_bytes:
        return file
    file.close()
    if not stat.S_ISREG(status.st_mode):
        raise UnusableFile("not a regular file")
    raise UnusableFile(f"{status.st_size / 1e9:.1f} GB are more than the limit of {max_bytes / 1e9:.1f} GB")


def why_unread(error: OSError | UnusableFile) -> str:
    """Say for people why a file could not be read."""
    return f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
