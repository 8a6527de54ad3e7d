"""Who a face of the album cannot be."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from indexer.album import open_album
from indexer.archive import read_archive
from indexer.naming.assignment import Reason
from indexer.naming.barred import barred_people, beside
from indexer.naming.identify import UNKNOWN, IdentifySettings
from indexer.naming.recognition import build_recogniser
from indexer.people import PeopleError, PeopleStore


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


def test_a_mirror_bars_nobody_from_a_face(make_album):
    archive, ann, bea = _told(make_album)
    with PeopleStore(archive.album.people) as store:
        store.same(archive.ref(0), archive.ref(1))
    archive = read_archive(archive.album)
    assert archive.persons.tolist() == [ann, ann, -1, -1, -1, bea]
    assert [0, 1] not in barred_people(archive, np.arange(6))[:, 0]


FACTS = st.lists(
    st.one_of(
        st.tuples(st.just("name"), st.integers(0, 5), st.sampled_from(["Ann", "Bea"])),
        st.tuples(st.just("reject"), st.integers(0, 5), st.integers(1, 2)),
        st.tuples(st.just("ignore"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["same", "different"]), st.integers(0, 5), st.integers(0, 5)),
    ),
    max_size=10,
)


def _say(store, archive, fact):
    with suppress(PeopleError):  # what contradicts the rest is not said
        match fact:
            case ("name", row, name):
                store.assign([archive.ref(row)], name, add_to_existing=True)
            case ("reject", row, person):
                store.reject([archive.ref(row)], person)
            case ("ignore", row):
                store.ignore([archive.ref(row)])
            case (what, one, other):
                getattr(store, what)(archive.ref(one), archive.ref(other))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FACTS)
@example([("name", 0, "Ann"), ("same", 0, 1), ("ignore", 0)])
def test_what_holds_for_a_face_holds_for_all_that_are_the_same(make_album, tmp_path, facts):
    if not (tmp_path / "album").exists():
        make_album({"a.png": [[1, 0], [0, 1]], "b.png": [[1, 0.1], [0, 1]], "c.png": [[1, 0.2]], "d.png": [[0, 1]]})
    album = open_album(tmp_path / "album")
    album.people.unlink(missing_ok=True)
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        for fact in facts:
            _say(store, archive, fact)
    archive = read_archive(album)
    people, ids, photos = archive.people, archive.faces.face_ids.tolist(), archive.photo_numbers.tolist()
    expected = set()
    for position, face in enumerate(ids):
        alike = {face}
        for _ in ids:
            alike.update(other for pair in people.same if alike & set(pair) for other in pair)
        own = {people.person_of[f] for f in alike if f in people.person_of}
        apart = {other for pair in people.different if alike & set(pair) for other in pair} - alike
        for _ in ids:
            apart.update(other for pair in people.same if apart & set(pair) for other in pair)
        shown = [ids.index(f) for f in (alike - people.ignored) | {face}]
        near = {
            people.whose.get(f) for row in shown for f, photo in zip(ids, photos, strict=True) if photo == photos[row]
        }
        barred = {person for f, person in people.rejected if f in alike}
        barred |= {people.person_of[f] for f in apart if f in people.person_of}
        expected |= {(position, person) for person in barred | (near - {None} - own)}
    assert set(map(tuple, barred_people(archive, np.arange(6)).tolist())) == expected


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
