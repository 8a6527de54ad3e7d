"""Decoding in other processes gives what decoding here gives, and survives what would end this process."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import embedder.decode_pool
from embedder.decode import MAX_PIXELS, DecodeError, decode
from embedder.decode_pool import DecodeLimits, DecodePool, limits_for


def picture(side: int = 40, colour: int = 0, form: str = "PNG", exif: Image.Exif | None = None) -> bytes:
    sink = io.BytesIO()
    draw = np.random.default_rng([side, colour]).integers(0, 256, (side, side + 3, 3)).astype(np.uint8)
    Image.fromarray(draw).save(sink, form, **({} if exif is None else {"exif": exif}))
    return sink.getvalue()


@pytest.fixture
def obeying(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """Give a function that makes the command of a worker which does something else when it gets an order."""

    def make(deed: str) -> tuple[str, ...]:
        script = tmp_path / f"worker{len(list(tmp_path.iterdir()))}.py"
        script.write_text(
            "import os, signal, sys, time\n"
            "import embedder.decode_worker as worker\n"
            "usual = worker._answer\n"
            "def answer(memory, size, max_pixels, at_least):\n"
            "    content = bytes(memory.view(size)[:5])\n"
            "    if content == b'wrong':\n"
            f"        {deed}\n"
            "    return usual(memory, size, max_pixels, at_least)\n"
            "worker._answer = answer\n"
            "worker.main()\n"
        )
        return sys.executable, str(script)

    return make


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent.parent))


def test_the_pixels_are_the_same():
    """Small after large, too: the shared file does not shrink."""
    exif = Image.Exif()
    exif[0x0112], exif[0x0132] = 6, "2019:07:20 20:17:40"
    pictures = [picture(90), picture(7), picture(33, form="JPEG", exif=exif), picture(64, form="WEBP")]
    with DecodePool(1) as pool:
        for content in pictures:
            ours, expected = pool.decode(content), decode(content)
            np.testing.assert_array_equal(ours.pixels, expected.pixels)
            assert (ours.pixels.dtype, ours.taken_at) == (np.uint8, expected.taken_at)
    assert decode(pictures[2]).taken_at == datetime(2019, 7, 20, 20, 17, 40)


@pytest.mark.parametrize("content", [b"", b"no photo", picture()[:60], picture(form="JPEG")[:300]])
def test_the_reasons_are_the_same(content: bytes):
    with DecodePool(1) as pool, pytest.raises(DecodeError) as ours:
        pool.decode(content)
    with pytest.raises(DecodeError) as expected:
        decode(content)
    assert str(ours.value) == str(expected.value)


def test_many_threads_may_ask():
    """Each gets the photo that it asked for, though there are fewer processes than threads."""
    contents = [picture(20 + n % 7, n) for n in range(40)]
    with DecodePool(2) as pool, ThreadPoolExecutor(6) as threads:
        found = list(threads.map(pool.decode, contents))
    for photo, content in zip(found, contents, strict=True):
        np.testing.assert_array_equal(photo.pixels, decode(content).pixels)


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"the decoder crashed \(SIGSEGV\)"),
        ("os.abort()", r"the decoder crashed \(SIGABRT\)"),
        ("os._exit(3)", r"ended without an answer \(exit code 3\)"),
        ("raise RuntimeError", r"ended without an answer \(exit code 1\)"),
        ("sys.stdout.write('half an ans'); sys.stdout.flush(); os._exit(0)", r"exit code 0"),
        ("time.sleep(60)", r"longer than 3 s"),
        ("sys.stdout.write('half'); sys.stdout.flush(); time.sleep(60)", r"longer than 3 s"),
    ],
)
def test_one_photo_is_lost_and_no_more(obeying: Callable[[str], tuple[str, ...]], deed: str, reason: str):
    good = picture()
    seconds = 3 if "sleep" in deed else 60  # on a busy machine a start alone takes seconds, and counts
    with DecodePool(1, DecodeLimits(seconds=seconds), command=obeying(deed)) as pool:
        with pytest.raises(DecodeError, match=reason):
            pool.decode(b"wrong")
        for _ in range(30):
            try:
                pixels = pool.decode(good).pixels
                break
            except DecodeError:
                continue
        np.testing.assert_array_equal(pixels, decode(good).pixels)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is the Linux kernel's")
def test_a_photo_that_needs_too_much_memory():
    big = picture(3000)
    with DecodePool(1, DecodeLimits(memory=20 << 20)) as pool:
        with pytest.raises(DecodeError, match=r"memory|Insufficient|allocate"):
            pool.decode(big)
        assert pool.decode(picture()).pixels.shape == (40, 43, 3)


def test_the_limit_of_pixels_holds_there():
    with DecodePool(1, DecodeLimits(pixels=100)) as pool, pytest.raises(DecodeError, match="40 pixels are more than"):
        pool.decode(picture())


def test_larger_photos_may_take_more():
    assert limits_for(MAX_PIXELS) == DecodeLimits()
    assert limits_for(1_000_000) == DecodeLimits(pixels=1_000_000)
    assert limits_for(10 * MAX_PIXELS) == DecodeLimits(600, 160 * MAX_PIXELS, 10 * MAX_PIXELS)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_huge_photo_gives_its_memory_back(monkeypatch: pytest.MonkeyPatch):
    """What two processes share stays allocated as long as the file has its size."""
    monkeypatch.setattr(embedder.decode_pool, "_KEPT", 100_000)
    with DecodePool(1) as pool:
        pool.decode(picture(60))
        assert 60 * 63 * 3 <= shared_bytes() <= 100_000
        assert pool.decode(picture(300)).pixels.shape == (300, 303, 3)
        assert shared_bytes() == 0
        with pytest.raises(DecodeError):
            pool.decode(b"x" * 200_000)
        assert shared_bytes() == 0
        np.testing.assert_array_equal(pool.decode(picture(60)).pixels, decode(picture(60)).pixels)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no such files on this system")
def test_a_small_dev_shm_does_no_harm():
    """In a container it holds 64 MB; a write beyond them would kill the process."""
    with DecodePool(1) as pool:
        pool.decode(picture())
        assert [link for link in links() if "/dev/shm" in link] == []


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is the kernel's")
def test_a_decoder_that_nobody_waits_for_ends_itself(obeying: Callable[[str], tuple[str, ...]]):
    """Its parent was killed while it computed without end; here the parent waits longer than the processor's time."""
    patient = "worker._limit_time(0.2)\n        while True: pass"
    with DecodePool(1, DecodeLimits(seconds=50), command=obeying(patient)) as pool:
        with pytest.raises(DecodeError, match="took longer"):
            pool.decode(b"wrong")
        assert pool.decode(picture()).pixels.shape == (40, 43, 3)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are counted in /proc")
