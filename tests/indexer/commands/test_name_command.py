"""`visavis name`: taking what `visavis cluster` proposes. Naming groups is in test_groups_commands.py."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer.album import open_album
from indexer.answers import album_proposals
from indexer.archive import Archive, read_archive, read_people
from indexer.grouping.groups import FILE_NAME, read_groups, write_groups
from indexer.people import PeopleError, PeopleStore
from indexer.sheet import Tile
from tests.indexer.made_up_faces import near


@pytest.fixture
def album(make_album, run):
    """Ann, four photos, and Bob, three; one face of each has the name, the others are proposed."""
    made = make_album({f"{who}{i}.png": [near(who, 10 * who + i)] for who, n in enumerate((4, 3)) for i in range(n)})
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
    assert nothing.exit_code == 0 and nothing.stderr.startswith("Nothing is proposed: `visavis cluster`")
    assert run("name", "--accept-all", "--sheet", "x.jpg", "--json", "--album", album.root).stdout == ""


def test_accept_all_takes_everything(album, run) -> None:
    result = run("name", "--accept-all", "--album", album.root)
    assert "5 faces taken for 2 people." in result.stderr and _people(album) == {"Ann": 4, "Bob": 3}


def test_a_sheet_is_for_looking_first(album, run, tmp_path) -> None:
    result = run("name", "--accept", "Ann", "--sheet", tmp_path / "look.jpg", "--album", album.root)
    assert result.exit_code == 0 and "3 faces on" in result.stderr and "nothing was taken" in result.stderr
    assert np.asarray(Image.open(tmp_path / "look.jpg")).shape[1] >= 3 * 160
    assert _people(album) == {"Ann": 1, "Bob": 1}


def test_what_is_on_the_sheet_is_listed_for_programs_and_can_be_rejected(album, run, tmp_path, monkeypatch) -> None:
    captions = []
    monkeypatch.setattr(
        "indexer.sheet.Tile", lambda picture, caption: captions.append(caption) or Tile(picture, caption)
    )
    sheet = tmp_path / "look.jpg"
    result = run("name", "--accept", "Ann", "--sheet", sheet, "--album", album.root, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["person"], line["proposed"]) for line in lines] == [(None, "Ann")] * 3
    assert sorted(captions) == ["01.png#1", "02.png#1", "03.png#1"]
    assert run("reject", *captions[:2], "--album", album.root).exit_code == 0, "not Ann, for whom they are proposed"
    mixed = run("reject", "11.png#1", "00.png#1", "--album", album.root)
    assert mixed.exit_code == 1 and "say with --not who they are not" in mixed.stderr
    captions.clear()
    assert run("name", "--accept-all", "--sheet", sheet, "--album", album.root).exit_code == 0
    assert {caption[:5] for caption in captions} == {"Ann: ", "Bob: "} and "Bob: 11.png#1" in captions


def test_what_cannot_be_taken_is_told_and_the_rest_is_taken(album, run) -> None:
    """Two faces of Ann's group were told apart after it was made."""
    assert run("different", "01.png#1", "02.png#1", "--album", album.root).exit_code == 0
    result = run("name", "--accept-all", "--album", album.root, "--json")
    assert result.exit_code == 1 and _people(album) == {"Ann": 1, "Bob": 3}
    assert {json.loads(line)["person"] for line in result.stdout.splitlines()} == {"Bob"}
    assert "Bob: 2 faces more." in result.stderr and "2 faces taken for 1 person." in result.stderr
    assert 'cannot name 3 faces "Ann", because' in result.stderr and "were said to be different" in result.stderr
    assert "`visavis cluster` groups and proposes" in result.stderr and "retract" not in result.stderr
    assert run("cluster", "--album", album.root).exit_code == 0
    assert run("name", "--accept-all", "--album", album.root).exit_code == 0


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


