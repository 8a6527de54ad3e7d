"""The locks of an album: one for whoever writes photos, one for whoever changes groups.

A long command holds the first as long as it runs. The second is held for moments, so that what a human says of groups
can be carried out, or taken back, while `visavis index` runs for hours. Who needs both takes the first one first.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexer.album import Album, AlbumError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PATIENCE = 10.0
"""Seconds that a command waits for another one to be done with the groups: each needs one or two, in large albums."""
_PAUSE = 0.05  # seconds between two tries


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Hold the album's lock while the block runs. The kernel frees it when its owner dies.

    Raises:
        AlbumError: if another process holds it; says which.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _holding(root / ".lock", f"{root} is being written", patience=0):
        yield


@contextmanager
def changing_groups(album: Album) -> Iterator[None]:
    """Hold the lock of an album's groups while the block reads, changes and writes them.

    Raises:
        AlbumError: if another process holds it for ``PATIENCE`` seconds; says which.
    """
    with _holding(album.root / ".groups.lock", f"the groups of {album.root} are being changed", patience=PATIENCE):
        yield


@contextmanager
def _holding(path: Path, busy: str, *, patience: float) -> Iterator[None]:
    """Hold the lock of a file; where another process has it for longer than ``patience`` (seconds), say so."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        end = time.monotonic() + patience
        while (error := _refusal(handle)) is not None:
            if time.monotonic() >= end:
                owner = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
                raise AlbumError(f"{busy} by {owner}: wait until it has ended") from error
            time.sleep(_PAUSE)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _refusal(handle: int) -> OSError | None:
    """Try to take the lock of an open file: None if it is held now."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error
    return None
