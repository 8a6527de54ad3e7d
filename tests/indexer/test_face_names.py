"""What a user types is the face, person or group that is meant, or an error that lists what could be."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from embedder.rows import PhotoRow, photo_id
from embedder.shards import write_shard
from indexer.archive import read_archive
from indexer.face_names import FaceNames, NoSuchFace, find_person, find_someone
from indexer.grouping.groups import GroupsError
from indexer.people import NoSuchPerson, PeopleStore


@pytest.fixture
def album(make_album):
    return make_album({"party.png": [[1, 0], [0, 1], [1, 1]], "beach.png": [[1, 0.1]], "xparty.png": [[0, 1]]})


@pytest.fixture
def names(album):
    return FaceNames(read_archive(album))


def test_faces_are_counted_from_the_left_and_found_by_every_name(names, tmp_path, monkeypatch) -> None:
    archive = names.archive
    for row in range(5):
        for text in (names.name(row), names.short(row), str(archive.faces.face_ids[row])):
            assert names.row(text) == row
    rows = names.rows(["party.png#1", "photos/party.png#2", "./party.png#3", "party.png#1"])
    assert [archive.box(row)[0] for row in rows] == [10, 110, 210], "each once, in the order given"
    assert names.short(rows[1]) == "party.png#2"
    assert names.name(rows[1]) == f"{tmp_path}/photos/party.png#2"
    monkeypatch.chdir(tmp_path / "photos")
    assert names.row("../photos/party.png#2") == rows[1]


def test_two_photos_of_one_name_need_more_of_their_path(album, tmp_path) -> None:
    folder = tmp_path / "photos" / "2024"
    folder.mkdir()
    shutil.copy(tmp_path / "photos" / "beach.png", folder / "copy.png")
    content = (tmp_path / "photos" / "beach.png").read_bytes() + b"changed"
    (folder / "party.png").write_bytes(content)
    archive = read_archive(album)
    rows = [
        PhotoRow(photo_id(content), str(folder / "party.png"), 9, 9, 99, 99, None, "ok", None, 1),
        PhotoRow(archive.ref(3).photo_id, str(folder / "copy.png"), 9, 9, 99, 99, None, "ok", None, 1),
    ]
    _add_face(album, rows, content)
    names = FaceNames(read_archive(album))
    with pytest.raises(NoSuchFace, match=r"party.png#2 could be .*/photos/.*party.png#2, .*party.png#2: write more"):
        names.row("party.png#2")
    new = names.row("2024/party.png#1")
    assert names.short(new) == "2024/party.png#1" and names.short(names.row("photos/party.png#2")).startswith("photos/")
    assert names.row(f"{folder}/copy.png#1") == names.row("beach.png#1"), "a copy shows the same faces"


def _add_face(album, rows, content) -> None:
    from embedder.rows import FaceRows, face_id

    box = np.array([[10, 10, 80, 90]], np.int32)
    faces = FaceRows(
        np.array([face_id(photo_id(content), box[0])]), [photo_id(content)], box, np.zeros((1, 5, 2), np.float32),
        np.ones(1, np.float32), np.ones(1, np.float32), np.full((1, 128), 128**-0.5, np.float16),
    )  # fmt: skip
    write_shard(album.shards, rows, faces, album.fingerprint)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("party.png#4", r"no face 4 in party.png, only party.png#1, party.png#2, party.png#3$"),
        ("party.png#0", "no face 0"),
        ("arty.png#1", "no photo with a face is called arty.png"),
        ("party.png", "is no face: write PHOTO#2"),
        ("#2", "no photo with a face is called"),
        ("party.png#two", "is no face"),
        ("17", "there is no face 17 in this album"),
    ],
)
def test_a_face_that_is_not_there_is_refused_with_what_there_is(names, typed, message) -> None:
    with pytest.raises(NoSuchFace, match=message):
        names.row(typed)


def test_messages_of_the_people_file_name_faces_as_users_do(names) -> None:
    one, two = names.archive.faces.face_ids[:2].tolist()
    assert names.explain(f'face {one} is "face 7"; faces {two} and {one} were said to be the same person') == (
        f'{names.short(0)} is "face 7"; {names.short(1)} and {names.short(0)} were said to be the same person'
    )
    assert names.explain(f"move 2 faces; faces {one} and 99") == f"move 2 faces; faces {one} and 99"


def test_a_person_goes_before_a_group_and_similar_names_are_told(album) -> None:
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann Lee", add_to_existing=False)
        store.assign([archive.ref(1)], "3", add_to_existing=False)
    archive, groups = read_archive(album), np.array([0, 0, 3, 3, 4])
    assert find_someone(archive, groups, "ann  LEE").rows.tolist() == [0]
    assert find_someone(archive, groups, "3").person == 2
    assert find_someone(archive, groups, "#3").person is None
    assert find_someone(archive, groups, "#3").rows.tolist() == [2, 3]
    assert find_someone(archive, groups, "4").title == "group 4"
    with pytest.raises(GroupsError, match="no group 5"):
        find_someone(archive, groups, "5")
    for find in (lambda: find_someone(archive, groups, "Ann Le"), lambda: find_person(archive.people, "Ann Le")):
        with pytest.raises(NoSuchPerson, match="nobody here is called 'Ann Le', but there is Ann Lee: "):
            find()
