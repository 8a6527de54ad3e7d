"""`visavis search` as a user meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.shards import read_faces, read_photos, write_shard
from indexer.archive import read_archive
from indexer.grouping.archive_groups import settings_for
from indexer.people import PeopleStore
from indexer.search.exact import FullRows


def _lines(result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def _names(result) -> list[str]:
    return [Path(line["photo"]).name for line in _lines(result)]


@pytest.fixture
def album(make_album):
    album = make_album(
        {"a.png": [[1, 0], [0, 0, 1]], "b.png": [[1, 0.2]], "c.png": [[0, 1]], "d.png": [[0, 0.1, 1]], "e.png": []}
    )
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann Lee", add_to_existing=False)
    return album


def _photo(album, name: str) -> Path:
    return album.root.parent / "photos" / name


def test_each_face_is_searched_for_in_turn(album, run):
    result = run("search", "--album", album.root, _photo(album, "a.png"))
    assert result.exit_code == 0, result.stderr
    photos = _photo(album, "")
    assert result.stdout.splitlines() == [
        f"{photos / 'a.png'}, face 1: 2 photos of similarity 0.52 or more",
        f"  1.00  {photos / 'a.png'}\tAnn Lee",
        f"  0.98  {photos / 'b.png'}\t-",
        f"{photos / 'a.png'}, face 2: 2 photos of similarity 0.52 or more",
        f"  1.00  {photos / 'a.png'}\t-",
        f"  0.99  {photos / 'd.png'}\t-",
    ]
    assert result.stderr == ""  # no model: the album holds the photo


def test_json_is_a_line_for_each_photo_and_nothing_else(album, run):
    lines = _lines(run("search", "--album", album.root, "--json", _photo(album, "a.png")))
    assert [(line["face"], Path(line["photo"]).name) for line in lines] == [
        (1, "a.png"), (1, "b.png"), (2, "a.png"), (2, "d.png"),
    ]  # fmt: skip
    assert set(lines[0]) == {"face", "photo", "box", "similarity", "person", "face_id", "group"}
    assert lines[0]["person"] == "Ann Lee" and lines[0]["box"] == [10, 10, 80, 90] and lines[1]["person"] is None


def test_one_face_and_how_many_and_how_similar(album, run):
    ask = "search", "--album", album.root, "--json", _photo(album, "a.png")
    assert _names(run(*ask, "--face", 2)) == ["a.png", "d.png"]
    assert _names(run(*ask, "--face", 2, "--most", 1)) == ["a.png"]
    assert _names(run(*ask, "--face", 1, "--min-similarity", 0.99)) == ["a.png"]
    assert sorted(_names(run(*ask, "--face", 1, "--all-matches"))) == ["a.png", "b.png", "c.png", "d.png"]
    assert run(*ask, "--all-matches", "--min-similarity", 0.5).exit_code == 2


def test_a_sheet_shows_the_face_asked_for_and_those_found(album, run, tmp_path):
    sheet = tmp_path / "found.jpg"
    result = run("search", "--album", album.root, "--face", 1, "--sheet", sheet, _photo(album, "a.png"))
    assert f"3 faces on {sheet}, the one asked for first." in result.stderr
    assert np.asarray(Image.open(sheet)).shape[1] > 3 * 160
    result = run("search", "--album", album.root, "--sheet", sheet, _photo(album, "a.png"))
    assert result.exit_code == 1 and "shows 2 faces, and a sheet is for one: choose it with --face" in result.stderr


def test_what_cannot_be_searched_for_is_said(album, run, tmp_path):
    result = run("search", "--album", album.root, "--face", 3, _photo(album, "a.png"))
    assert result.exit_code == 1 and "shows 2 faces: there is no --face 3" in result.stderr
    result = run("search", "--album", album.root, tmp_path / "none.jpg")
    assert result.exit_code == 1 and "none.jpg: No such file" in result.stderr
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    result = run("search", "--album", album.root, tmp_path / "broken.jpg")
    assert result.exit_code == 1 and "broken.jpg: " in result.stderr and result.stdout == ""


def test_ignored_faces_are_neither_asked_nor_found_and_numbers_stay(album, run):
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.ignore([archive.ref(0)])
    lines = _lines(run("search", "--album", album.root, "--json", _photo(album, "a.png")))
    assert {line["face"] for line in lines} == {2}
    assert _names(run("search", "--album", album.root, "--json", _photo(album, "b.png"))) == ["b.png"]


def test_a_face_that_said_people_are_not_is_left_out_and_told(make_album, run):
    album = make_album({"a.png": [[1, 0]], "b.png": [[1, 0.1]]})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        for row, name in ((0, "Ann Lee"), (1, "Bea Ito")):
            store.assign([archive.ref(row)], name, add_to_existing=False)
    result = run("search", "--album", album.root, "--json", _photo(album, "a.png"))
    assert _names(result) == ["a.png"] and "1 face left out, said to be somebody else." in result.stderr


def test_an_empty_album_says_how_to_fill_it(make_album, run, tmp_path):
    album = make_album({})
    result = run("search", "--album", album.root, tmp_path / "x.jpg")
    assert result.exit_code == 1 and "no face: add photos with `visavis index" in result.stderr


def test_a_photo_from_elsewhere_goes_through_the_model(demo_album, demo_photos, run, tmp_path):
    """The portrait of the known one is no photo of the album, which holds varied copies of it."""
    portrait = next(demo_photos.known.rglob("*.jpg"))
    result = run("search", "--album", demo_album, "--json", portrait)
    assert result.exit_code == 0 and "Model sface" in result.stderr
    found = {Path(line["photo"]).parent.name for line in _lines(result)}
    assert found <= {"eileen", "photos"} and len(_lines(result)) > 3
    result = run("search", "--album", demo_album, "--min-similarity", 1, portrait)
    assert "face 1: 0 photos of similarity 1 or more; the nearest has " in result.stdout
    assert run("search", "--album", demo_album, demo_photos.archive / "nobody.jpg").exit_code == 1


def test_the_help_tells_the_limits_that_hold(run):
    text = " ".join(run("search", "--help").stdout.split())
    for network in ("sface", "dlib"):
        assert f"{settings_for(network).prior:g} with {network}" in text


@pytest.mark.usefixtures("cells_from_16_faces")
def test_a_large_album_is_searched_in_cells_that_index_builds(make_album, demo_photos, run):
    """Until it has run, search is exact and says so; a damaged index is searched around, told and built anew."""
    album = make_album({f"{n}.png": [np.eye(40)[n]] for n in range(40)})
    known = sorted((album.root.parent / "photos").iterdir())

    def found(photo: Path) -> tuple[list[str], str]:
        result = run("search", "--album", album.root, "--json", photo)
        return _names(result), result.stderr

    names, said = found(_photo(album, "7.png"))
    assert names == ["7.png"] and "There is no index yet. Searching exactly" in said
    assert "to be built" in run("status", "--album", album.root).stdout
    assert "Built the index of 40 faces" in run("index", "--album", album.root, *known).stderr
    assert found(_photo(album, "7.png")) == (["7.png"], "")
    assert "first neighbour's identity as in exact search for" in run("status", "--album", album.root).stdout
    path = next(album.index.glob("cells-*"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    names, said = found(_photo(album, "7.png"))
    assert names == ["7.png"] and f"{path} is not what was written. Searching exactly" in said
    assert f"{path} is not what was written." in run("index", "--album", album.root, *known).stderr
    assert found(_photo(album, "7.png")) == (["7.png"], "")


@pytest.mark.parametrize("command", ["search", "who"])
def test_vectors_that_are_no_numbers_are_an_error_in_one_line(album, run, command):
    """They pass every checksum: whoever wrote the shard wrote them so."""
    shard = album.shards / "000001"
    photos, faces = read_photos(shard), read_faces(shard)
    faces.embeddings[0] = np.nan
    shutil.rmtree(shard)
    write_shard(album.shards, photos, faces, album.fingerprint)
    result = run(command, "--album", album.root, _photo(album, "b.png"))
    assert result.exit_code == 1 and result.stdout == ""
    assert "`visavis verify` finds the shard" in result.stderr and "Traceback" not in result.stderr
    assert "embeddings that are not numbers" in run("verify", "--album", album.root).stdout


@pytest.mark.parametrize("float16", [False, True])
def test_gpus_are_asked_for_by_name(album, run, monkeypatch, float16):
    """Stands in for GPUs: what they would hold, and in which numbers."""
    held = []

    def rows_on_gpus(embeddings, gpus, *, float16):
        held.append((len(embeddings), gpus, float16))
        return FullRows(embeddings)

    monkeypatch.setattr("indexer.search.faiss_calls.gpu_count", lambda: 2)
    monkeypatch.setattr("indexer.search.face_index.rows_on_gpus", rows_on_gpus)
    options = ["--device", "cuda", *(["--float16"] if float16 else [])]
    assert _names(run("search", "--album", album.root, "--json", *options, _photo(album, "c.png"))) == ["c.png"]
    assert held == [(5, [0, 1], float16)]


def test_a_gpu_that_is_not_there_is_an_error(album, run):
    result = run("search", "--album", album.root, "--device", "cuda", _photo(album, "c.png"))
    assert result.exit_code == 1 and result.stdout == "" and "--device cuda" in result.stderr