def test_a_face_in_the_mirror_has_the_name_and_the_rest_is_taken_as_announced(make_album, run) -> None:
    """Zoe twice in one photo: the two were said to be the same."""
    photos = {"mirror.png": [near(0, 1), near(0, 2)]} | {f"{i}.png": [near(0, 10 + i)] for i in range(4)}
    album = make_album(photos).root
    assert run("move", "--to", "Zoe", "--new", "mirror.png#2", "--album", album).exit_code == 0
    assert run("same", "mirror.png#1", "mirror.png#2", "--album", album).exit_code == 0
    assert "Proposed: 4 faces for 1 person: Zoe (4)" in run("cluster", "--album", album).stderr
    assert [line.split("\t")[0][-12:] for line in run("show", "Zoe", "--album", album).stdout.splitlines()] == [
        "mirror.png#1",
        "mirror.png#2",
    ]
    refused = run("reject", "--not", "Zoe", "mirror.png#1", "--album", album)
    assert "were said to be the same person" in refused.stderr and "With --loosen" in refused.stderr
    assert "Zoe: 4 faces more" in run("name", "--accept", "Zoe", "--album", album).stderr
    assert "Proposed" not in run("cluster", "--album", album).stderr


_FACE = st.integers(0, 11)
_MIRRORS = (8, 10)  # rows of a face that stands beside one like it
_SAID = st.lists(
    st.one_of(
        st.sampled_from([("same", row, row + 1) for row in _MIRRORS]),
        st.tuples(st.sampled_from(["same", "different"]), _FACE, _FACE),
        st.tuples(st.sampled_from(["move", "reject"]), _FACE, st.sampled_from([1, 2])),
        st.tuples(st.just("ignore"), _FACE),
    ),
    max_size=12,
)


def _say(store: PeopleStore, archive: Archive, said: tuple[str, int, int]) -> None:
    what, row, *other = said
    with suppress(PeopleError):  # what contradicts the rest is refused
        match what:
            case "move" | "reject":
                getattr(store, what)([archive.ref(row)], *other)
            case "ignore":
                store.ignore([archive.ref(row)])
            case _:
                getattr(store, what)(archive.ref(row), archive.ref(*other))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_FACE, min_size=2, max_size=2, unique=True), _SAID)
def test_whatever_was_said_all_that_is_announced_can_be_taken(make_album, run, tmp_path, named, facts) -> None:
    """Two people in six photos alone, in one together, and each in one with a mirror."""
    if not (tmp_path / "album").exists():
        photos = {f"{i}.png": [near(i % 2, i)] for i in range(6)}
        pairs = {"a.png": [near(0, 10), near(1, 11)], "b.png": [near(0, 12), near(0, 13)]}
        make_album(photos | pairs | {"c.png": [near(1, 14), near(1, 15)]})
    album = open_album(tmp_path / "album")
    album.people.unlink(missing_ok=True)
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        for row, name in zip(named, ("Ann", "Bob"), strict=True):
            store.assign([archive.ref(row)], name, add_to_existing=False)
        for said in facts:
            _say(store, archive, said)
    result = run("cluster", "--album", album.root)
    assert result.exit_code == 0, result.output
    before = read_archive(album)
    announced = dict(re.findall(r"(Ann|Bob) \((\d+)\)", result.stderr))
    taken = run("name", "--accept-all", "--album", album.root)
    assert taken.exit_code == 0, taken.output
    assert dict(re.findall(r"(Ann|Bob): (\d+) faces? more", taken.stderr)) == announced
    after = read_archive(album)
    assert int(((after.persons >= 0) & (before.persons < 0)).sum()) == sum(map(int, announced.values()))


def proposals_by_person(archive: Archive) -> dict[int, int]:
    """Count the faces that are proposed for each person."""
    proposed, _ = album_proposals(archive)
    people, faces = np.unique(proposed[proposed >= 0], return_counts=True)
    return dict(zip(people.tolist(), faces.tolist(), strict=True))
