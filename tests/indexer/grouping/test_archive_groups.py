"""Grouping an archive: who takes part, and what was said holds."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from indexer.archive import read_archive
from indexer.grouping import album_lists
from indexer.grouping.archive_groups import facts_of, group_archive, settings_for
from indexer.grouping.link_threshold import Evidence
from indexer.grouping.proposals import propose
from indexer.people import PeopleStore
from tests.indexer.made_up_faces import near


@pytest.fixture
def album(make_album):
    """Two people with four photos each, and a photo with two faces that look like the first of them."""
    photos = {f"{who}{i}.png": [near(who, 10 * who + i)] for who in (0, 1) for i in range(4)}
    return make_album(photos | {"twins.png": [near(0, 90), near(0, 91)]})


def _groups(album):
    archive = read_archive(album)
    found = group_archive(archive)
    labels = dict(zip(found.rows.tolist(), found.clustering.labels.tolist(), strict=True))
    return archive, labels


def test_faces_that_come_later_are_entered_into_the_lists_that_were_kept(album, make_album) -> None:
    _groups(album)
    make_album({"02.png": [near(0, 70)], "new.png": [near(5, 71)]})
    with mock.patch.object(album_lists, "new_lists", side_effect=AssertionError):
        archive, labels = _groups(album)
    by_name = {archive.paths[row].rsplit("/", 1)[1]: label for row, label in labels.items()}
    assert by_name["02.png"] == by_name["00.png"] != -1 and by_name["new.png"] == -1
    (album.index / album_lists.FILE_NAME).unlink()
    fresh = group_archive(archive).clustering.labels
    assert dict(zip(range(len(fresh)), fresh.tolist(), strict=True)) == labels


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


def _row(archive, name):
    return next(row for row, path in enumerate(archive.paths) if path.endswith(name))


def test_ignored_faces_take_no_part_and_named_ones_do(album) -> None:
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann Lee", add_to_existing=False)
        store.ignore([archive.ref(1)])
    _, labels = _groups(album)
    assert set(labels) == set(range(len(archive.faces))) - {1}


def test_a_group_with_a_name_has_an_owner_and_no_group_has_two(album) -> None:
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(_row(archive, "00.png"))], "Ann", add_to_existing=False)
        store.assign([archive.ref(_row(archive, "01.png"))], "Bob", add_to_existing=False)
    archive = read_archive(album)
    found = group_archive(archive)
    for label in range(found.clustering.labels.max() + 1):
        inside = found.rows[found.clustering.labels == label]
        names = set(archive.persons[inside].tolist()) - {-1}
        assert len(names) <= 1
        assert set(found.owner[found.clustering.labels == label].tolist()) == (names or {-1})
    owners = {found.owner[_row(archive, f"0{i}.png")] for i in range(4)}
    assert len(owners - {-1}) == 2, "the two names share out the faces that look like both"
    assert {found.owner[_row(archive, f"1{i}.png")] for i in range(4)} == {-1}


def test_a_rejected_face_is_not_grouped_with_the_person(album) -> None:
    archive = read_archive(album)
    ann, other = _row(archive, "00.png"), _row(archive, "01.png")
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(ann)], "Ann", add_to_existing=False)
        person = store.state().person_named("Ann")
        store.reject([archive.ref(other)], person)
    archive, labels = _groups(album)
    assert labels[ann] != labels[other]
    facts = facts_of(archive, np.arange(len(archive.faces)))
    assert sorted(facts.different[0].tolist()) == sorted([ann, other])


def test_faces_that_are_the_same_by_an_ignored_one_are_one_person(album) -> None:
    """Ann is the same as a face that was ignored later, and that is the same as one of another look."""
    archive = read_archive(album)
    one, between, other = (_row(archive, name) for name in ("00.png", "01.png", "10.png"))
    with PeopleStore(album.people) as store:
        store.same(archive.ref(one), archive.ref(between))
        store.same(archive.ref(between), archive.ref(other))
        store.ignore([archive.ref(between)])
    _, labels = _groups(album)
    assert labels[one] == labels[other] >= 0


def test_links_lead_from_group_to_group(album) -> None:
    """The twins look alike, and stand in one photo: they are not grouped, and linked all the same."""
    archive = read_archive(album)
    found = group_archive(archive)
    twins = [row for row, path in enumerate(archive.paths) if path.endswith("twins.png")]
    assert sorted(twins) in found.links.tolist()
    label = dict(zip(found.rows.tolist(), found.clustering.labels.tolist(), strict=True))
    assert all(label[a] != label[b] or label[a] < 0 for a, b in found.links.tolist())
    assert (found.links[:, 0] < found.links[:, 1]).all()


def test_an_archive_in_which_everybody_has_a_name_proposes_nothing(make_album) -> None:
    album = make_album({"a.png": [[1, 0]], "b.png": [[0, 1]]})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann", add_to_existing=False)
        store.assign([archive.ref(1)], "Bob", add_to_existing=False)
    archive = read_archive(album)
    proposed, sureness = propose(archive, group_archive(archive))
    assert proposed.tolist() == [-1, -1] and sureness.tolist() == [0, 0]


def test_an_archive_of_ignored_faces_has_no_group(make_album) -> None:
    album = make_album({"a.png": [[1, 0]], "b.png": [[0, 1]]})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.ignore([archive.ref(0), archive.ref(1)])
    found = group_archive(read_archive(album))
    assert len(found.rows) == len(found.clustering.labels) == len(found.links) == 0


def test_a_small_album_is_stepped_from_the_usual_threshold(album) -> None:
    """It has too few faces to tell its own threshold, and --stricter must not be silently without effect."""
    archive = read_archive(album)
    usual, stricter, looser = (group_archive(archive, wrong_share_factor=f).clustering.threshold for f in (1, 0.5, 2))
    assert usual.evidence is stricter.evidence is Evidence.PRIOR
    assert stricter.similarity > usual.similarity == settings_for("sface").prior > looser.similarity


def test_stricter_and_looser_halve_and_double_the_odds_of_a_wrong_pair() -> None:
    usual = settings_for("sface").wrong_share
    odds = usual / (1 - usual)
    for factor in (0.25, 0.5, 2, 64):
        share = settings_for("sface", factor).wrong_share
        assert share / (1 - share) == pytest.approx(odds * factor)
        assert 0 < share < 1
    assert settings_for("sface").prior != settings_for("dlib").prior


def test_grouping_again_makes_no_list_anew(album) -> None:
    """Neither the same faces nor faces that are ignored from now on start the search over."""
    _groups(album)
    with PeopleStore(album.people) as store:
        store.ignore([read_archive(album).ref(0)])
    with mock.patch.object(album_lists, "new_lists", side_effect=AssertionError):
        _, labels = _groups(album)
    assert 0 not in labels and len(set(labels.values()) - {-1}) == 2
