"""`visavis cluster`: what it says, and what it remembers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexer.answers import album_groups
from indexer.archive import read_archive
from indexer.grouping.groups import read_groups
from indexer.people import PeopleStore
from tests.indexer.made_up_faces import near


def _photos(*counts: int, first: int = 0) -> dict[str, list[list[float]]]:
    """Photos of people, the first of whom looks into direction 0, and so on."""
    return {f"{who}{i}.png": [near(who, 10 * who + i)] for who, n in enumerate(counts) for i in range(first, n)}


@pytest.fixture
def album(make_album):
    return make_album(_photos(4, 3, 2, 1))


def _cluster(run, album, *options: str):
    result = run("cluster", "--album", album.root, *options)
    assert result.exit_code == 0, result.output
    return result


def _numbers(run, album) -> dict[str, int | None]:
    return {line["photo"].rsplit("/", 1)[1]: line["group"] for line in _json(run, album)[:-1]}


def _json(run, album, *options: str) -> list[dict[str, Any]]:
    """Give the lines for programs: one for each face, and the last one for the groups."""
    return [json.loads(line) for line in _cluster(run, album, "--json", *options).stdout.splitlines()]


def _name(album, photo: str, name: str, kind: str = "assign") -> None:
    archive = read_archive(album)
    row = next(row for row, path in enumerate(archive.paths) if path.endswith(photo))
    with PeopleStore(album.people) as store:
        if kind == "ignore":
            store.ignore([archive.ref(row)])
        else:
            store.assign([archive.ref(row)], name, add_to_existing=True)


def test_the_first_time_there_is_nothing_to_compare_with(album, run) -> None:
    result = _cluster(run, album)
    assert "Since the last time" not in result.stderr
    assert "3 groups of 9 faces without a name, 1 face alone, in" in result.stderr
    assert "No group has changed since the last time." in _cluster(run, album).stderr


def test_new_and_grown_groups_are_told(album, run, make_album) -> None:
    _cluster(run, album)
    make_album({**_photos(6, first=4), "90.png": [near(9, 90)], "91.png": [near(9, 91)]})
    told = _cluster(run, album).stderr
    assert "  new: 4\n" in told and "  grown: 1 (+2)\n" in told


def test_a_group_that_has_a_name_is_gone_and_what_is_left_of_it_proposed(album, run) -> None:
    before = _numbers(run, album)
    _name(album, "00.png", "Ann")
    result = _cluster(run, album)
    assert f"  gone, since they have a name: {before['01.png']}\n" in result.stderr
    assert "Proposed: 3 faces for 1 person: Ann (3). `visavis name --accept NAME` takes them" in result.stderr
    lines = _json(run, album)[:-1]
    told = {line["photo"].rsplit("/", 1)[1]: (line["person"], line["proposed"], line["group"]) for line in lines}
    assert told["00.png"] == ("Ann", None, None) and told["01.png"] == (None, "Ann", None)
    assert told["10.png"] == (None, None, before["10.png"])


def test_the_number_of_a_named_group_comes_back_when_the_name_is_taken_back(album, run) -> None:
    before = _numbers(run, album)
    assert run("name", "1", "Ann", "--album", album.root).exit_code == 0
    assert run("merge", "2", "3", "--album", album.root).exit_code == 0
    assert _numbers(run, album) == before | {"20.png": 2, "21.png": 2} | {f"0{i}.png": None for i in range(4)}
    for _ in range(2):
        assert run("undo", "--album", album.root).exit_code == 0
    assert _numbers(run, album) == before


def test_a_number_is_given_to_no_other_faces(album, run, make_album) -> None:
    numbers = _numbers(run, album)
    assert sorted({n for n in numbers.values() if n}) == [1, 2, 3]
    for photo in ("20.png", "21.png"):
        _name(album, photo, "", kind="ignore")
    gone = _cluster(run, album)
    assert "  gone, their faces alone: 3\n" in gone.stderr
    make_album({"80.png": [near(8, 80)], "81.png": [near(8, 81)]})
    again = _numbers(run, album)
    assert again["80.png"] == again["81.png"] == 4, "3 is the number of a group that is no more"
    assert read_groups(album.index / "groups.parquet").next_number == 5


def test_groups_of_an_earlier_version_keep_their_numbers(album, run) -> None:
    faces = read_archive(album).faces.face_ids
    album.index.mkdir()
    pq.write_table(pa.table({"face_id": faces, "group": np.full(len(faces), 7)}), album.index / "groups.parquet")
    numbers = _numbers(run, album)
    assert numbers["00.png"] == 7 and sorted({n for n in numbers.values() if n}) == [7, 8, 9]


@pytest.mark.parametrize("name", ["groups.parquet", "links.parquet", "regrouped.json", "neighbours.npz"])
def test_a_damaged_file_of_the_groups_is_made_anew_and_what_was_said_stays(album, run, name) -> None:
    before = _numbers(run, album)
    assert run("merge", "2", "3", "--album", album.root).exit_code == 0
    merged = before | {"20.png": 2, "21.png": 2}
    (album.index / name).write_bytes(b"PAR1 and no more")
    if name == "groups.parquet":
        refused = run("people", "--album", album.root)
        assert refused.exit_code == 1 and "run `visavis cluster`, which makes it anew" in refused.stderr
    result = _cluster(run, album)
    assert ("numbers of groups begin with 1. What you said holds." in result.stderr) == (name == "groups.parquet")
    assert _together(_numbers(run, album)) == _together(merged)


def test_an_undo_does_not_put_back_the_numbers_of_groups_that_are_lost(album, run) -> None:
    _cluster(run, album)
    assert run("merge", "1", "3", "--album", album.root).exit_code == 0
    (album.index / "groups.parquet").unlink()
    before = _numbers(run, album)
    assert run("undo", "--album", album.root).exit_code == 0
    groups = dict(zip(read_archive(album).paths, album_groups(read_archive(album)).tolist(), strict=True))
    assert {path.rsplit("/", 1)[1]: number or None for path, number in groups.items()} == before


def _together(numbers: dict[str, int | None]) -> set[frozenset[str]]:
    return {frozenset(n for n in numbers if numbers[n] == number) for number in set(numbers.values()) - {None}}


def test_the_last_line_of_json_says_what_the_text_says(album, run, make_album) -> None:
    first = _json(run, album)[-1]
    assert first.pop("seconds") >= 0
    assert first == {
        "groups": 3, "grouped_faces": 9, "faces_alone": 1, "proposals": [], "changes": None,
        "threshold": 0.52, "wrong_share": None, "numbers_kept": True,
    }  # fmt: skip
    _name(album, "20.png", "Ann")
    make_album({**_photos(6, first=4), "90.png": [near(9, 90)], "91.png": [near(9, 91)]})
    last = _json(run, album)[-1]
    assert last["proposals"] == [{"person": "Ann", "faces": 1}]
    nothing = {"shrunk": [], "merged": [], "split": [], "gone_alone": []}
    assert last["changes"] == {"new": [4], "grown": [{"group": 1, "faces": 2}], "gone_named": [3], **nothing}
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.join([archive.ref(row) for row, path in enumerate(archive.paths) if path[-6] in "01"])
    assert _json(run, album)[-1]["changes"]["merged"] == [{"group": 1, "from": [2]}]
    assert run("undo", "--album", album.root).exit_code == 0
    assert _json(run, album)[-1]["changes"]["split"] == [{"group": 1, "into": [1, 2]}]


def test_the_last_line_says_where_links_begin(album, run, make_album) -> None:
    assert "as usual for this network: the album is too small" in _cluster(run, album).stderr.splitlines()[-1]
    usual = "than usual for this network: the album is too small"
    for option, how in (("--stricter", "stricter"), ("--looser", "looser")):
        assert f", one step {how} {usual}" in _cluster(run, album, option).stderr.splitlines()[-1]
        assert f", two steps {how} {usual}" in _cluster(run, album, option, option).stderr.splitlines()[-1]
    assert "on, as usual for" in _cluster(run, album, "--stricter", "--looser").stderr.splitlines()[-1]
    random = np.random.default_rng(0)
    make_album({f"r{i}.png": [random.standard_normal(128).tolist()] for i in range(120)})
    for options, share in (((), "6.0%"), (("--stricter",), "3.1%"), (("--looser", "--looser"), "20.3%")):
        last = _cluster(run, album, *options).stderr.splitlines()[-1]
        assert f"about {share} of the pairs just there are expected to be two people" in last
        assert f"{_json(run, album, *options)[-1]['wrong_share']:.1%}" == share


@pytest.mark.parametrize(("more", "told"), [(1, "and 1 smaller group: "), (2, "and 2 smaller groups: ")])
def test_groups_that_are_not_listed_are_counted(make_album, run, more, told) -> None:
    album = make_album(_photos(*(2 for _ in range(20 + more))))
    assert told in _cluster(run, album).stderr
