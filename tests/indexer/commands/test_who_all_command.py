"""`visavis who` for a whole album or folder: from what the album holds, and an interrupted one goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import indexer.bulk
import indexer.commands.who_all
from indexer.archive import read_archive
from indexer.people import PeopleStore


def _lines(result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def album(make_album):
    """Two named people with five photos each, one photo of both, one of a stranger and one of nobody."""
    photos = {f"ann{n}.png": [[1, 0.02 * n]] for n in range(5)} | {f"bea{n}.png": [[0.02 * n, 1]] for n in range(5)}
    album = make_album(photos | {"both.png": [[1, 0.01], [0.01, 1]], "stranger.png": [[0, 0, 1]], "zero.png": []})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        for row, path in enumerate(archive.paths):
            if Path(path).name in ("ann0.png", "bea0.png"):
                person = "Ann Lee" if "ann" in path else "Bea Ito"
                store.assign([archive.ref(row)], person, add_to_existing=False)
    return album


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(indexer.bulk, "BLOCK_FACES", 3)
    monkeypatch.setattr(indexer.commands.who_all, "_BLOCK_FILES", 3)


def test_every_face_has_a_line_and_no_photo_is_opened(album, run):
    shutil.rmtree(album.root.parent / "photos")
    result = run("who", "--all", "--album", album.root, "--json")
    assert result.exit_code == 0, result.stderr
    lines = _lines(result)
    assert [Path(line["photo"]).stem for line in lines] == [
        *(f"ann{n}" for n in range(5)), *(f"bea{n}" for n in range(5)), "both", "both", "stranger",
    ]  # fmt: skip
    assert [line["person"] for line in lines] == ["Ann Lee"] * 5 + ["Bea Ito"] * 5 + ["Ann Lee", "Bea Ito", None]
    assert [line["said"] for line in lines] == [True, *[False] * 4] * 2 + [False] * 3
    assert len({line["face_id"] for line in lines}) == 13 and len(lines[1]["nearest"]) == 1
    assert "13 faces: 12 of 2 people (2 named before, 10 found), 1 unknown" in result.stderr


def test_a_summary_without_json(album, run):
    result = run("who", "--all", "--album", album.root)
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["WHO", "PHOTOS", "FACES", "BY", "HAND"],
        ["Ann", "Lee", "6", "6", "1"],
        ["Bea", "Ito", "6", "6", "1"],
    ]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_file_has_the_same_lines(album, run, tmp_path, small_blocks, suffix):
    out = tmp_path / f"out.{suffix}"
    expected = _lines(run("who", "--all", "--album", album.root, "--json"))
    result = run("who", "--all", "--album", album.root, "--out", out, "--json")
    assert _lines(result) == [{"person": who, "photos": 6, "faces": 6, "said": 1} for who in ("Ann Lee", "Bea Ito")]
    found = [json.loads(line) for line in out.read_text().splitlines()] if suffix == "jsonl" else None
    assert (found or pq.read_table(out).to_pylist()) == expected
    assert f"{out} has a line for each face." in result.stderr
    assert not indexer.bulk.parts_path(out).exists()


def _stop_after(blocks: int, monkeypatch) -> None:
    """Interrupt the run once so many blocks are kept."""
    write, kept = indexer.bulk.PartsFolder.write, []

    def stopping(parts, number, block):
        if len(kept) == blocks:
            raise KeyboardInterrupt
        write(parts, number, block)
        kept.append(number)

    monkeypatch.setattr(indexer.bulk.PartsFolder, "write", stopping)


def test_a_stopped_run_goes_on(album, run, tmp_path, small_blocks, monkeypatch):
    out, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"
    run("who", "--all", "--album", album.root, "--out", whole)
    with monkeypatch.context() as patch:
        _stop_after(2, patch)
        stopped = run("who", "--all", "--album", album.root, "--out", out)
    assert stopped.exit_code == 1 and "the same command goes on from there" in stopped.stderr and not out.exists()
    result = run("who", "--all", "--album", album.root, "--out", out)
    assert result.exit_code == 0 and "Going on: 6 of 13 faces are finished." in result.stderr
    assert "13 faces: 12 of 2 people" in result.stderr
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("change", ["name", "option", "photo"])
def test_what_changed_meanwhile_starts_over(album, make_album, run, tmp_path, small_blocks, monkeypatch, change):
    out, options = tmp_path / "out.jsonl", ["who", "--all", "--album", album.root, "--out", tmp_path / "out.jsonl"]
    with monkeypatch.context() as patch:
        _stop_after(1, patch)
        run(*options)
    if change == "name":
        archive = read_archive(album)
        with PeopleStore(album.people) as store:
            store.rename(store.state().person_named("Ann Lee"), "Ann Ito")
            store.reject([archive.ref(1)], store.state().person_named("Ann Ito"))
    elif change == "option":
        options += ["--false-alarm", 0.1]
    else:
        make_album({"ann9.png": [[1, 0.2]]})
    result = run(*options)
    assert "have changed since the last run: starting over" in result.stderr and "Going on" not in result.stderr
    persons = [json.loads(line)["person"] for line in out.read_text().splitlines()]
    assert ("Ann Ito" if change == "name" else "Ann Lee") in persons
    assert not (change == "name" and "Ann Lee" in persons)
    assert len(persons) == (14 if change == "photo" else 13)


def test_two_runs_into_one_file_do_not_meet(album, run, tmp_path):
    from indexer.locks import writing

    out = tmp_path / "out.jsonl"
    with writing(indexer.bulk.parts_path(out)):
        result = run("who", "--all", "--album", album.root, "--out", out)
    assert result.exit_code == 1 and "is being written by" in result.stderr


def test_a_folder_is_all_its_photos_and_needs_no_model(album, run):
    photos = album.root.parent / "photos"
    result = run("who", "--album", album.root, "--json", photos)
    assert result.exit_code == 0 and result.stderr == ""
    by_all = _lines(run("who", "--all", "--album", album.root, "--json"))
    for line in (lines := _lines(result)) + by_all:
        line.pop("nearest")  # more of them for a photo
    assert lines == by_all
    text = run("who", "--album", album.root, photos / "both.png", photos / "ann0.png", photos / "zero.png").stdout
    assert text.splitlines() == [
        f"{photos / 'both.png'}: 2 faces",
        "  1  Ann Lee (similarity 1.00)",
        "  2  Bea Ito (similarity 1.00)",
        f"{photos / 'ann0.png'}: 1 face",
        "  1  Ann Lee (named in the album)",
        f"{photos / 'zero.png'}: 0 faces",
    ]


def test_copies_of_a_photo_are_told_under_the_name_asked_for(album, run, tmp_path):
    photos = album.root.parent / "photos"
    for name in ("x.png", "y.png"):
        shutil.copy(photos / "both.png", tmp_path / name)
    result = run("who", "--album", album.root, "--json", tmp_path / "y.png", photos / "both.png", tmp_path / "x.png")
    told = [(Path(line["photo"]), line["person"]) for line in _lines(result)]
    expected = [tmp_path / "y.png", photos / "both.png", tmp_path / "x.png"]
    assert told == [(path, person) for path in expected for person in ("Ann Lee", "Bea Ito")]


def test_a_folder_into_a_file_goes_on_too(album, run, tmp_path, small_blocks, monkeypatch):
    photos, out = album.root.parent / "photos", tmp_path / "out.jsonl"
    (photos / "ann1a.png").write_bytes(b"no picture")
    with monkeypatch.context() as patch:
        _stop_after(2, patch)
        assert "ann1a.png: " in run("who", "--album", album.root, "--out", out, photos).stderr
    result = run("who", "--album", album.root, "--out", out, photos)
    assert "Going on: 6 of 14 photos are finished." in result.stderr
    assert result.exit_code == 1 and "1 photo could not be read" in result.stderr  # told, though read the last time
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["person"] for line in lines] == ["Ann Lee"] * 5 + ["Bea Ito"] * 5 + ["Ann Lee", "Bea Ito", None]


def test_what_was_said_holds_for_a_photo(album, run):
    photos = album.root.parent / "photos"
    archive = read_archive(album)
    both = [row for row, path in enumerate(archive.paths) if path.endswith("both.png")]
    with PeopleStore(album.people) as store:
        store.reject([archive.ref(both[0])], store.state().person_named("Ann Lee"))
        store.ignore([archive.ref(both[1])])
    assert run("who", "--album", album.root, photos / "both.png").stdout.splitlines() == [
        f"{photos / 'both.png'}: 1 face",
        "  1  unknown: most like Ann Lee (1.00), and was said not to be Ann Lee",
    ]
    assert "both" in run("who", "--all", "--album", album.root, "--json").stdout
    with PeopleStore(album.people) as store:
        store.ignore([archive.ref(both[0])])
    assert "both" not in run("who", "--all", "--album", album.root, "--json").stdout
    assert run("who", "--album", album.root, photos / "both.png").stdout == f"{photos / 'both.png'}: 0 faces\n"


def test_one_person_alone_can_be_found(make_album, run):
    album = make_album({"a.png": [[1, 0]], "b.png": [[1, 0.1]], "c.png": [[0, 1]]})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann Lee", add_to_existing=False)
    lines = _lines(run("who", "--all", "--album", album.root, "--json"))
    assert [line["person"] for line in lines] == ["Ann Lee", "Ann Lee", None]


def test_with_nobody_named_all_are_unknown(make_album, run):
    album = make_album({"a.png": [[1, 0]], "b.png": [[1, 0.1]]})
    result = run("who", "--all", "--album", album.root)
    assert result.exit_code == 0 and result.stdout == "" and "2 faces: 0 of 0 people" in result.stderr


def test_an_empty_album_and_an_empty_folder(make_album, album, run, tmp_path):
    (tmp_path / "nothing").mkdir()
    result = run("who", "--album", album.root, tmp_path / "nothing")
    assert result.exit_code == 1 and "no photo in" in result.stderr and "nothing to do" in result.stderr
    shutil.rmtree(album.root)
    empty = make_album({"a.png": []})
    result = run("who", "--all", "--album", empty.root, "--json", "--out", tmp_path / "out.jsonl")
    assert result.exit_code == 1 and result.stdout == "" and "1 photos and no face: add photos" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    "arguments",
    [[], ["--all", "x.jpg"], ["--all", "--explain"], ["--all", "--draw", "f"], ["--all", "--out", "names.csv"]],
)
def test_misuse(album, run, arguments):
    assert run("who", "--album", album.root, *arguments).exit_code == 2
