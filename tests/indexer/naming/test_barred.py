"""Who a face of the album cannot be."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from indexer.archive import read_archive
from indexer.naming.assignment import Reason
from indexer.naming.barred import barred_people, beside
from indexer.naming.identify import UNKNOWN, IdentifySettings
from indexer.naming.recognition import build_recogniser
from indexer.people import PeopleStore


def _told(make_album):
    """An album of five photos in which something of everything was said: (archive, Ann's id, Bea's id)."""
    album = make_album({"a.png": [[1, 0], [0, 1]], "b.png": [[1, 0.1], [0, 1]], "c.png": [[1, 0.2]], "d.png": [[0, 1]]})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann Lee", add_to_existing=False)
        store.assign([archive.ref(5)], "Bea Ito", add_to_existing=False)
        people = store.state()
        ann, bea = people.person_named("Ann Lee"), people.person_named("Bea Ito")
        store.reject([archive.ref(4)], ann)
        store.different(archive.ref(3), archive.ref(5))
    return read_archive(album), ann, bea


def test_what_was_said_bars_people(make_album):
    archive, ann, bea = _told(make_album)
    pairs = barred_people(archive, np.arange(6))
    assert pairs.tolist() == [[1, ann], [3, bea], [4, ann]]  # beside Ann, told from Bea, said not to be Ann
    assert barred_people(archive, np.array([4, 2, 1])).tolist() == [[0, ann], [2, ann]]
    assert barred_people(archive, np.empty(0, np.int64)).shape == (0, 2)


def test_the_recogniser_does_not_give_barred_names(make_album):
    archive, ann, _ = _told(make_album)
    recogniser = build_recogniser(archive)
    rows = np.array([2, 4])
    arguments = archive.embeddings[rows], archive.photo_numbers[rows], archive.faces.qualities[rows]
    free = recogniser.name(*arguments, IdentifySettings())
    assert free.person.tolist() == [ann, ann]
    held = recogniser.name(*arguments, IdentifySettings(), barred=barred_people(archive, rows))
    assert held.person.tolist() == [ann, UNKNOWN]
    assert held.reason.tolist() == [Reason.NAMED, Reason.TAKEN]


@given(st.integers(0, 2**32 - 1), st.integers(0, 30))
def test_beside_is_who_else_is_in_the_photo(seed, faces):
    rng = np.random.default_rng(seed)
    photos, persons = rng.integers(0, 6, faces), rng.integers(-1, 4, faces)
    rows = rng.permutation(faces)[: rng.integers(0, faces + 1)]
    expected = [
        (position, int(persons[other]))
        for position, row in enumerate(rows.tolist())
        for other in range(faces)
        if photos[other] == photos[row] and persons[other] >= 0 and persons[other] != persons[row]
    ]
    assert sorted(map(tuple, beside(rows, photos, persons).tolist())) == sorted(expected)
