"""Two sides see the same bytes, however the file grows and shrinks."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator

import pytest

from embedder.shared_memory import SharedMemory


@pytest.fixture
def descriptor() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


def test_what_one_side_writes_the_other_reads(descriptor: int) -> None:
    one, other = SharedMemory(descriptor), SharedMemory(descriptor)
    for content in (b"short", b"longer than before" * 1000, b"short again", b""):
        one.view(len(content))[:] = content
        assert bytes(other.view(len(content))) == content


def test_a_file_that_was_cut_off_grows_again(descriptor: int) -> None:
    one, other = SharedMemory(descriptor), SharedMemory(descriptor)
    one.view(9000)[:] = bytes([1]) * 9000
    assert bytes(other.view(9000)) == bytes([1]) * 9000
    os.ftruncate(descriptor, 0)
    one.view(5000)[:4] = b"abcd"
    assert bytes(other.view(5000)) == b"abcd" + bytes(4996)
    assert os.fstat(descriptor).st_size == 5000


def test_a_smaller_view_costs_no_new_pages(descriptor: int) -> None:
    memory = SharedMemory(descriptor)
    memory.view(8 << 20)[:] = bytes(8 << 20)
    content = bytes(4 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        memory.view(4 << 20)[:] = content
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 1024  # pages of a single view


def test_no_memory_is_an_os_error(descriptor: int) -> None:
    with pytest.raises(OSError):
        SharedMemory(descriptor).view(1 << 62)
