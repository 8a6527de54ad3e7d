"""A file that two processes map into memory and keep mapped: mapped anew for each photo, each page costs time."""

from __future__ import annotations

import mmap
import os


class SharedMemory:
    """The mapping of a file. Either side may make the file longer, or shorter while the other does not look at it."""

    def __init__(self, descriptor: int) -> None:
        """Map nothing yet; ``descriptor`` stays the caller's."""
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None

    def view(self, size: int) -> memoryview:
        """Give the first ``size`` bytes, which may be written to; the file is made as long as that if it is shorter.

        Raises:
            OSError: if there is not so much memory. ``errno`` is ENOMEM or ENOSPC then.
        """
        if size == 0:
            return memoryview(bytearray())
        if (length := os.fstat(self._descriptor).st_size) < size:
            os.ftruncate(self._descriptor, size)
            length = size
        if self._map is None or not size <= len(self._map) <= length:
            self._map = None  # arrays that still look at it keep it; they are not to be read from any more
            self._map = mmap.mmap(self._descriptor, size)
        return memoryview(self._map)[:size]
