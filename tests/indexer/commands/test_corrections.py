"""What people say about faces: `visavis merge`, `split`, `move`, `reject`, `ignore`, `rename`, `same`, `different`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from indexer.album import write_whole
from indexer.answers import album_groups
from indexer.archive import read_archive
from indexer.grouping.groups import FILE_NAME, only_groups, write_groups
from indexer.people import PeopleStore
from tests.indexer.made_up_faces import near


@pytest.fixture
def album(make_album):
    """Three people with four photos each, of whom 0 and 1 are in group 1, 2 in group 3; and a photo with two faces."""
    photos = {f"{who}{i}.png": [near(who, 10 * who + i)] for who in (0, 1, 2) for i in range(4)}
    made = make_album(photos | {"two.png": [near(2, 90), near(5, 91)]})
    archive = read_archive(made)
    names = [path.rsplit("/", 1)[1] for path in archive.paths]
    groups = np.array([{"0": 1, "1": 1, "2": 3, "t": 0}[name[0]] for name in names])
    made.index.mkdir()
    write_whole(made.index / FILE_NAME, write_groups(only_groups(archive.faces.face_ids, groups)))
    return made


@pytest.fixture
def ask(album, run):
    """Give a function that runs a command on the album and returns its lines of JSON, or the message of its error."""

    def invoke(*words):
        result = run(*words, "--album", album.root, "--json")
        if result.exit_code:
            assert result.exit_code == 1 and result.stdout == "", result.output
            return result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    return invoke


def _by_name(album) -> dict[str, str | int | None]:
    """Give who each face is, or its group: 00.png#1 -> "Ann" or 3 or None."""
    archive = read_archive(album)
    groups = album_groups(archive)
    said = {}
    for row, path in enumerate(archive.paths):
        key = f"{path.rsplit('/', 1)[1]}#{1 + (archive.box(row)[0] > 100)}"
        said[key] = archive.people.persons.get(int(archive.persons[row])) or int(groups[row]) or None
    return said


def _faces(who: int) -> list[str]:
    return [f"{who}{i}.png#1" for i in range(4)]


def _history(album) -> list[str]:
    with PeopleStore(album.people) as store:
        return [action.kind for action in store.history()]


# merge


def test_two_groups_are_one_at_once_and_after_clustering_until_undone(album, ask) -> None:
    before = _by_name(album)
    assert {line["group"] for line in ask("merge", "1", "#3")} == {1}
    assert [line["faces"] for line in ask("people")] == [12]
    ask("cluster")
    groups = {_by_name(album)[name] for who in (0, 1, 2) for name in _faces(who)}
    assert len(groups) == 1 and None not in groups
    assert "no group 3" in ask("merge", "1", "3") and "is one group already" in ask("merge", "1", "1")
    assert _history(album) == ["join"]
    ask("undo")
    ask("cluster")
    assert _by_name(album)["00.png#1"] != _by_name(album)["20.png#1"]
    assert before["00.png#1"] == before["10.png#1"] != _by_name(album)["10.png#1"]


def test_an_undone_merge_gives_the_groups_back_at_once(album, ask) -> None:
    before = _by_name(album)
    ask("merge", "3", "1")
    assert set(_by_name(album).values()) == {3, None}
    ask("undo")
    assert _by_name(album) == before


def test_a_group_merged_with_a_person_takes_the_name_whichever_comes_first(album, ask) -> None:
    ask("name", "3", "Ann")
    ask("merge", "1", "ann")
    assert {name for name, who in _by_name(album).items() if who == "Ann"} == {*_faces(0), *_faces(1), *_faces(2)}
    ask("undo")
    ask("move", "--to", "Bob", "--new", "two.png#2")
    lines = ask("merge", "Bob", "ANN")
    assert [line["person"] for line in lines] == ["Bob"] * 5
    assert "nobody here is called 'Ann'" in ask("show", "Ann")


def test_a_photo_with_both_is_warned_of(album, run, ask) -> None:
    ask("move", "--to", "Ann", "--new", "two.png#1")
    ask("move", "--to", "Bob", "--new", "two.png#2")
    result = run("merge", "Ann", "Bob", "--album", album.root)
    assert "1 photo with two faces that are one person now, as two.png#1 and two.png#2" in result.stderr
    assert 'Done: merge "Bob" into "Ann". `visavis undo` takes it back.' in result.stderr


