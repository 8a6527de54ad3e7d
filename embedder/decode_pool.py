"""Decode photos in worker processes: a decoder that crashes, hangs or eats memory costs one photo, not the run."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from embedder.decode import MAX_PIXELS, DecodeError, Photo
from embedder.shared_memory import SharedMemory

WORKER = (sys.executable, "-m", "embedder.decode_worker")
_KEPT = 128 << 20  # bytes of shared memory that a worker keeps between photos; one huge photo shall not hold its own
_BYTES_PER_PIXEL = 16  # what decoding may take: three bytes that some decoders hold several times, or once as floats
_LEAST_MEMORY = 3 << 30
_CPU_TIME_IS_UP = getattr(signal, "SIGXCPU", 24)


@dataclass(frozen=True)
class DecodeLimits:
    """What one photo may cost.

    Attributes:
        seconds: of waiting for it. A decoder whose run was killed ends itself after as many of processor time.
        memory: bytes beyond what an idle decoder takes. Pixels at the limit below take 600 MB, and some decoders hold
            them three times.
        pixels: read from the header, before anything is decoded.
    """

    seconds: float = 60.0
    memory: int = _LEAST_MEMORY
    pixels: int = MAX_PIXELS


def limits_for(pixels: int) -> DecodeLimits:
    """Give the limits of a run that takes photos of so many pixels: larger ones may take more memory, and longer."""
    share = max(1.0, pixels / MAX_PIXELS)
    return DecodeLimits(60.0 * share, max(_LEAST_MEMORY, _BYTES_PER_PIXEL * pixels), pixels)


class DecodePool:
    """Processes that decode, as many as there are threads that ask. Use it in a ``with`` block.

    A process is started when it is first needed. One that dies or does not answer in time is replaced.
    """

    def __init__(self, workers: int, limits: DecodeLimits = DecodeLimits(), command: Sequence[str] = WORKER) -> None:
        """Make a pool; nothing is started yet.

        Args:
            workers: processes at most.
            limits: what one photo may cost.
            command: starts a worker; ``--shared`` and ``--memory`` are added.
        """
        self._limits, self._command = limits, command
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)
        self._workers = workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, and wait for those that are decoding."""
        for _ in range(self._workers):
            worker = self._idle.get()
            if worker is not None:
                worker.end()
        self._workers = 0

    def decode(self, content: bytes, *, at_least: int | None = None) -> Photo:
        """Decode a photo, as ``embedder.decode.decode`` does; waits for a process that is free.

        Raises:
            DecodeError: with the reason: also if the decoder crashed or took too long.
        """
        worker = self._idle.get()
        try:
            if worker is None:
                worker = _Worker(self._command, self._limits)
            answer = worker.ask(content, at_least)
            if "reason" in answer:
                raise DecodeError(answer["reason"])
            taken_at = answer["taken_at"]
            pixels = worker.pixels(answer["height"], answer["width"])
            moment = None if taken_at is None else datetime.fromisoformat(taken_at)
            return Photo(pixels, moment, (answer["whole_width"], answer["whole_height"]))
        except _WorkerLost as lost:
            worker = None
            raise DecodeError(str(lost)) from lost
        finally:
            if worker is not None:
                worker.shrink()
            self._idle.put(worker)


class _WorkerLost(Exception):
    """A process that crashed or was stopped; the message is the reason, for people."""


class _Worker:
    """One process, and the file that it shares with this one."""

    def __init__(self, command: Sequence[str], limits: DecodeLimits) -> None:
        self._shared = _shared_file()
        self._limits = limits
        descriptor = self._shared.fileno()
        self._memory = SharedMemory(descriptor)
        self._process = subprocess.Popen(
            [*command, "--shared", str(descriptor), "--memory", str(limits.memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what libraries mutter about broken files; the reason comes in the answer
            pass_fds=(descriptor,),
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def ask(self, content: bytes, at_least: int | None) -> dict[str, Any]:
        """Have a photo decoded, and give the answer.

        Raises:
            _WorkerLost: if there is none.
        """
        self._memory.view(len(content))[:] = content
        limits = {"max_pixels": self._limits.pixels, "seconds": self._limits.seconds}
        order = json.dumps({"bytes": len(content), "at_least": at_least, **limits}) + "\n"
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(order.encode())
            self._process.stdin.flush()
            line = self._read_line(self._process.stdout.fileno())
        except BrokenPipeError:
            line = b""
        if not line:
            raise _WorkerLost(self._why_lost())
        return dict(json.loads(line))

    def pixels(self, height: int, width: int) -> np.ndarray:
        """Copy the pixels of the last answer: uint8 RGB (height, width, 3)."""
        return np.frombuffer(self._memory.view(height * width * 3), np.uint8).reshape(height, width, 3).copy()

    def shrink(self) -> None:
        """Give back the memory of a huge photo."""
        if os.fstat(self._shared.fileno()).st_size > _KEPT:
            self._shared.truncate(0)

    def end(self) -> None:
        """Let the process end, or make it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._shared.close()

    def _read_line(self, descriptor: int) -> bytes:
        """Read an answer; what there is of it when the process ends or the time is up."""
        give_up_at = time.monotonic() + self._limits.seconds
        line = b""
        while not line.endswith(b"\n"):
            left = give_up_at - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                self._process.kill()
                return b""
            part = os.read(descriptor, 4096)
            if not part:
                return b""
            line += part
        return line

    def _why_lost(self) -> str:
        """Clear up after a process that gave no answer, and say what became of it."""
        try:
            code = self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self.end()
        if code in (-signal.SIGKILL, -_CPU_TIME_IS_UP):
            return f"decoding took longer than {self._limits.seconds:g} s, or the system stopped it for want of memory"
        if code < 0:
            return f"the decoder crashed ({signal.Signals(-code).name})"
        return f"the decoder ended without an answer (exit code {code})"


def _shared_file() -> IO[bytes]:
    """Make a file without a name that two processes can map; in memory where the system has such files."""
    if hasattr(os, "memfd_create"):  # not in /dev/shm: a container has 64 MB of it, and a write beyond them is a crash
        return os.fdopen(os.memfd_create("visavis-photo"), "w+b")
    return tempfile.TemporaryFile()
