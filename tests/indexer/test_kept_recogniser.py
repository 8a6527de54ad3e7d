"""What is kept gives the same answers, and is not used when it is damaged or of another state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import indexer.kept_recogniser as kept
from indexer.archive import Archive, read_archive
from indexer.naming.identify import IdentifySettings
from indexer.naming.recognition import Recogniser, build_recogniser
from indexer.people import PeopleStore


@pytest.fixture(autouse=True)
def _keep_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MIN_FACES", 2)


@pytest.fixture
def archive(make_album) -> Archive:
    """Two people with two faces each, and a stranger."""
    names = {"a.png": [(9, 1)], "b.png": [(9, 2)], "c.png": [(1, 9)], "d.png": [(2, 9)], "e.png": [(0, 0, 9)]}
    album = make_album(names)
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0), archive.ref(1)], "Ann", add_to_existing=False)
        store.assign([archive.ref(2), archive.ref(3)], "Bob", add_to_existing=False)
    return read_archive(album)


def names(recogniser: Recogniser) -> tuple[list[int], list[float]]:
    archive = recogniser.archive
    everybody = np.asarray(archive.embeddings)
    found = recogniser.name(everybody, archive.photo_numbers, np.ones(len(everybody)), IdentifySettings())
    return found.person.tolist(), found.similarity.tolist()


def file(archive: Archive) -> Path:
    return archive.album.index / kept.FILE_NAME


def test_the_answers_are_the_same(archive: Archive, monkeypatch: pytest.MonkeyPatch):
    expected = names(build_recogniser(archive))
    assert names(kept.open_recogniser(archive, keep=True)) == expected
    assert file(archive).stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr("indexer.naming.recognition.build_gallery", lambda *_: pytest.fail("was made anew"))
    assert names(kept.open_recogniser(archive, keep=True)) == expected


def test_what_was_said_since_counts(archive: Archive):
    kept.open_recogniser(archive, keep=True)
    before = file(archive).read_bytes()
    with PeopleStore(archive.album.people) as store:
        store.assign([archive.ref(4)], "Cid", add_to_existing=False)
    now = read_archive(archive.album)
    assert names(kept.open_recogniser(now, keep=True)) == names(build_recogniser(now))
    assert file(archive).read_bytes() != before


def test_a_damaged_one_is_made_anew(archive: Archive):
    expected = names(kept.open_recogniser(archive, keep=True))
    whole = file(archive).read_bytes()
    for damaged in (b"", whole[:20], whole[:-1], *(_flipped(whole, n) for n in range(0, len(whole), 97))):
        file(archive).write_bytes(damaged)
        assert names(kept.open_recogniser(archive, keep=True)) == expected
        assert file(archive).read_bytes() == whole


def test_few_faces_are_not_kept(archive: Archive, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept, "MIN_FACES", 5)
    kept.open_recogniser(archive, keep=True)
    assert not file(archive).exists()


def test_asking_writes_nothing(archive: Archive):
    """It holds no lock: what was removed meanwhile could come back with what is written."""
    assert names(kept.open_recogniser(archive)) == names(build_recogniser(archive))
    assert not file(archive).exists()


def _flipped(whole: bytes, place: int) -> bytes:
    return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
