"""Who is proposed for an unnamed face."""

from __future__ import annotations

import pytest

from indexer.archive import read_archive
from indexer.grouping.archive_groups import group_archive
from indexer.grouping.groups import NOBODY
from indexer.grouping.proposals import propose
from indexer.people import PeopleStore
from tests.indexer.made_up_faces import near


@pytest.fixture
def archive(make_album):
    """Three people with four photos each; of the first two one photo has the name."""
    album = make_album({f"{who}{i}.png": [near(who, 10 * who + i)] for who in range(3) for i in range(4)})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        for row, path in enumerate(archive.paths):
            if path.endswith(("00.png", "10.png")):
                store.assign([archive.ref(row)], path[-6], add_to_existing=False)
    return read_archive(album)


def test_unnamed_faces_are_proposed_for_the_name_in_their_group(archive) -> None:
    proposed, sureness = propose(archive, group_archive(archive))
    for row, path in enumerate(archive.paths):
        who, number = path[-6], path[-5]
        expected = NOBODY if who == "2" or number == "0" else archive.people.person_named(who)
        assert proposed[row] == expected, path
        assert (sureness[row] > 0.9) == (expected != NOBODY), path


def test_nobody_is_proposed_where_nobody_has_a_name(make_album) -> None:
    archive = read_archive(make_album({"a.png": [near(0, 1)], "b.png": [near(0, 2)]}))
    proposed, sureness = propose(archive, group_archive(archive))
    assert proposed.tolist() == [NOBODY] * 2 and sureness.tolist() == [0, 0]


def test_a_face_that_is_more_like_somebody_else_is_not_sure(archive) -> None:
    """Were face 11 grouped with the first person, the recogniser would not agree."""
    found = group_archive(archive)
    zero, one = (archive.people.person_named(name) for name in "01")
    row = next(row for row, path in enumerate(archive.paths) if path.endswith("11.png"))
    found.owner[found.rows == row] = zero
    proposed, sureness = propose(archive, found)
    assert proposed[row] == zero != one and sureness[row] == 0