def test_nothing_is_left_running():
    with DecodePool(2) as pool, ThreadPoolExecutor(2) as threads:
        assert children() == []  # started when needed
        list(threads.map(pool.decode, [picture(n) for n in range(20, 30)]))
        assert 1 <= len(children()) <= 2
    assert children() == []


def test_closing_waits_for_what_is_being_decoded(obeying: Callable[[str], tuple[str, ...]]):
    with ThreadPoolExecutor(1) as threads:
        with DecodePool(1, command=obeying("time.sleep(1)")) as pool:
            asked = threads.submit(pool.decode, b"wrong")
            threading.Event().wait(0.2)
        with pytest.raises(DecodeError, match="unknown format"):
            asked.result()


def links() -> list[str]:
    """What the open descriptors of this process stand for."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return found


def shared_bytes() -> int:
    """The size of the file that this process shares with its one worker."""
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if "visavis-photo" in str(entry.readlink()):
                return entry.stat().st_size
        except FileNotFoundError:
            continue
    raise AssertionError("there is none")


def children() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                status = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(status[1]) == os.getpid() and status[0] != "Z":
                found.append(int(entry.name))
    return found


def test_a_part_of_the_pixels_will_do():
    content = picture(64, 1, "JPEG")
    with DecodePool(1) as pool:
        ours, expected = pool.decode(content, at_least=20), decode(content, at_least=20)
    assert ours.reduced and ours.size == expected.size
    np.testing.assert_array_equal(ours.pixels, expected.pixels)
