"""`visavis remove` and `visavis compact` as a user meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from indexer.archive import read_archive
from indexer.people import PeopleStore


def _lines(result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def album(make_album):
    album = make_album({"a.png": [[1, 0], [0, 1]], "b.png": [[1, 1]], "c.png": [[1, 2]]})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann Lee", add_to_existing=False)
    return album


def _photo(album, name: str) -> Path:
    return album.root.parent / "photos" / name


def _held(run, album) -> int:
    return json.loads(run("status", "--album", album.root, "--json").stdout)["photos"]


def test_removing_is_told_and_answers_do_without(album, run):
    result = run("remove", "--album", album.root, _photo(album, "a.png"))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"removed\t{_photo(album, 'a.png')} (2 faces)\n"
    assert "1 file with 2 faces removed." in result.stderr
    assert _held(run, album) == 2
    assert "a.png" not in run("people", "--album", album.root, "--faces").stdout
    assert run("verify", "--album", album.root).exit_code == 0  # what was said of it is no fault
    assert run("remove", "--album", album.root, _photo(album, "a.png")).stderr == "Nothing to do.\n"


def test_a_dry_run_says_the_same_and_does_nothing(album, run):
    said = run("remove", "--album", album.root, "--dry-run", "--compact", _photo(album, "a.png"))
    assert "would be removed" in said.stderr and _held(run, album) == 3
    assert said.stdout == run("remove", "--album", album.root, _photo(album, "a.png")).stdout
    planned = run("compact", "--album", album.root, "--dry-run", "--json")
    assert _lines(planned) == [{"shards": 1, "photo_rows": 1, "faces": 2, "bytes_freed": 0}]
    assert [path.name for path in sorted(album.shards.iterdir())] == ["000001", "000002"]


def test_json_is_a_line_for_each_path_and_nothing_else(album, run):
    shutil.copy2(_photo(album, "a.png"), _photo(album, "z.png"))
    result = run("remove", "--album", album.root, "--json", "--compact", _photo(album, "a.png"), _photo(album, "c.png"))
    assert [(Path(line.pop("photo")).name, line) for line in _lines(result)] == [
        ("a.png", {"status": "removed", "faces": 2, "asked": True}),
        ("c.png", {"status": "removed", "faces": 1, "asked": True}),
    ]
    assert "3 embeddings and 2 rows of photos deleted from 1 shard" in result.stderr
    assert run("compact", "--album", album.root, "--json").stdout.startswith('{"shards": 0,')


def test_strangers_to_the_album_are_refused(album, run):
    result = run("remove", "--album", album.root, _photo(album, "a.png"), "strange.jpg")
    assert result.exit_code == 1 and result.stdout == ""
    assert "does not hold: strange.jpg. Nothing was changed" in result.stderr
    assert _held(run, album) == 3


def test_undo_until_compaction(album, run):
    before = run("people", "--album", album.root, "--faces", "--json").stdout
    run("remove", "--album", album.root, _photo(album, "a.png"))
    result = run("remove", "--album", album.root, "--restore", _photo(album, "a.png"))
    assert result.stdout == f"restored\t{_photo(album, 'a.png')} (2 faces)\n"
    assert run("people", "--album", album.root, "--faces", "--json").stdout == before
    run("remove", "--album", album.root, "--compact", _photo(album, "a.png"))
    result = run("remove", "--album", album.root, "--restore", _photo(album, "a.png"))
    assert result.stdout.startswith("forgotten\t") and "`visavis index` takes them in as new" in result.stderr
    assert run("verify", "--album", album.root).exit_code == 0


def test_missing_photos_go_unless_it_may_be_a_drive(album, run):
    _photo(album, "b.png").unlink()
    assert run("remove", "--album", album.root, "--missing", "--dry-run").stdout.startswith("gone\t")
    result = run("remove", "--album", album.root, "--missing")
    assert result.exit_code == 0 and _held(run, album) == 2
    photos = _photo(album, "")
    photos.rename(album.root.parent / "elsewhere")
    result = run("remove", "--album", album.root, "--missing")
    assert result.exit_code == 1 and result.stdout == "" and _held(run, album) == 2
    assert (
        f"2 of the 2 photos below {photos}" in result.stderr
        and "mount it; if they are deleted, say --yes" in result.stderr
    )
    assert run("remove", "--album", album.root, "--missing", "--yes").exit_code == 0
    assert _held(run, album) == 0
    assert run("remove", "--album", album.root, "--missing").stderr == "Nothing to do.\n"


def test_an_album_without_photos(make_album, run, tmp_path):
    album = make_album({})
    assert run("remove", "--album", album.root, "--missing").stderr == "Nothing to do.\n"
    assert "does not hold" in run("remove", "--album", album.root, "x.jpg").stderr
    assert "Nothing to compact" in run("compact", "--album", album.root).stderr
    for command in (("remove", "--missing"), ("compact",)):
        result = run(*command, "--album", tmp_path / "none")
        assert result.exit_code == 1 and "is no album" in result.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("arguments", [[], ["--missing", "--restore"], ["--restore", "--compact", "a.jpg"]])
def test_misuse(album, run, arguments):
    assert run("remove", "--album", album.root, *arguments).exit_code == 2


def test_a_busy_album_is_not_touched(album, run):
    from indexer.locks import writing

    with writing(album.root):
        for command in (("remove", _photo(album, "a.png")), ("compact",)):
            result = run(*command, "--album", album.root)
            assert result.exit_code == 1 and "is being written by" in result.stderr


def test_indexing_again_does_not_bring_back_what_was_removed(demo_album, demo_photos, run, tmp_path):
    """Not at its path, not at another, and after compaction neither; what was restored comes back with it."""
    archive = tmp_path / "photos"
    shutil.copytree(demo_photos.archive, archive)
    assert run("index", "--album", demo_album, archive).exit_code == 0
    before = json.loads(run("status", "--album", demo_album, "--json").stdout)
    result = run("remove", "--album", demo_album, "--json", archive / "grace")
    removed = _lines(result)
    assert len(removed) == 2 * sum(line["asked"] for line in removed)  # the demo's own paths show them too
    shutil.move(archive / "grace", archive / "moved")
    for compacted in (False, True):
        result = run("index", "--album", demo_album, "--json", archive)
        assert result.exit_code == 0, result.stderr
        assert _lines(result)[0]["new_photos"] == 0
        status = json.loads(run("status", "--album", demo_album, "--json").stdout)
        assert status["photos"] == before["photos"] - len(removed)
        assert status["removed"] == len(removed) * 3 // 2
        if not compacted:
            assert f"{len(removed) // 2} left out as removed" in result.stderr
            assert run("compact", "--album", demo_album).exit_code == 0
    assert run("verify", "--album", demo_album).exit_code == 0
    restored = run("remove", "--album", demo_album, "--restore", archive / "moved")
    assert "forgotten" in restored.stdout
    result = run("index", "--album", demo_album, "--json", archive)
    assert _lines(result)[0]["new_photos"] == len(removed) // 2
    assert _lines(result)[0]["faces"] == before["faces"]
    assert run("verify", "--album", demo_album).exit_code == 0


def test_the_answers_rest_on_what_is_left(make_album, run):
    """Somebody whose only named photo was removed is nobody's likeness any more; compaction changes no answer."""
    album = make_album({"a.png": [[1, 0]], "b.png": [[1, 0.1]], "c.png": [[0, 1]], "d.png": [[0.1, 1]]})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann Lee", add_to_existing=False)
        store.assign([archive.ref(2)], "Bea Ito", add_to_existing=False)
    assert _who(run, album) == {"a.png": "Ann Lee", "b.png": "Ann Lee", "c.png": "Bea Ito", "d.png": "Bea Ito"}
    run("remove", "--album", album.root, _photo(album, "a.png"))
    after = _who(run, album)
    assert after == {"b.png": None, "c.png": "Bea Ito", "d.png": "Bea Ito"}
    run("compact", "--album", album.root)
    assert _who(run, album) == after


def _who(run, album) -> dict[str, str | None]:
    lines = _lines(run("who", "--album", album.root, "--all", "--json"))
    return {Path(line["photo"]).name: line["person"] for line in lines}
