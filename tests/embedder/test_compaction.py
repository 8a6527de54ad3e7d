"""Compaction leaves out what no longer counts, changes nothing else, and can be killed at any moment."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import embedder.compaction
import embedder.shards
from embedder.catalogue import Catalogue, shown_faces
from embedder.compaction import compact_shards, plan_compaction
from embedder.rows import FaceRows, PhotoRow, face_id, gone_row, removed_row
from embedder.shard_check import check_shard
from embedder.shards import list_shards, read_faces, superseded_shards, write_shard
from embedder.tables import read_tables

MODEL = "feedfacecafe"
DIMENSION = 16

# What is seen at a path: a content (0 to 3), and what is said of it there.
SEEN = st.tuples(st.integers(0, 4), st.integers(0, 3), st.sampled_from(["ok", "ok", "ok", "removed", "gone"]))
HISTORY = st.lists(st.lists(SEEN, max_size=5), min_size=1, max_size=5)


def vector(content: int, face: int) -> np.ndarray:
    """The embedding of a face, float16 (16,): no other has it."""
    row = np.random.default_rng(100 * content + face).normal(size=DIMENSION)
    return (row / np.linalg.norm(row)).astype(np.float16)


def name(content: int) -> str:
    return f"{content:032x}"


def photo(path: int, content: int, status: str) -> PhotoRow:
    """A row of a photo; content c shows c faces."""
    place = f"/photos/{path}.jpg"
    if status == "removed":
        return removed_row(name(content), place, 9, 9)
    if status == "gone":
        return gone_row(name(content), place, 9, 9)
    return PhotoRow(name(content), place, 9, 9, 40, 30, None, "ok", None, content)


def faces_of(contents: list[int]) -> FaceRows:
    pairs = [(content, face) for content in contents for face in range(content)]
    boxes = [(face, 1, 2, 3) for _, face in pairs]
    return FaceRows(
        np.array([face_id(name(c), box) for (c, _), box in zip(pairs, boxes, strict=True)], np.int64),
        [name(content) for content, _ in pairs],
        np.array(boxes, np.int32).reshape(-1, 4),
        np.full((len(pairs), 5, 2), 7, np.float32),
        np.full(len(pairs), 0.5, np.float32),
        np.full(len(pairs), 0.25, np.float32),
        np.array([vector(*pair) for pair in pairs], np.float16).reshape(-1, DIMENSION),
    )


def write_history(folder: Path, history: list[list[tuple[int, int, str]]]) -> None:
    """A shard for each list, as runs would write them: a content is embedded unless its faces stand there."""
    for seen in history:
        embedded = set(Catalogue(read_tables(folder)).embedded)
        new = dict.fromkeys(content for _, content, status in seen if status == "ok" and name(content) not in embedded)
        write_shard(folder, [photo(*row) for row in seen], faces_of(list(new)), MODEL)


def what_it_says(folder: Path) -> object:
    """All that answers and later runs depend on."""
    tables = read_tables(folder)
    catalogue = Catalogue(tables)
    faces = shown_faces(tables)
    photos = sorted(catalogue.photos.values(), key=lambda row: row.path)
    shown = {row.photo_id for row in photos if row.status == "ok"}
    embedded = {content: catalogue.embedded[content] for content in catalogue.embedded if content in shown}
    order = np.argsort(faces.face_ids)
    columns = (faces.face_ids, faces.boxes_xywh, faces.landmarks, np.asarray(faces.embeddings))
    return photos, catalogue.removed, embedded, [column[order].tobytes() for column in columns]


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def compact(folder: Path) -> None:
    compact_shards(folder, plan_compaction(folder))


@given(HISTORY)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_counts_stays_and_nothing_else(tmp_path: Path, history: list[list[tuple[int, int, str]]]):
    folder = tmp_path / "shards"
    shutil.rmtree(folder, ignore_errors=True)
    write_history(folder, history)
    before = what_it_says(folder)
    shown = {row.photo_id for row in Catalogue(read_tables(folder)).photos.of_status("ok")}
    compact(folder)
    assert what_it_says(folder) == before
    assert plan_compaction(folder) == []
    content = bytes_below(folder)
    for number in range(1, 4):
        for face in range(number):
            assert (vector(number, face).tobytes() in content) == (name(number) in shown)
    assert [problem for shard in list_shards(folder) for problem in check_shard(shard)] == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards: the first is to be written anew, the second to go, the third stays."""
    folder = tmp_path / "shards"
    write_history(folder, [[(0, 3, "ok"), (1, 1, "ok")], [(2, 2, "ok")], [(0, 3, "removed"), (2, 1, "ok")]])
    return folder


