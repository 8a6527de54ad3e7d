"""A disk that is full, at whatever write: the error says so, the album is as it was, and the command works later.

Where a small file system can be mounted (as root on Linux), it is really full. Everywhere else the kernel refuses
files beyond a size, which fails the same writes with another number.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import indexer.snapshot
from embedder.rows import FaceRows, PhotoRow
from embedder.shard_check import check_shard
from embedder.shards import list_shards, write_shard
from indexer.album import Album, write_whole
from indexer.archive import read_archive
from indexer.people import PeopleError, PeopleStore
from indexer.verify import problems

if sys.platform == "win32":
    pytest.skip("Windows has neither: left out what a full disk does", allow_module_level=True)
import resource

_SIZE = 4 << 20
_PAGE = 4096


class Mounted:
    """A file system of 4 MB."""

    errors = (errno.ENOSPC,)

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def left(self, space: int) -> Iterator[None]:
        """Leave only so many bytes free."""
        filler = self.root / "filler"
        status = os.statvfs(self.root)
        filler.write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - space)))
        try:
            yield
        finally:
            filler.unlink()


class Limited:
    """A folder in which no file may grow beyond a size."""

    errors = (errno.EFBIG, errno.ENOSPC)

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def left(self, space: int) -> Iterator[None]:
        """Let no file be larger than so many bytes."""
        former = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (space, former[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, former)


@pytest.fixture(params=["mounted", "limited"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mounted | Limited]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "limited":
        yield Limited(folder)
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "visavis-test", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing may be mounted here: a limited file size stands in for a full disk")
    try:
        yield Mounted(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def album(disk: Mounted | Limited, make_album: Callable[..., Album], monkeypatch: pytest.MonkeyPatch) -> Album:
    """A small one, on that disk."""
    made = make_album({f"{n}.png": [[1, n], [n, 1]] for n in range(8)})
    root = Path(shutil.copytree(made.root, disk.root / "album"))
    monkeypatch.setattr(indexer.snapshot, "MIN_SHARDS", 1)
    return Album(root, made.model, made.fingerprint, made.created, made.made_with)


def some_rows(count: int) -> tuple[list[PhotoRow], FaceRows]:
    chance = np.random.default_rng(count)
    photos = [
        PhotoRow(chance.bytes(16).hex(), f"/p/{chance.bytes(20).hex()}", 1, 2, 3, 4, None, "ok", None, 1)
        for _ in range(count)
    ]
    rows = chance.standard_normal((count, 128)).astype(np.float16)
    ids = chance.integers(1, 1 << 60, count)
    boxes, points, ones = np.ones((count, 4), np.int32), np.ones((count, 5, 2), np.float32), np.ones(count, np.float32)
    return photos, FaceRows(ids, [photo.photo_id or "" for photo in photos], boxes, points, ones, ones, rows)


def spaces(most: int) -> list[int]:
    return list(range(0, most, max(_PAGE, most // 24 // _PAGE * _PAGE)))


def test_a_shard_is_written_whole_or_not_at_all(disk: Mounted | Limited, album: Album):
    photos, faces = some_rows(400)
    before, failed = list_shards(album.shards), 0
    for space in spaces(300_000):
        try:
            with disk.left(space):
                write_shard(album.shards, photos, faces, album.fingerprint)
        except OSError as error:
            failed += 1
            assert error.errno in disk.errors, error
            assert list_shards(album.shards) == before
        else:
            (new,) = set(list_shards(album.shards)) - set(before)
            assert check_shard(new) == []
            shutil.rmtree(new)
        assert list(problems(album)) == [], "nothing half is left"
    assert failed > 5
    assert check_shard(write_shard(album.shards, photos, faces, album.fingerprint)) == []


def test_a_file_is_replaced_or_stays(disk: Mounted | Limited, album: Album):
    path, failed = album.index / "groups.parquet", 0
    album.index.mkdir(exist_ok=True)
    former = b"former" * 10_000
    for space in spaces(120_000):
        write_whole(path, former)
        try:
            with disk.left(space):
                write_whole(path, b"new" * 30_000)
        except OSError as error:
            failed += 1
            assert error.errno in disk.errors
            assert path.read_bytes() == former
        else:
            assert path.read_bytes() == b"new" * 30_000
        assert [entry.name for entry in album.index.iterdir() if entry.name.startswith(".tmp-")] == []
    assert failed > 5


def test_a_snapshot_is_written_whole_or_not_at_all(disk: Mounted | Limited, album: Album):
    write_shard(album.shards, *some_rows(400), album.fingerprint)
    failed = 0
    for space in spaces(300_000):
        try:
            with disk.left(space):
                indexer.snapshot.refresh_snapshot(album)
        except OSError as error:
            failed += 1
            assert error.errno in disk.errors
        assert list(problems(album)) == []
        assert len(read_archive(album).faces) == 416
        for path in album.index.glob("snapshot-*"):
            shutil.rmtree(path)
    assert failed > 5


def test_what_was_said_is_written_whole_or_not_at_all(disk: Mounted | Limited, album: Album):
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann Lee", add_to_existing=False)
    failed = 0
    for space in spaces(200_000):
        name = f"Person {space}"
        try:
            with disk.left(space), PeopleStore(album.people) as store:
                store.assign([archive.ref(failed % 10 + 1)], name, add_to_existing=False, kind="enroll")
        except (PeopleError, OSError) as error:
            failed += 1
            assert isinstance(error, PeopleError) or error.errno in disk.errors
            assert name not in read_archive(album).people.persons.values()
        assert list(problems(album)) == []
    assert failed > 0


def test_the_command_says_what_to_do(disk: Mounted | Limited, album: Album, run):
    before = sorted(path.name for path in album.root.rglob("*"))
    with disk.left(0):
        result = run("cluster", "--album", album.root)
    assert result.exit_code == 1, result.output
    assert "free some space, then run the same command again" in result.stderr
    assert sorted(path.name for path in album.root.rglob("*")) == before or list(problems(album)) == []
    assert run("cluster", "--album", album.root).exit_code == 0
    assert run("verify", "--album", album.root).exit_code == 0


def test_index_goes_on_when_there_is_room_again(disk: Mounted | Limited, demo_photos, run, weights, tmp_path):
    """The photos lie elsewhere; the album is made on the full disk."""
    weights("centerface"), weights("sface")
    root = disk.root / "album"
    with disk.left(3 * _PAGE):
        result = run("index", "--album", root, demo_photos.archive)
    assert result.exit_code == 1, result.output
    assert "free some space, then run the same command again" in result.stderr
    assert run("index", "--album", root, demo_photos.archive).exit_code == 0
    assert run("verify", "--album", root).exit_code == 0
