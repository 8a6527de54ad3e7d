"""Decode photos in a process of its own: what a broken file does to a decoder, it does here.

Started by ``embedder.decode_pool`` as ``python -m embedder.decode_worker``. Orders come as JSON lines on stdin, and
each is answered with one on stdout; bytes go through a file that both processes map into memory. It ends when its
stdin does.
"""

from __future__ import annotations

import argparse
import errno
import json
import math
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from embedder.decode import DecodeError, decode
from embedder.heap import keep_freed_memory
from embedder.shared_memory import SharedMemory

if sys.platform != "win32":
    import resource

_TOO_LARGE = "decoding needs more memory than a photo may take"


def serve(shared: int, most_memory: int) -> None:
    """Answer orders until there are no more.

    Args:
        shared: descriptor of the file through which content comes and pixels go.
        most_memory: bytes that a photo may take beyond what this process has when it comes to it.
    """
    memory = SharedMemory(shared)
    for line in sys.stdin:
        order = json.loads(line)
        _limit_memory(most_memory)
        _limit_time(order["seconds"])
        answer = _answer(memory, order["bytes"], order["max_pixels"], order["at_least"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _answer(memory: SharedMemory, size: int, max_pixels: int, at_least: int | None) -> dict[str, Any]:
    """Decode the first ``size`` bytes of the shared file, and write the pixels over them."""
    try:
        photo = decode(bytes(memory.view(size)), max_pixels=max_pixels, at_least=at_least)
        pixels = photo.pixels
        np.frombuffer(memory.view(pixels.nbytes), np.uint8).reshape(pixels.shape)[:] = pixels
    except DecodeError as error:
        return {"reason": str(error)}
    except MemoryError:
        return {"reason": _TOO_LARGE}
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        return {"reason": _TOO_LARGE}
    taken_at = None if photo.taken_at is None else photo.taken_at.isoformat()
    whole = {"whole_width": photo.size[0], "whole_height": photo.size[1]}
    return {"height": pixels.shape[0], "width": pixels.shape[1], "taken_at": taken_at, **whole}


def _limit_memory(more: int) -> None:
    """Let this process take ``more`` bytes beyond what it has; the kernel refuses the rest."""
    if sys.platform == "linux":
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = now + more
        resource.setrlimit(resource.RLIMIT_AS, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _limit_time(more: float) -> None:
    """Let this process compute ``more`` seconds from now on; the kernel ends it then, though its parent be dead."""
    if sys.platform != "win32":
        used = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        soft = math.ceil(used.ru_utime + used.ru_stime + more) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def main() -> None:
    """Read the command line that ``embedder.decode_pool`` writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=int, required=True, help="descriptor of the shared file")
    parser.add_argument("--memory", type=int, required=True, help="bytes that decoding may take")
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to every process of a terminal; the parent decides
    keep_freed_memory()
    serve(asked.shared, asked.memory)


if __name__ == "__main__":
    main()
