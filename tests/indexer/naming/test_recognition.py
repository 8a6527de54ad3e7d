"""Naming faces from an album: nobody named, one person, damaged vectors, and what was prepared before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from indexer.archive import read_archive
from indexer.naming import recognition
from indexer.naming.calibration import calibrate
from indexer.naming.gallery import build_gallery
from indexer.naming.identify import UNKNOWN, IdentifySettings, album_impostors
from indexer.naming.recognition import build_recogniser
from indexer.people import PeopleStore

ANN, BEA, CAT = np.eye(3).tolist()


def _archive(make_album, names=(), photos=None):
    """An album with a photo of each of Ann, Bea and Cat, two of Ann, of which rows are named."""
    photos = photos or {"a.png": [ANN], "b.png": [BEA], "c.png": [CAT], "d.png": [[1, 0.1]]}
    album = make_album(photos)
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        for row, name in names:
            store.assign([archive.ref(row)], name, add_to_existing=True)
    return read_archive(album)


def _asked(recogniser, *faces, false_alarm=0.01):
    rows = np.stack([np.pad(np.array(face, np.float32) / np.linalg.norm(face), (0, 128 - len(face))) for face in faces])
    return recogniser.name(rows, np.arange(len(faces)), np.ones(len(faces)), IdentifySettings(false_alarm))


def test_nobody_is_named_where_nobody_has_a_name(make_album):
    recogniser = build_recogniser(_archive(make_album))
    found = _asked(recogniser, ANN, BEA, false_alarm=0.99)
    assert found.person.tolist() == [UNKNOWN] * 2
    assert [recogniser.explain(found, face) for face in (0, 1)] == ["nobody in the album has a name yet"] * 2


def test_the_only_person_is_named_and_nobody_else_is_called_so(make_album):
    archive = _archive(make_album, [(0, "Ann Lee")])
    recogniser = build_recogniser(archive)
    found = _asked(recogniser, ANN, BEA, CAT, [1, 0.2])
    ann = archive.people.person_named("Ann Lee")
    assert found.person.tolist() == [ann, UNKNOWN, UNKNOWN, ann]
    assert recogniser.explain(found, 0) is None
    assert recogniser.explain(found, 1) == "nobody near enough; nearest is Ann Lee (0.00)"


def test_one_person_without_a_table_names_nobody(make_album):
    archive = _archive(make_album, [(0, "Ann Lee")])
    other = replace(archive, album=replace(archive.album, model="of one's own"))
    recogniser = build_recogniser(other)
    assert _asked(recogniser, ANN).person.tolist() == [UNKNOWN]
    assert "one person is too few to judge by" in recogniser.calibration.warning


def test_each_reason_for_no_name_says_what_stands_in_the_way(make_album):
    recogniser = build_recogniser(_archive(make_album, [(0, "Ann Lee"), (1, "Bea Ito")]))
    rows = np.zeros((3, 128), np.float32)
    rows[0, :2] = 0.6, 0.6  # as like one as the other
    rows[0, 3] = np.sqrt(1 - 0.72)
    rows[1, 2] = rows[2, 2] = 1  # like nobody, and too poor to tell
    found = recogniser.name(rows, np.arange(3), np.array([1.0, 1.0, 0.1]), IdentifySettings())
    assert found.person.tolist() == [UNKNOWN] * 3
    assert recogniser.explain(found, 0) == "between Ann Lee (0.60) and Bea Ito (0.60)"
    assert recogniser.explain(found, 1) == "nobody near enough; nearest is Ann Lee (0.00)"
    assert recogniser.explain(found, 2) == "too small or blurred to tell; nearest is Ann Lee (0.00)"


def test_damaged_vectors_are_an_error_and_never_a_name(make_album):
    archive = _archive(make_album, [(0, "Ann Lee"), (1, "Bea Ito")])
    rows = np.array(archive.faces.embeddings)
    rows[1] = np.nan
    with pytest.raises(ValueError, match="not unit vectors of numbers: face 1; `visavis verify` finds the shard"):
        build_recogniser(archive).name(rows, archive.photo_numbers, np.ones(len(rows)), IdentifySettings())
    damaged = replace(archive, faces=replace(archive.faces, embeddings=rows))
    with pytest.raises(ValueError, match="gallery face 1; `visavis verify` finds the shard"):
        build_recogniser(damaged)


def test_who_shares_a_photo_with_somebody_named_counts_as_a_stranger(make_album):
    relatives = [[1, x / 20] for x in range(40, 60)]  # cosines of .45 to .32
    photos = {"a.png": [ANN]} | {f"{n}.png": [ANN, face] for n, face in enumerate(relatives)}
    archive = _archive(make_album, [(0, "Ann Lee")], photos)
    with PeopleStore(archive.album.people) as store:
        store.assign([archive.ref(row) for row in range(1, len(archive.faces), 2)], "Ann Lee", add_to_existing=True)
    beside = build_recogniser(read_archive(archive.album))
    gallery = beside.gallery
    without = calibrate("sface", gallery.counts, album_impostors(gallery))
    similar = np.array([0.32, 0.36, 0.4])
    assert (beside.calibration.false_alarm_rate(similar) > 1.2 * without.false_alarm_rate(similar)).all()


def test_what_was_prepared_serves_until_the_album_changes(make_album, monkeypatch):
    names = [(0, "Ann Lee"), (1, "Bea Ito")]
    archive = _archive(make_album, names)
    first = build_recogniser(archive)
    stored = first.arrays()
    calls = []
    monkeypatch.setattr(recognition, "build_gallery", lambda *a: calls.append(a) or build_gallery(*a))
    again = build_recogniser(read_archive(archive.album), stored)
    assert not calls
    asked = ANN, BEA, CAT, [1, 1]
    before, after = _asked(first, *asked), _asked(again, *asked)
    for name in ("person", "similarity", "probability", "reason", "nearest"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    with PeopleStore(archive.album.people) as store:
        store.assign([archive.ref(2)], "Cat Rue", add_to_existing=False)
    changed = build_recogniser(read_archive(archive.album), stored)
    assert len(calls) == 1
    assert len(changed.gallery.people) == 3
    assert changed.contents != first.contents