def test_two_people_told_apart_are_merged_when_it_is_taken_back(album, run, ask) -> None:
    ask("name", "1", "Ann")
    ask("reject", "00.png#1")
    ask("move", "--to", "Bob", "--new", "00.png#1")
    refused = ask("merge", "Ann", "Bob")
    assert '00.png#1 was said not to be "Ann"; 00.png#1 is "Bob"' in refused and "With --loosen" in refused
    assert "retract" not in refused
    assert {line["person"] for line in ask("merge", "Ann", "Bob", "--loosen")} == {"Ann"}
    assert run("merge", "Ann", "3", "--loosen", "--album", album.root).exit_code == 2


# split


def test_a_split_is_proposed_drawn_carried_out_and_holds(album, run, ask, tmp_path) -> None:
    before = _by_name(album)
    result = run("split", "1", "--album", album.root, "--sheet", tmp_path / "parts.jpg")
    assert [line.split()[:2] for line in result.stdout.splitlines()[1:]] == [["1", "4"], ["2", "4"]]
    assert "visavis split 1 --accept" in result.stderr
    with Image.open(tmp_path / "parts.jpg") as sheet:
        assert sheet.height > 2 * 160
    assert _by_name(album) == before and _history(album) == []
    lines = ask("split", "1", "--accept")
    assert {line["part"] for line in lines} == {1, 2} and {line["group"] for line in lines} == {1, 4}
    for again in (False, True):
        if again:
            ask("cluster", "--looser")
        parts = [{_by_name(album)[name] for name in _faces(who)} for who in (0, 1)]
        assert [len(part) for part in parts] == [1, 1] and parts[0] != parts[1]
    assert _history(album) == ["split"]


def test_a_proposal_keeps_to_what_was_said_and_a_hand_takes_it_back_aloud(album, run, ask) -> None:
    ask("same", "00.png#1", "10.png#1")
    parts = {line["photo"][-6:]: line["part"] for line in ask("split", "1")}
    assert parts["00.png"] == parts["10.png"]
    said = read_archive(album).people.same
    ask("split", "1", "--accept")
    assert set(said) <= set(read_archive(album).people.same)
    ask("undo")
    result = run("split", "1", "--faces", "10.png#1,11.png#1", "--album", album.root)
    told = "Taken back: that these are the same person: 00.png#1 and 10.png#1."
    assert told in result.stderr.replace("10.png#1 and 00.png#1", "00.png#1 and 10.png#1")
    assert "take back that these are the same person" in run("history", "--album", album.root).stdout


def test_an_undone_split_gives_the_group_back_and_numbers_are_not_used_twice(album, ask) -> None:
    before = _by_name(album)
    ask("split", "1", "--accept")
    ask("undo")
    assert _by_name(album) == before
    assert {line["group"] for line in ask("split", "1", "--accept")} == {1, 5}


def test_a_split_by_hand_is_carried_out_also_against_a_merge(album, ask) -> None:
    ask("merge", "1", "3")
    ask("split", "1", "--faces", "00.png#1,20.png#1", "--faces", "01.png#1")
    assert [name for name, group in _by_name(album).items() if group == 4] == ["00.png#1", "01.png#1", "20.png#1"]
    ask("split", "4", "--faces", "20.png#1")
    assert _by_name(album)["20.png#1"] is None, "a face alone is no group"
    assert _by_name(album)["00.png#1"] == 4
    assert "20.png#1 is not in group 4" in ask("split", "4", "--faces", "20.png#1")
    assert "these are all faces of group 4" in ask("split", "4", "--faces", "00.png#1,01.png#1")
    assert _history(album) == ["split", "split", "join"]
    told = [line["what"].partition(",")[0] for line in ask("history")]
    assert told == [
        "split group 4 (3 faces) into 2 people",
        "split group 1 (12 faces) into 2 people",
        "join groups 1 and 3 (12 faces) to one person",
    ]


def test_two_faces_said_to_be_different_are_parted_and_so_are_more_parts(album, ask) -> None:
    ask("different", "00.png#1", "01.png#1")
    part_of = {line["photo"][-6:]: line["part"] for line in ask("split", "1")}
    assert part_of["00.png"] != part_of["01.png"]
    assert {line["part"] for line in ask("split", "1", "--parts", "3")} == {1, 2, 3}
    assert "group 1 has 8 faces: too few for 9 parts" in ask("split", "1", "--parts", "9")


