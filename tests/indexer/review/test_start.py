"""Where a review begins: the last clustering, and what was said since."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.archive import read_archive
from indexer.grouping.groups import GroupsError
from indexer.people import PeopleStore
from indexer.review.board import NOBODY, rows_of
from indexer.review.questions import rank_questions
from indexer.review.start import read_board
from tests.indexer.made_up_faces import near


@pytest.fixture
def album(make_album, run):
    """Two groups, of four and three faces, and two alike faces in one photo, of which one is in the first group."""
    photos = {f"{who}{i}.png": [near(who, 10 * who + i)] for who, n in enumerate((3, 3)) for i in range(n)}
    made = make_album({**photos, "twins.png": [near(0, 90), near(0, 91)]})
    assert run("cluster", "--album", made.root).exit_code == 0
    return made


def _row(archive, name: str) -> int:
    return next(row for row, path in enumerate(archive.paths) if path.endswith(name))


def test_groups_are_bundles_and_alike_faces_of_one_photo_no_question(album) -> None:
    archive = read_archive(album)
    material, board = read_board(archive)
    bundle = board.bundle[_row(archive, "00.png")]
    assert len(rows_of(board, bundle)) == 4 and (board.person == NOBODY).all()
    assert len(material.links), "the twins are linked"
    asked = rank_questions(material, board, 99)
    assert [len(q.candidates) for q in asked] == [0, 0], "and known to be two people"


def test_what_was_said_since_the_clustering_holds(album) -> None:
    archive = read_archive(album)
    rows = [_row(archive, name) for name in ("00.png", "01.png", "02.png", "10.png", "11.png", "12.png")]
    refs = [archive.ref(row) for row in rows]
    with PeopleStore(album.people) as store:
        store.assign(refs[:1], "Ann", add_to_existing=False)
        ann = store.state().person_named("Ann")
        store.reject(refs[1:2], ann)
        store.ignore(refs[2:3])
        store.different(refs[3], refs[4])
    archive = read_archive(album)
    material, board = read_board(archive)
    assert board.person[rows[0]] == ann and board.bundle[rows[2]] == -1
    assert board.rejected.tolist() == [[rows[1], ann]]
    assert board.bundle[rows[3]] != board.bundle[rows[4]]
    assert board.bundle[rows[5]] in board.bundle[rows[3:5]]
    for question in rank_questions(material, board, 99):
        bundles = {question.target, *question.candidates}
        assert not bundles >= {int(board.bundle[rows[3]]), int(board.bundle[rows[4]])}


def test_faces_that_came_since_the_clustering_stand_alone(album, make_album) -> None:
    make_album({"new.png": [near(0, 77)]})
    archive = read_archive(album)
    material, board = read_board(archive)
    new = _row(archive, "new.png")
    assert board.bundle[new] == new and material.chance[new] == 0 and material.group[new] == 0


def test_ignored_faces_have_no_links(album) -> None:
    archive = read_archive(album)
    linked = np.unique(read_board(archive)[0].links)
    assert len(linked)
    with PeopleStore(album.people) as store:
        store.ignore([archive.ref(row) for row in linked.tolist()])
    assert len(read_board(read_archive(album))[0].links) == 0


def test_an_album_that_was_never_grouped_has_nothing_to_review(make_album) -> None:
    with pytest.raises(GroupsError, match="run `visavis cluster` first"):
        read_board(read_archive(make_album({"a.png": [[1, 0]]})))
