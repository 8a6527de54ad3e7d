"""Blocks cut no photo in two, and a file from blocks is whole, resumable and no mixture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.archive import read_archive
from indexer.bulk import (
    SCHEMA,
    Block,
    PartsError,
    PartsFolder,
    Tally,
    block_ends,
    digest_of,
    name_into,
    parts_path,
    photo_order,
)
from indexer.naming.identify import IdentifySettings
from indexer.people import PeopleStore


def _line(photo: str, person: str | None, *, said: bool = False) -> dict:
    near = {"photo": "n.jpg", "box": [1, 2, 3, 4], "person": "Ann", "similarity": 0.5}
    about = {"photo": photo, "box": [5, 6, 7, 8], "confidence": 0.9, "person": person, "said": said}
    answer = {"most_like": "Ann", "similarity": 0.1234, "probability": 0.999999, "reason": None if person else "größe"}
    return about | answer | {"nearest": [near], "face_id": 2**62, "group": None}


BLOCKS = [
    Block([_line("a.jpg", "Ann", said=True), _line("a.jpg", None)], unreadable=1),
    Block([]),
    Block([_line("b.jpg", "Ann"), _line("c.jpg", "Bea"), _line("c.jpg", "Bea")], unreadable=2),
]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 20))
def test_blocks_cover_all_faces_and_cut_no_photo(sizes: list[int], size: int):
    starts = np.cumsum([0, *sizes[:-1]])
    ends = block_ends(starts, sum(sizes), size)
    assert ends[0][0] == 0 and ends[-1][1] == sum(sizes)
    assert all(stop == start for (_, stop), (start, _) in pairwise(ends))
    assert {start for start, _ in ends} <= set(starts.tolist())
    assert all(0 < stop - start < size + max(sizes) for start, stop in ends)


def test_no_face_is_no_block():
    assert block_ends(np.empty(0, np.int64), 0, 5) == []


def test_the_order_is_by_path_and_from_left_to_right(make_album):
    make_album({"b.png": [[1, 0], [0, 1]], "d.png": [[1, 1]]})
    album = make_album({"a.png": [[1, 2], [2, 1], [3, 1]], "c.png": [[3, 3]]})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.ignore([archive.ref(row) for row, path in enumerate(archive.paths) if path.endswith("d.png")])
    archive = read_archive(album)
    rows, starts = photo_order(archive)
    told = [(Path(archive.paths[row]).name, archive.box(row)[0]) for row in rows.tolist()]
    assert told == [("a.png", 10), ("a.png", 110), ("a.png", 210), ("b.png", 10), ("b.png", 110), ("c.png", 10)]
    assert starts.tolist() == [0, 3, 5]


def test_the_digest_tells_albums_opinions_and_settings_apart(make_album):
    album = make_album({"a.png": [[1, 0]], "b.png": [[0, 1]]})
    groups = np.zeros(2, np.int64)

    def digests() -> Iterator[str]:
        archive = read_archive(album)
        yield digest_of(archive, groups, ["a", "b"], IdentifySettings())
        yield digest_of(archive, groups, ["a", "b"], IdentifySettings(false_alarm=0.1))
        yield digest_of(archive, groups, ["ab"], IdentifySettings())
        yield digest_of(archive, np.array([0, 1]), ["a", "b"], IdentifySettings())

    first = list(digests())
    assert len(set(first)) == 4 and list(digests()) == first
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann Lee", add_to_existing=False)
        named = list(digests())
        store.reject([archive.ref(1)], store.state().person_named("Ann Lee"))
        rejected = list(digests())
        store.rename(1, "Ann Ito")
        renamed = list(digests())
    make_album({"c.png": [[1, 1]]})
    groups = np.zeros(3, np.int64)
    assert len({*first, *named, *rejected, *renamed, next(digests())}) == 17


def _write(target: Path, digest: str = "d" * 16, blocks: list[Block] = BLOCKS) -> tuple[Tally, list[int]]:
    parts_path(target).mkdir(exist_ok=True)
    done: list[int] = []

    def name(number: int) -> Block:
        done.append(number)
        return blocks[number]

    return name_into(PartsFolder(target, digest), len(blocks), name, lambda number, block: None), done


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_the_file_holds_every_line_and_the_parts_are_gone(tmp_path: Path, suffix: str):
    target = tmp_path / f"out.{suffix}"
    tally, _ = _write(target)
    expected = [line for block in BLOCKS for line in block.lines]
    if suffix == "jsonl":
        assert [json.loads(line) for line in target.read_text("utf-8").splitlines()] == expected
    else:
        table = pq.read_table(target)
        assert table.to_pylist() == expected and table.schema.equals(SCHEMA)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.stat().st_mode & 0o777 == 0o600
    assert (tally.faces, tally.unreadable) == (5, 3)
    assert tally.photos == {"Ann": 2, "Bea": 1} and tally.named == {"Ann": 2, "Bea": 2}
    assert +tally.said == {"Ann": 1}


def test_a_stopped_run_goes_on_and_ends_with_the_same_file(tmp_path: Path):
    whole, target = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    _write(whole)
    parts_path(target).mkdir()
    parts = PartsFolder(target, "d" * 16)
    parts.write(0, BLOCKS[0])
    (parts.path / ".tmp-half").write_bytes(b"PAR1")
    assert parts.discard_others() == 0  # a half part is no block
    tally, done = _write(target)
    assert done == [1, 2] and tally.faces == 5 and tally.unreadable == 3
    assert target.read_bytes() == whole.read_bytes()


def test_parts_that_rest_on_something_else_are_not_used(tmp_path: Path):
    target = tmp_path / "out.jsonl"
    parts_path(target).mkdir()
    PartsFolder(target, "0" * 16).write(0, Block([_line("old.jpg", "Old")]))
    assert PartsFolder(target, "d" * 16).discard_others() == 1
    _, done = _write(target)
    assert done == [0, 1, 2] and "old.jpg" not in target.read_text()


def test_a_damaged_part_is_made_again_by_the_next_run(tmp_path: Path):
    target = tmp_path / "out.jsonl"
    parts_path(target).mkdir()
    parts = PartsFolder(target, "d" * 16)
    parts.write(0, BLOCKS[0])
    path = next(parts.path.iterdir())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(PartsError, match="damaged and was deleted: the same command makes it again"):
        _write(target)
    assert not target.exists()
    _, done = _write(target)
    assert done == [0] and target.exists()


def test_no_block_at_all_is_an_empty_file(tmp_path: Path):
    for suffix in ("jsonl", "parquet"):
        tally, _ = _write(tmp_path / f"out.{suffix}", blocks=[])
        assert tally.faces == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b"" and len(pq.read_table(tmp_path / "out.parquet")) == 0