def test_of_a_person_the_smaller_part_is_somebody_else_or_nobody(album, ask) -> None:
    ask("merge", "1", "3")
    ask("name", "1", "Ann")
    ask("split", "Ann", "--faces", ",".join(_faces(2)))
    assert {_by_name(album)[name] for name in _faces(2)} == {1}, "they go back to the group that they came from"
    assert "Ann" in ask("merge", "Ann", "1") and _history(album)[0] == "reject", "what was rejected stays rejected"
    ask("undo")
    assert "nobody here is called 'Eva'" in ask("split", "Ann", "--faces", "20.png#1", "--to", "Eva")
    ask("split", "Ann", "--faces", ",".join(_faces(2)), "--to", "Eva", "--new")
    assert "by what was said to be the same person, Ann is 1 person, not 2: --faces" in ask("split", "Ann", "--accept")
    ask("split", "Ann", "--faces", ",".join(_faces(1)), "--to", "eva")
    said = _by_name(album)
    assert sorted(list(said.values()).count(name) for name in ("Ann", "Eva")) == [4, 8]
    assert _history(album)[:3] == ["move", "move", "undo"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "Eva"], "add --accept or --faces"),
        (["--faces", "00.png#1", "--accept"], "leave out --accept and --parts"),
        (["--accept", "--to", "Eva"], "visavis name"),
    ],
)
def test_options_that_do_not_go_together_are_misuse(album, run, options, message) -> None:
    result = run("split", "1", *options, "--album", album.root)
    assert result.exit_code == 2 and message in result.stderr
    assert _history(album) == []


# single faces


def test_faces_move_and_are_rejected_and_ignored(album, ask) -> None:
    ask("name", "1", "Ann")
    ask("move", "--to", "Bob", "--new", "10.png#1", "two.png#2")
    ask("move", "--to", "bob", "--group", "3")
    assert {name for name, who in _by_name(album).items() if who == "Bob"} == {"10.png#1", "two.png#2", *_faces(2)}
    assert [line["person"] for line in ask("reject", "two.png#2", "20.png#1")] == [None, None]
    assert "say with --not who they are not" in ask("reject", "two.png#1")
    assert "say with --not who they are not" in ask("reject", "00.png#1", "10.png#1")
    ask("reject", "--not", "Ann", "two.png#1")
    assert 'is "Ann"' not in ask("name", "3", "Ann"), "a group that has no face any more"
    ask("ignore", "two.png#1", "00.png#1")
    assert "00.png#1" in _by_name(album) and _by_name(album)["00.png#1"] is None
    assert all("00.png" not in line["photo"] for line in ask("people", "--faces"))
    ask("move", "--to", "Ann", "two.png#1")
    assert _by_name(album)["two.png#1"] == "Ann"
    assert ask("rename", "ANN", "Bob").startswith('Error: there is a "Bob" already')
    assert {line["person"] for line in ask("rename", "Ann", "Ann Lee")} == {"Ann Lee"}
    assert [line["face_id"] for line in ask("ignore", "--group", "3")], "the rejected face is in its group again"


def test_what_was_said_of_pairs_is_in_the_way_until_loosened_or_retracted(album, ask) -> None:
    ask("name", "1", "Ann")
    ask("same", "00.png#1", "01.png#1")
    refused = ask("reject", "00.png#1")
    assert '00.png#1 and 01.png#1 were said to be the same person; 01.png#1 is "Ann"' in refused.replace(
        "01.png#1 and 00.png#1", "00.png#1 and 01.png#1"
    )
    assert "With --loosen" in refused
    assert "With --loosen" in ask("move", "--to", "Eva", "--new", "00.png#1")
    ask("reject", "--loosen", "00.png#1")
    ask("undo")
    ask("retract", "01.png#1", "00.png#1")
    ask("reject", "00.png#1")
    assert _by_name(album)["00.png#1"] == 1


def test_a_contradiction_is_refused_with_its_facts_and_nothing_is_written(album, ask) -> None:
    ask("same", "00.png#1", "01.png#1")
    ask("same", "01.png#1", "02.png#1")
    refused = ask("different", "02.png#1", "00.png#1")
    for name in ("00.png#1", "01.png#1", "02.png#1", "were said to be the same person", "visavis retract"):
        assert name in refused
    assert "were said to be different" not in refused, "what is said now is no reason against itself"
    assert _history(album) == ["same", "same"]
    assert "is compared with itself" in ask("same", "00.png#1", "00.png#1")


