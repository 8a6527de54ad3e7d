"""What naming faces is made from, kept between commands: making it anew for 200,000 named faces takes seconds.

    index/recogniser.npz    SHA-256 of the rest (32 bytes), then the arrays of ``indexer.naming.stored`` as an npz

Derived: may be deleted at any time, is made anew when the album or what was said of it has changed. It holds the means
of faces, so it is written under the album's lock only: nothing that was removed meanwhile comes back with it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from indexer.album import write_whole
from indexer.archive import Archive
from indexer.naming.recognition import Recogniser, build_recogniser

FILE_NAME = "recogniser.npz"
MIN_FACES = 5_000
"""Fewer named faces than this are prepared in a tenth of a second, and nothing is kept of them."""
_DIGEST = 32  # bytes


def open_recogniser(archive: Archive, *, keep: bool = False) -> Recogniser:
    """Prepare an archive for naming faces, from what was kept if the album is still what it was then.

    Args:
        keep: keep it for the next command. The caller held the album's lock when it read the archive, and holds it.
    """
    path = archive.album.index / FILE_NAME
    stored = _read(path)
    recogniser = build_recogniser(archive, stored)
    fresh = stored is None or stored["contents"].tolist() != [recogniser.contents]
    if keep and fresh and len(recogniser.rows) >= MIN_FACES:
        path.parent.mkdir(exist_ok=True, mode=0o700)
        write_whole(path, _content(recogniser.arrays()))
    return recogniser


def _content(arrays: Mapping[str, np.ndarray]) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)  # type: ignore[arg-type]
    body = sink.getvalue()
    return hashlib.sha256(body).digest() + body


def is_damaged(path: Path) -> bool:
    """Whether the file is there and not what was written."""
    return path.exists() and _read(path) is None


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """Read what was kept; None if there is nothing, or not what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    body = memoryview(content)[_DIGEST:]
    if hashlib.sha256(body).digest() != content[:_DIGEST]:
        return None
    with np.load(io.BytesIO(body)) as arrays:
        return dict(arrays)
