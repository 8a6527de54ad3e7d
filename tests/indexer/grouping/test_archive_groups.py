"""Grouping an archive: who takes part, and what was said holds."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.archive import read_archive
from indexer.grouping.archive_groups import group_unnamed, settings_for
from indexer.people import PeopleStore


def _near(direction: int, wobble: float, seed: int) -> list[float]:
    """A face near one of a few directions."""
    face = wobble * np.random.default_rng(seed).standard_normal(128)
    face[direction] += 1
    return face.tolist()


@pytest.fixture
def album(make_album):
    """Two people with four photos each, and a photo with two faces that look like the first of them."""
    photos = {f"{who}{i}.png": [_near(who, 0.02, 10 * who + i)] for who in (0, 1) for i in range(4)}
    return make_album(photos | {"twins.png": [_near(0, 0.02, 90), _near(0, 0.02, 91)]})


def _groups(album):
    archive = read_archive(album)
    rows, found = group_unnamed(archive)
    labels = dict(zip(rows.tolist(), found.labels.tolist(), strict=True))
    return archive, labels


def test_people_become_groups_and_one_photo_holds_a_person_once(album) -> None:
    archive, labels = _groups(album)
    by_photo = {}
    for row, label in labels.items():
        by_photo.setdefault(archive.paths[row].rsplit("/", 1)[1], []).append(label)
    first, second = {by_photo[f"0{i}.png"][0] for i in range(4)}, {by_photo[f"1{i}.png"][0] for i in range(4)}
    assert len(first) == len(second) == 1 and first != second and -1 not in first | second
    one, other = by_photo["twins.png"]
    assert one != other and len({one, other} & first) == 1


def test_two_faces_of_one_photo_said_to_be_one_person_are_joined(album) -> None:
    archive = read_archive(album)
    twins = [row for row, path in enumerate(archive.paths) if path.endswith("twins.png")]
    with PeopleStore(album.people) as store:
        store.same(archive.ref(twins[0]), archive.ref(twins[1]))
    _, labels = _groups(album)
    assert labels[twins[0]] == labels[twins[1]] != -1


def test_faces_said_to_be_two_people_are_kept_apart(album) -> None:
    archive = read_archive(album)
    a, b = (next(row for row, p in enumerate(archive.paths) if p.endswith(name)) for name in ("00.png", "01.png"))
    with PeopleStore(album.people) as store:
        store.different(archive.ref(a), archive.ref(b))
    _, labels = _groups(album)
    assert labels[a] != labels[b] or labels[a] == labels[b] == -1


def test_named_and_ignored_faces_take_no_part(album) -> None:
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann Lee", add_to_existing=False)
        store.ignore([archive.ref(1)])
    _, labels = _groups(album)
    assert set(labels) == set(range(2, len(archive.faces)))


def test_an_archive_in_which_everybody_has_a_name_has_no_group(make_album) -> None:
    album = make_album({"a.png": [[1, 0]], "b.png": [[0, 1]]})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann", add_to_existing=False)
        store.assign([archive.ref(1)], "Bob", add_to_existing=False)
    rows, found = group_unnamed(read_archive(album))
    assert len(rows) == 0 and len(found.labels) == 0


def test_stricter_and_looser_halve_and_double_the_odds_of_a_wrong_pair() -> None:
    usual = settings_for("sface").wrong_share
    odds = usual / (1 - usual)
    for factor in (0.25, 0.5, 2, 64):
        share = settings_for("sface", factor).wrong_share
        assert share / (1 - share) == pytest.approx(odds * factor)
        assert 0 < share < 1
    assert settings_for("sface").prior != settings_for("dlib").prior
