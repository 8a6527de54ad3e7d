"""Files come out of a list as they went in, and take little memory there."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

import embedder.file_list
from embedder.file_list import FileList
from embedder.scan import PhotoFile

FILES = [
    PhotoFile(Path("/a/b/1.jpg"), 5, 1_600_000_000_123_456_789),
    PhotoFile(Path("/a/b"), 0, 0, "folder cannot be read: Permission denied"),
    PhotoFile(Path("/a/c/größe\n.jpg"), 1 << 40, -1),
    PhotoFile(Path("/a/b/2.jpg"), 0, 7, "not a regular file"),
    PhotoFile(Path("/1.jpg"), 1, 2),
]


def test_files_come_out_as_they_went_in():
    files = FileList(FILES)
    assert len(files) == 5
    assert list(files) == FILES
    assert list(files) == FILES, "also the second time"
    assert (len(FileList()), list(FileList())) == (0, [])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names: left out names that are not UTF-8")
def test_names_that_are_not_utf8():
    strange = [PhotoFile(Path(os.fsdecode(b"/a/caf\xe9.jpg")), 1, 2)]
    assert list(FileList(strange)) == strange


def test_a_million_files_would_take_less_than_100_mb():
    tracemalloc.start()
    try:
        files = FileList(PhotoFile(Path(f"/archive/{n // 500}/IMG_{n:08d}.jpg"), n, n) for n in range(20_000))
        ours = tracemalloc.Filter(True, embedder.file_list.__file__)  # Python's table of names grows, too
        taken = sum(t.size for t in tracemalloc.take_snapshot().filter_traces([ours]).traces)
    finally:
        tracemalloc.stop()
    assert len(files) == 20_000
    assert taken / 20_000 < 100
