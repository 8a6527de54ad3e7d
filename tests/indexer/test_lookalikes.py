"""A search finds the photos that show a face, each once, and nobody whom a human said to be somebody else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from indexer.archive import read_archive
from indexer.lookalikes import find_lookalikes, known_unlike
from indexer.people import PeopleStore
from indexer.search.album_index import current_index


@pytest.fixture
def album(make_album):
    """Thirty photos ever less like the first, each with a second face that is like nobody, and one of two alike."""
    photos = {f"{n:02d}.png": [[1, 0.03 * n], [-1, 0.5, n]] for n in range(30)}
    return make_album(photos | {"two.png": [[1, 0.01], [1, 0.02]]})


def _names(archive, rows) -> list[str]:
    return [Path(archive.paths[row]).stem for row in rows.tolist()]


def _row(archive, name: str) -> int:
    return next(row for row, path in enumerate(archive.paths) if Path(path).stem == name)


def _search(archive, *, least: float = 0.5, most: int = 100, face: int | None = None):
    unlike = known_unlike(archive, face)
    query = archive.embeddings[_row(archive, "00")]
    return find_lookalikes(archive, current_index(archive)[0], query, unlike=unlike, least=least, most=most)


def test_best_first_each_photo_once_with_its_best_face(album):
    archive = read_archive(album)
    found = _search(archive)
    assert _names(archive, found.rows) == ["00", "two", *(f"{n:02d}" for n in range(1, 30))]
    assert archive.box(int(found.rows[1]))[0] == 10  # the likelier of the two
    expected = archive.embeddings[found.rows] @ archive.embeddings[_row(archive, "00")]
    np.testing.assert_allclose(found.similarity, expected, atol=1e-6)
    assert found.left_out == 0


@pytest.mark.parametrize("most", [1, 2, 7, 30, 31, 32, 1000])
@pytest.mark.parametrize("least", [-1.0, 0.8, 0.95, 0.99999])
def test_limits_agree_with_looking_at_every_face(album, least: float, most: int):
    archive = read_archive(album)
    every = np.asarray(archive.embeddings) @ archive.embeddings[_row(archive, "00")]
    best = [every[archive.photo_numbers == photo].max() for photo in np.unique(archive.photo_numbers)]
    expected = sorted((similarity for similarity in best if similarity >= least), reverse=True)[:most]
    found = _search(archive, least=least, most=most)
    np.testing.assert_allclose(found.similarity, expected, atol=1e-6)
    assert len(set(archive.photo_numbers[found.rows].tolist())) == len(found.rows)


def test_a_search_that_finds_nothing_tells_how_near_it_came(make_album):
    archive = read_archive(make_album({"00.png": [[1, 0]], "b.png": [[1, 1]]}))
    index, unlike = current_index(archive)[0], np.zeros(2, bool)
    far = np.zeros(128, np.float32)
    far[1] = 1
    found = find_lookalikes(archive, index, far, unlike=unlike, least=0.9, most=5)
    assert len(found.rows) == 0 and found.nearest == pytest.approx(1 / np.sqrt(2), abs=1e-3)


def test_what_was_said_leaves_faces_out(album):
    archive = read_archive(album)
    me, other, told, rejected, ignored = (_row(archive, name) for name in ("00", "01", "02", "03", "04"))
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(me)], "Ann Lee", add_to_existing=False)
        store.assign([archive.ref(other)], "Bea Ito", add_to_existing=False)
        store.different(archive.ref(me), archive.ref(told))
        store.reject([archive.ref(rejected)], store.state().person_named("Ann Lee"))
        store.ignore([archive.ref(ignored)])
    archive = read_archive(album)
    found = _search(archive, face=me)
    assert _names(archive, found.rows)[:4] == ["00", "two", "05", "06"]
    assert found.left_out == 3
    assert _names(archive, _search(archive).rows)[:4] == ["00", "two", "01", "02"]  # of a stranger nothing is known


def test_a_face_that_is_not_somebody_does_not_find_them(album):
    archive = read_archive(album)
    me, other = _row(archive, "00"), _row(archive, "01")
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(other)], "Bea Ito", add_to_existing=False)
        store.reject([archive.ref(me)], store.state().person_named("Bea Ito"))
    archive = read_archive(album)
    assert "01" not in _names(archive, _search(archive, face=me).rows)


def test_what_was_said_of_a_face_holds_for_those_that_are_the_same(album):
    archive = read_archive(album)
    me, mine, told, alike, rejected, too = (_row(archive, name) for name in ("00", "01", "02", "03", "04", "05"))
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(mine)], "Ann Lee", add_to_existing=False)
        store.reject([archive.ref(rejected)], store.state().person_named("Ann Lee"))
        store.different(archive.ref(mine), archive.ref(told))
        for one, other in ((me, mine), (told, alike), (rejected, too)):
            store.same(archive.ref(one), archive.ref(other))
    archive = read_archive(album)
    found = _search(archive, face=me)
    assert _names(archive, found.rows)[:4] == ["00", "two", "01", "06"] and found.left_out == 4
    assert not known_unlike(archive, told)[[told, alike]].any()
    assert known_unlike(archive, too)[[me, mine]].all()
