"""The locks of an album, with a second process that holds one of them."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

import indexer.grouping.album_grouping
import indexer.locks
from indexer.album import AlbumError, open_album, open_or_create
from indexer.answers import album_groups
from indexer.archive import read_archive
from indexer.grouping.album_grouping import group_album
from indexer.locks import changing_groups, writing
from tests.indexer.made_up_faces import near


def lock_of(name: str, root: Path) -> AbstractContextManager[None]:
    return writing(root) if name == "writing" else changing_groups(open_album(root))


def _hold(name: str, root: Path, pipe: Connection) -> None:
    with lock_of(name, root):
        pipe.send("held")
        pipe.recv()
    pipe.send("free")


@contextmanager
def held(name: str, root: Path) -> Iterator[tuple[multiprocessing.process.BaseProcess, Connection]]:
    """Let another process hold a lock: send it anything, and it lets go."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    owner = context.Process(target=_hold, args=(name, root, there))
    owner.start()
    try:
        assert here.poll(60) and here.recv() == "held"
        yield owner, here
    finally:
        owner.kill()
        owner.join()


@pytest.fixture
def album(make_album, run):
    """Three groups of four faces each."""
    made = make_album({f"{who}{i}.png": [near(who, 10 * who + i)] for who in range(3) for i in range(4)})
    assert run("cluster", "--album", made.root).exit_code == 0
    return made


def _groups(album) -> list[int]:
    """Give the group of each face, in the order of the photos' names."""
    archive = read_archive(album)
    numbers = dict(zip(archive.paths, album_groups(archive).tolist(), strict=True))
    return [numbers[path] for path in sorted(numbers)]


@pytest.mark.parametrize(("name", "busy"), [("writing", "being written"), ("changing_groups", "being changed")])
def test_a_second_process_is_told_who_holds_the_lock_and_a_dead_owner_frees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, busy: str
) -> None:
    monkeypatch.setattr(indexer.locks, "PATIENCE", 0.2)
    open_or_create(tmp_path, "sface", "f00d")
    with held(name, tmp_path) as (owner, _):
        with pytest.raises(AlbumError, match=f"{busy} by process {owner.pid} on "), lock_of(name, tmp_path):
            pass
        assert owner.pid is not None
        os.kill(owner.pid, signal.SIGKILL)
        owner.join()
        with lock_of(name, tmp_path):
            pass


def test_the_two_locks_do_not_know_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    album = open_or_create(tmp_path, "sface", "f00d")
    monkeypatch.setattr(indexer.locks, "PATIENCE", 0)
    with held("writing", tmp_path), changing_groups(album):
        pass
    with held("changing_groups", tmp_path), writing(tmp_path):
        pass


@pytest.mark.parametrize(
    "words", [["undo"], ["merge", "1", "2"], ["split", "1", "--accept"], ["split", "1"], ["name", "1", "Ann"]]
)
def test_what_is_said_of_groups_is_carried_out_while_photos_are_indexed(album, run, words) -> None:
    assert run("merge", "2", "3", "--album", album.root).exit_code == 0
    before = _groups(album)
    with held("writing", album.root):
        result = run(*words, "--album", album.root)
    assert result.exit_code == 0, result.output
    assert (_groups(album) == before) == (words == ["split", "1"])


def test_a_short_command_waits_for_another_one(album, run) -> None:
    with held("changing_groups", album.root) as (_, owner):
        letting_go = threading.Timer(0.3, owner.send, ["let go"])
        letting_go.start()
        result = run("merge", "1", "2", "--album", album.root)
        letting_go.join()
    assert result.exit_code == 0, result.output
    assert _groups(album) == [1] * 8 + [3] * 4


def test_an_album_that_is_not_there_is_not_begun_by_a_word_about_groups(tmp_path, run) -> None:
    for words in (["merge", "1", "2"], ["split", "1", "--accept"], ["undo"]):
        assert "is no album" in run(*words, "--album", tmp_path / "nowhere").stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_proposal_needs_no_lock_and_what_cannot_wait_changes_nothing(album, run, monkeypatch) -> None:
    monkeypatch.setattr(indexer.locks, "PATIENCE", 0)
    before = _groups(album)
    with held("changing_groups", album.root):
        assert run("split", "1", "--album", album.root).exit_code == 0
        for words in (["split", "1", "--accept"], ["merge", "1", "2"], ["undo"]):
            refused = run(*words, "--album", album.root)
            assert refused.exit_code == 1 and "wait until it has ended" in refused.stderr
    assert _groups(album) == before
    assert [json.loads(line) for line in run("history", "--album", album.root, "--json").stdout.splitlines()] == []


def _merge(root: str, first: int) -> None:
    from click.testing import CliRunner

    from indexer.cli import cli

    result = CliRunner().invoke(cli, ["merge", str(first), str(first + 1), "--album", root])
    assert result.exit_code == 0, result.output


def test_two_processes_that_merge_at_once_lose_neither(make_album, run) -> None:
    album = make_album({f"{who}{i}.png": [near(who, 10 * who + i)] for who in range(8) for i in range(3)})
    assert run("cluster", "--album", album.root).exit_code == 0
    assert _groups(album) == np.repeat(np.arange(1, 9), 3).tolist()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_merge, args=(str(album.root), first)) for first in (1, 3, 5, 7)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert _groups(album) == np.repeat([1, 3, 5, 7], 6).tolist()


@pytest.mark.parametrize("words", [["merge", "1", "2"], ["split", "1", "--faces", "00.png#1,01.png#1"], ["undo"]])
def test_what_is_said_while_groups_are_made_anew_is_in_them(album, run, monkeypatch, words) -> None:
    """The grouping that was computed without it does not overwrite it."""
    assert run("merge", "2", "3", "--album", album.root).exit_code == 0
    group, said = indexer.grouping.album_grouping.group_archive, []

    def disturbed(archive, **how):
        found = group(archive, **how)
        if not said:
            said.append(run(*words, "--album", album.root))
        return found

    monkeypatch.setattr(indexer.grouping.album_grouping, "group_archive", disturbed)
    with writing(album.root):
        made = group_album(open_album(album.root))
    assert said[0].exit_code == 0, said[0].output
    expected = {"merge": [12], "split": [2, 2, 8], "undo": [4, 4, 4]}[words[0]]
    groups = _groups(album)
    assert sorted(np.unique(groups, return_counts=True)[1].tolist()) == expected
    assert made.groups.of(read_archive(album).faces.face_ids).tolist() == album_groups(read_archive(album)).tolist()
    assert run("cluster", "--album", album.root).exit_code == 0
    assert _groups(album) == groups
