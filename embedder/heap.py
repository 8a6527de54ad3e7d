"""Let the process keep the memory that it frees: handing it back and asking anew costs more than zeroing each page.

A network gives up its maps after every layer. glibc returns blocks of that size to the kernel at once, and threads have
heaps of their own, which they return too; each page that comes back is zeroed again when it is first touched.
"""

from __future__ import annotations

import ctypes

# Numbers of <malloc.h>, and what is asked for. They stand in no other C library, so that of glibc is looked for.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_SETTINGS = {
    _ARENA_MAX: 1,  # one heap for all threads: what one frees another takes
    _MMAP_THRESHOLD: 1 << 30,  # bytes from which a block is the kernel's; above the largest map of a network
    _TRIM_THRESHOLD: 512 << 20,  # bytes at the end of the heap that are kept
}


def keep_freed_memory() -> bool:
    """Ask the C library to keep what is freed; where it is not glibc nothing is done.

    Returns:
        Whether it was asked and agreed.
    """
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - only glibc has it, and only there the numbers mean this
        change = library.mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows
        return False
    agreed = [change(setting, value) == 1 for setting, value in _SETTINGS.items()]
    return all(agreed)