def test_a_group_with_faces_that_are_not_this_person_says_how_they_leave_it(album, ask) -> None:
    ask("move", "--to", "Carl", "--new", "two.png#2")
    ask("reject", "--not", "Carl", "20.png#1")
    ask("different", "21.png#1", "two.png#2")
    for face in ("20.png#1", "21.png#1"):
        refused = ask("name", "3", "Carl", "--add")
        assert ask("merge", "Carl", "3") == refused
        assert f"`visavis split 3 --faces {face}` parts them" in refused and "retract" not in refused
        ask("split", "3", "--faces", face)
    assert {line["person"] for line in ask("name", "3", "Carl", "--add")} == {"Carl"}


def test_a_group_of_which_two_were_told_apart_since_is_to_be_grouped_anew(album, ask) -> None:
    ask("different", "20.png#1", "21.png#1")
    refused = ask("name", "3", "Rudy")
    assert "`visavis cluster` groups" in refused and "retract" not in refused and "split" not in refused


def test_two_faces_of_one_photo_with_one_name_are_warned_of_unless_they_are_the_same(album, run, ask) -> None:
    warning = "Warning: 1 photo with two faces that are one person now, as two.png#1 and two.png#2"
    where = "--album", album.root
    assert warning in run("move", "--to", "Ann", "--new", "two.png#1", "two.png#2", *where).stderr
    ask("undo")
    assert "Warning" not in run("move", "--to", "Ann", "--new", "two.png#1", *where).stderr
    assert warning in run("move", "--to", "ann", "two.png#2", "20.png#1", *where).stderr
    ask("undo")
    ask("merge", "1", "3")
    assert "Warning" not in run("name", "1", "Ann", "--add", *where).stderr
    ask("move", "--to", "Bob", "--new", "two.png#2")
    assert warning in run("split", "Ann", "--faces", "two.png#1", "--to", "Bob", *where).stderr
    ask("undo")
    ask("undo")
    ask("same", "two.png#1", "two.png#2")
    assert "Warning" not in run("move", "--to", "Ann", "two.png#2", *where).stderr


def test_a_group_added_to_somebody_beside_it_is_warned_of(make_album, run) -> None:
    album = make_album({"two.png": [near(0, 1), near(1, 2)], "a.png": [near(1, 3)], "b.png": [near(1, 4)]})
    assert run("cluster", "--album", album.root).exit_code == 0
    assert run("move", "--to", "Ann", "--new", "two.png#1", "--album", album.root).exit_code == 0
    result = run("name", "1", "Ann", "--add", "--album", album.root)
    assert "as two.png#1 and two.png#2" in result.stderr, result.stderr


def test_nothing_to_retract_is_told(album, run, ask) -> None:
    ask("same", "00.png#1", "01.png#1")
    ask("same", "01.png#1", "02.png#1")
    result = run("retract", "00.png#1", "10.png#1", "--album", album.root)
    assert result.exit_code == 0 and result.stderr == "Nothing is changed: nothing was said of just these two.\n"
    result = run("retract", "00.png#1", "02.png#1", "--album", album.root)
    assert "just these two; they are the same by what was said of them and others" in result.stderr


def test_saying_it_twice_changes_nothing(album, run) -> None:
    for expected in ("Done: say that 00.png#1 and 01.png#1 are different", "Nothing is changed"):
        result = run("different", "01.png#1", "00.png#1", "--album", album.root)
        assert expected in result.stderr.replace("01.png#1 and 00.png#1", "00.png#1 and 01.png#1")


@pytest.mark.parametrize(
    "words",
    [
        ["merge", "1", "99"],
        ["split", "99"],
        ["move", "--to", "Ann", "--new", "--group", "99"],
        ["reject", "--not", "Ann", "--group", "99"],
        ["ignore", "--group", "99"],
    ],
)
def test_a_group_that_is_not_there_any_more_is_refused(album, ask, words) -> None:
    assert "there is no group 99: `visavis people` lists people and groups" in ask(*words)


def test_a_face_or_a_group_but_not_both_or_neither(album, run) -> None:
    for words in (["ignore"], ["ignore", "--group", "1", "00.png#1"], ["move", "--to", "Ann"]):
        result = run(*words, "--album", album.root)
        assert result.exit_code == 2 and "or a group with --group" in result.stderr


def test_faces_are_listed_as_they_are_typed(album, run) -> None:
    lines = run("show", "1", "--album", album.root).stdout.splitlines()
    faces = [line.split("\t")[0] for line in lines]
    assert faces[0].endswith("/photos/00.png#1") and len(faces) == 8
    assert run("ignore", *faces, "--album", album.root).exit_code == 0
    assert "there is no group 1" in run("show", "1", "--album", album.root).stderr
