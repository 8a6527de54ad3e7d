"""`visavis cluster`, `people`, `name` and `show`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer.album import write_whole
from indexer.grouping.groups import read_groups, write_groups


def _lines(result):
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def grouped(demo_album, run):
    assert run("cluster", "--album", demo_album).exit_code == 0
    return demo_album


def test_two_people_make_two_groups_and_the_group_picture_shows_both(demo_album, run) -> None:
    lines = _lines(run("cluster", "--album", demo_album, "--json"))[:-1]
    assert set(lines[0]) == {"photo", "box", "face_id", "group", "person", "proposed"}
    groups = {}
    for line in lines:
        if "together" not in line["photo"]:
            groups.setdefault(Path(line["photo"]).parent.name, set()).add(line["group"])
    assert all(len(numbers) == 1 for numbers in groups.values()) and groups["eileen"] != groups["grace"]
    together = [line["group"] for line in lines if "together" in line["photo"]]
    assert set(together) == groups["eileen"] | groups["grace"]


def test_people_and_cluster_tell_the_same_faces(grouped, run) -> None:
    clustered = _lines(run("cluster", "--album", grouped, "--json"))
    assert _lines(run("people", "--album", grouped, "--faces", "--json")) == clustered[:-1]


def test_a_group_keeps_its_number_when_the_album_grows(grouped, run, demo_photos, tmp_path) -> None:
    before = {line["face_id"]: line["group"] for line in _lines(run("people", "--album", grouped, "--faces", "--json"))}
    picture = Image.open(demo_photos.archive / "grace" / "bright.jpg").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    (tmp_path / "new").mkdir()
    picture.save(tmp_path / "new" / "mirrored.jpg", quality=80)
    assert run("index", "--album", grouped, tmp_path / "new").exit_code == 0
    after = {line["face_id"]: line["group"] for line in _lines(run("cluster", "--album", grouped, "--json"))[:-1]}
    assert {face: after[face] for face in before} == before
    assert len(after) == len(before) + 1


def test_a_name_stays_with_its_faces_when_groups_are_made_anew(grouped, run) -> None:
    rows = _lines(run("name", "1", "Ann Lee", "--album", grouped, "--json"))
    assert {row["person"] for row in rows} == {"Ann Lee"}
    named = {row["face_id"] for row in rows}
    after = _lines(run("cluster", "--album", grouped, "--json", "--looser"))[:-1]
    assert {row["face_id"] for row in after if row["person"] == "Ann Lee"} == named
    assert all(row["group"] is None for row in after if row["person"])
    table = _lines(run("people", "--album", grouped, "--json"))
    assert table[0] == {"person": "Ann Lee", "group": None, "faces": len(named), "photos": len(named)}


def test_a_name_that_is_taken_is_refused_and_add_adds(grouped, run) -> None:
    assert run("name", "1", "Ann Lee", "--album", grouped).exit_code == 0
    refused = run("name", "2", "ann lee", "--album", grouped)
    assert refused.exit_code == 1 and "--add" in refused.stderr
    assert len(_lines(run("people", "--album", grouped, "--json"))) == 2, "nothing was changed"


def test_one_person_at_most_once_in_a_photo_even_when_told_so(grouped, run) -> None:
    """Both faces of the group picture cannot be Ann, but people may say what they like: it is their word."""
    assert run("name", "1", "Ann Lee", "--album", grouped).exit_code == 0
    assert run("name", "2", "Ann Lee", "--add", "--album", grouped).exit_code == 0


@pytest.mark.parametrize(("group", "message"), [("99", "there is no group 99"), ("Bob", "nobody here is called 'Bob'")])
def test_a_group_that_is_not_there_is_named(grouped, run, group, message) -> None:
    for command in (["name", group, "Ann Lee"], ["show", group]):
        result = run(*command, "--album", grouped)
        assert result.exit_code == 1 and message in result.stderr


def test_show_lists_photos_and_makes_a_sheet(grouped, run, tmp_path) -> None:
    result = run("show", "1", "--album", grouped, "--sheet", tmp_path / "one.jpg")
    lines = result.stdout.splitlines()
    assert len(lines) == 9 and all(line.endswith("\tgroup 1") for line in lines)
    sheet = np.asarray(Image.open(tmp_path / "one.jpg"))
    assert sheet.shape[1] >= 6 * 160 and "9 faces on" in result.stderr


def test_a_sheet_holds_as_many_faces_as_are_asked_for_and_no_fewer_than_one(grouped, run, tmp_path) -> None:
    ask = ("show", "1", "--album", grouped, "--sheet", tmp_path / "one.jpg", "--most")
    assert "2 faces on" in run(*ask, "2").stderr
    for wrong in ("0", "-1"):
        assert run(*ask, wrong).exit_code == 2


@pytest.mark.parametrize("typed", ["1", "#1", "\N{FULLWIDTH DIGIT ONE}"])
def test_a_group_is_called_by_its_number_however_it_was_typed(grouped, run, typed) -> None:
    assert run("name", typed, "Ann Lee", "--album", grouped).stderr.startswith("Group 1 is Ann Lee: ")


def test_groups_are_sorted_as_review_asks_for_names(make_album, run) -> None:
    """The larger group is the less sure one."""
    album = make_album({f"{n}.png": [[1, n / 100, 0]] for n in range(4)} | {f"{n}b.png": [[0, 0, 1]] for n in range(3)})
    assert run("cluster", "--album", album.root).exit_code == 0
    groups = read_groups(album.index / "groups.parquet")
    chance = np.where(groups.groups == 1, 0.5, 0.99).astype(np.float32)
    write_whole(album.index / "groups.parquet", write_groups(dataclasses.replace(groups, chance=chance)))
    by_size = _lines(run("people", "--album", album.root, "--json"))
    assert [(line["group"], line["faces"]) for line in by_size] == [(1, 4), (2, 3)]
    asked = [line["group"] for line in _lines(run("review", "--album", album.root, "--json"))]
    by_review = _lines(run("people", "--sort", "review", "--album", album.root, "--json"))
    assert [line["group"] for line in by_review] == asked == [2, 1]


def test_show_without_the_photos_still_lists_them(run, tmp_path, make_album) -> None:
    album = make_album({"a.png": [[1, 0]], "b.png": [[1, 0.01]], "c.png": [[0, 1]]})
    assert run("cluster", "--album", album.root).exit_code == 0
    (tmp_path / "photos" / "a.png").unlink()
    result = run("show", "1", "--album", album.root, "--sheet", tmp_path / "s.jpg")
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2
    assert "a.png: No such file or directory" in result.stderr and "1 face on" in result.stderr


def test_an_album_without_faces_says_what_to_do(run, make_album) -> None:
    album = make_album({"a.png": []})
    for command in ("cluster", "people"):
        result = run(command, "--album", album.root)
        assert result.exit_code == 1 and "no face: add photos with `visavis index" in result.stderr
