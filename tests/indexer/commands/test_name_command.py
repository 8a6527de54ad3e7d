"""`visavis name`: taking what `visavis cluster` proposes. Naming groups is in test_groups_commands.py."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from indexer.answers import album_proposals
from indexer.archive import Archive, read_archive, read_people
from indexer.grouping.groups import FILE_NAME, read_groups, write_groups
from indexer.people import PeopleStore


def _near(direction: int, seed: int) -> list[float]:
    face = 0.02 * np.random.default_rng(seed).standard_normal(128)
    face[direction] += 1
    return face.tolist()


@pytest.fixture
def album(make_album, run):
    """Ann, four photos, and Bob, three; one face of each has the name, the others are proposed."""
    made = make_album({f"{who}{i}.png": [_near(who, 10 * who + i)] for who, n in enumerate((4, 3)) for i in range(n)})
    archive = read_archive(made)
    with PeopleStore(made.people) as store:
        for row, path in enumerate(archive.paths):
            if path.endswith("0.png"):
                store.assign([archive.ref(row)], "Ann" if "00.png" in path else "Bob", add_to_existing=False)
    assert run("cluster", "--album", made.root).exit_code == 0
    return made


def _people(album) -> dict[str, int]:
    state = read_people(album)
    return {name: list(state.person_of.values()).count(person) for person, name in state.persons.items()}


def _row(archive, name: str) -> int:
    return next(row for row, path in enumerate(archive.paths) if path.endswith(name))


def test_what_is_proposed_for_a_person_is_taken_as_one_action(album, run) -> None:
    result = run("name", "--accept", "ann", "--album", album.root, "--json")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == 3 and {(line["person"], line["proposed"]) for line in lines} == {("Ann", None)}
    assert _people(album) == {"Ann": 4, "Bob": 1} and "Ann: 3 faces more." in result.stderr
    with PeopleStore(album.people) as store:
        store.undo()
    assert _people(album) == {"Ann": 1, "Bob": 1}


def test_several_people_and_all_of_them(album, run) -> None:
    assert run("name", "--accept", "Bob", "--accept", "Ann", "--album", album.root).exit_code == 0
    assert _people(album) == {"Ann": 4, "Bob": 3}
    nothing = run("name", "--accept-all", "--album", album.root)
    assert nothing.exit_code == 0 and "0 faces taken for 0 people" in nothing.stderr


def test_accept_all_takes_everything(album, run) -> None:
    result = run("name", "--accept-all", "--album", album.root)
    assert "5 faces taken for 2 people." in result.stderr and _people(album) == {"Ann": 4, "Bob": 3}


def test_a_sheet_is_for_looking_first(album, run, tmp_path) -> None:
    result = run("name", "--accept", "Ann", "--sheet", tmp_path / "look.jpg", "--album", album.root)
    assert result.exit_code == 0 and "3 faces on" in result.stderr and "nothing was taken" in result.stderr
    assert np.asarray(Image.open(tmp_path / "look.jpg")).shape[1] >= 3 * 160
    assert _people(album) == {"Ann": 1, "Bob": 1}


def test_only_sure_faces_are_taken_on_request(album, run) -> None:
    archive, path = read_archive(album), album.index / FILE_NAME
    stored = read_groups(path)
    sure = {"01.png": 0.999, "02.png": 0.99, "03.png": 0.5}
    ids = {archive.faces.face_ids[_row(archive, name)]: value for name, value in sure.items()}
    assert all(stored.sureness[stored.face_ids == face] > 0.9 for face in ids), "all are alike"
    sureness = np.array([ids.get(face, 0) for face in stored.face_ids], np.float32)
    path.write_bytes(write_groups(replace(stored, sureness=sureness)))
    result = run("name", "--accept", "Ann", "--above", "0.9", "--album", album.root)
    assert result.exit_code == 0, result.output
    archive = read_archive(album)
    assert archive.persons[_row(archive, "03.png")] < 0 and _people(album)["Ann"] == 3
    none = run("name", "--accept", "Ann", "--above", "0.9", "--album", album.root)
    assert none.exit_code == 1 and "1 face is below --above 0.9" in none.stderr


def test_rejected_proposals_are_not_made_again(album, run) -> None:
    archive = read_archive(album)
    ann = archive.people.person_named("Ann")
    assert proposals_by_person(archive) == {ann: 3, archive.people.person_named("Bob"): 2}
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(_row(archive, "02.png"))], "Ann", add_to_existing=True)
        store.reject([archive.ref(_row(archive, "01.png"))], ann)
    archive = read_archive(album)
    assert proposals_by_person(archive)[ann] == 1, "at once"
    for _ in range(2):
        assert run("cluster", "--album", album.root).exit_code == 0
        proposed, _ = album_proposals(read_archive(album))
        assert proposed[_row(archive, "01.png")] != ann
        assert proposals_by_person(read_archive(album))[ann] == 1
    assert run("name", "--accept-all", "--album", album.root).exit_code == 0
    assert _people(album) == {"Ann": 3, "Bob": 3}


def test_a_face_named_or_ignored_since_is_proposed_no_more(album) -> None:
    archive = read_archive(album)
    ann = archive.people.person_named("Ann")
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(_row(archive, "01.png"))], "Cleo", add_to_existing=False)
        store.ignore([archive.ref(_row(archive, "02.png"))])
    assert proposals_by_person(read_archive(album))[ann] == 1


def test_a_person_that_was_merged_has_no_proposals(album) -> None:
    archive = read_archive(album)
    ann, bob = (archive.people.person_named(name) for name in ("Ann", "Bob"))
    with PeopleStore(album.people) as store:
        store.merge(ann, bob)
    assert proposals_by_person(read_archive(album)) == {ann: 3}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--accept", "Cleo"], 1, "nobody here is called 'Cleo'"),
        (["--accept", "Ann", "3", "Ann"], 2, "goes with no GROUP"),
        (["--accept-all", "--add"], 2, "goes with no GROUP"),
        ([], 2, "say GROUP and NAME"),
        (["3"], 2, "say GROUP and NAME"),
        (["3", "Ann", "--above", "0.5"], 2, "go with --accept"),
        (["--accept", "Ann", "--above", "2"], 2, "0<=x<=1"),
    ],
)
def test_what_cannot_be_is_said(album, run, words, code, message) -> None:
    result = run("name", *words, "--album", album.root)
    assert result.exit_code == code and message in result.stderr
    assert _people(album) == {"Ann": 1, "Bob": 1}


def test_nobody_for_whom_anything_is_proposed_says_what_to_do(make_album, run) -> None:
    album = make_album({"a.png": [[1, 0]], "b.png": [[0, 1]]})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann", add_to_existing=False)
    result = run("name", "--accept", "Ann", "--album", album.root)
    assert result.exit_code == 1 and "`visavis cluster` proposes faces" in result.stderr


def proposals_by_person(archive: Archive) -> dict[int, int]:
    """Count the faces that are proposed for each person."""
    proposed, _ = album_proposals(archive)
    people, faces = np.unique(proposed[proposed >= 0], return_counts=True)
    return dict(zip(people.tolist(), faces.tolist(), strict=True))