def test_the_embeddings_are_gone_from_the_bytes_and_the_others_as_they_were(folder: Path):
    lost, kept = [vector(3, face).tobytes() for face in range(3)], vector(1, 0).tobytes()
    before = bytes_below(folder)
    assert all(one in before for one in lost) and kept in before
    compact(folder)
    after = bytes_below(folder)
    assert not any(one in after for one in lost) and kept in after
    assert read_faces(folder / "000001.1").embeddings.tobytes() == kept


def test_shards_keep_their_numbers(folder: Path):
    compact(folder)
    # The row of content 2 stays, superseded at its path as it is: it tells that this content was once there.
    assert [shard.name for shard in list_shards(folder)] == ["000001.1", "000002.1", "000003"]
    write_history(folder, [[(1, 1, "removed"), (2, 1, "removed")]])
    compact(folder)
    assert [shard.name for shard in list_shards(folder)] == ["000002.1", "000003.1", "000004"]


def test_a_shard_whose_rows_all_came_again_is_deleted(tmp_path: Path):
    write_history(tmp_path, [[(0, 0, "ok")], [(0, 0, "ok")], [(1, 1, "ok")]])
    compact(tmp_path)
    assert [shard.name for shard in list_shards(tmp_path)] == ["000002", "000003"]
    assert write_shard(tmp_path, [], faces_of([]), MODEL).name == "000004"


def test_a_number_is_never_given_twice(tmp_path: Path):
    write_history(tmp_path, [[(0, 2, "ok")], [(0, 2, "ok")]])
    shutil.rmtree(tmp_path / "000001")
    write_history(tmp_path, [[(0, 0, "ok")]])
    compact(tmp_path)
    assert list_shards(tmp_path)[-1].name.startswith("000003")


def test_nothing_to_compact_writes_nothing(tmp_path: Path):
    write_history(tmp_path, [[(0, 3, "ok"), (1, 1, "ok")]])
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    compact(tmp_path)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
    assert plan_compaction(tmp_path / "none") == []


class Killed(BaseException):
    """Like a kill: no handler of the program may do its work."""


def killing(step: int) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Give a wrapper that counts the calls of all that it wraps together, and kills before number ``step``."""
    calls = 0

    def wrap(function: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls >= step:  # whoever was killed does nothing more, not even tidy up
                raise Killed
            return function(*arguments, **options)

        return counted

    return wrap


@pytest.mark.parametrize("step", range(1, 40))
def test_a_kill_at_any_step_leaves_the_album_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch, step: int):
    before = what_it_says(folder)
    with monkeypatch.context() as patch:
        wrap = killing(step)
        patch.setattr(Path, "rename", wrap(Path.rename))
        patch.setattr(Path, "mkdir", wrap(Path.mkdir))
        patch.setattr(shutil, "rmtree", wrap(shutil.rmtree))
        for step_of_writing in ("_flush", "_photo_table", "_face_table"):
            patch.setattr(embedder.shards, step_of_writing, wrap(getattr(embedder.shards, step_of_writing)))
        try:
            compact(folder)
        except Killed:
            pass
        else:
            assert step > 20  # there were so many steps at least
    assert what_it_says(folder) == before
    compact(folder)
    assert what_it_says(folder) == before
    assert superseded_shards(folder) == [] and not [p for p in folder.iterdir() if p.name.startswith(".tmp-")]
    assert vector(3, 0).tobytes() not in bytes_below(folder)


def test_a_half_deleted_shard_is_never_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """`rmtree` that dies after one file leaves no shard with a file missing."""
    before = what_it_says(folder)

    def die_halfway(path: Path, **_: object) -> None:
        (path / "faces.parquet").unlink()
        raise OSError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", die_halfway)
        with pytest.raises(OSError, match="no more"):
            compact(folder)
    assert what_it_says(folder) == before


def test_a_damaged_shard_is_refused_before_anything_is_done(folder: Path):
    path = folder / "000002" / "faces.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    names = sorted(p.name for p in folder.iterdir())
    with pytest.raises(embedder.shards.ShardError, match="damaged"):
        compact(folder)
    assert sorted(p.name for p in folder.iterdir()) == names


def test_progress_counts_the_shards(folder: Path):
    finished: list[int] = []
    compact_shards(folder, plan_compaction(folder), finished.append)
    assert finished == [1, 2]
