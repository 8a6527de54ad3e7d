"""`visavis undo`, `history` and `facts`: what was said is shown, taken back, and stays on its faces in any album."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest

from embedder.model import choose_model
from embedder.rows import FaceRows, PhotoRow, face_id
from embedder.shards import write_shard
from indexer.album import open_or_create
from indexer.archive import read_archive
from indexer.cli import cli
from indexer.people import PeopleStore
from indexer.waiting_facts import CarriedOver, carry_over

PHOTOS = {"a.png": [[1, 0], [0, 1]], "b.png": [[1, 0.1]], "c.png": [[0, 1]], "d.png": [[1, 1]]}


@pytest.fixture
def album(make_album, run):
    """Ann in a and b, Bob not in c, d ignored, and words about pairs."""
    made = make_album(PHOTOS)
    for words in (
        ["move", "--to", "Ann", "--new", "a.png#1", "b.png#1"],
        ["move", "--to", "Bob", "--new", "a.png#2"],
        ["reject", "--not", "Bob", "c.png#1"],
        ["ignore", "d.png#1"],
        ["same", "a.png#1", "b.png#1"],
        ["different", "c.png#1", "d.png#1"],
    ):
        result = run(*words, "--album", made.root)
        assert result.exit_code == 0, result.stderr
    return made


@pytest.fixture
def other(album, tmp_path):
    """An album of the same photos made with another model: boxes some pixels off, embeddings of another space."""
    spec = choose_model("dlib")
    made = open_or_create(tmp_path / "other", spec.name, spec.fingerprint())
    archive = read_archive(album)
    rows, faces = [], []
    for row in np.random.default_rng(0).permutation(len(archive.faces)).tolist():
        ref = archive.ref(row)
        faces.append((ref.photo_id, (ref.box[0] + 3, ref.box[1] - 4, ref.box[2] - 5, ref.box[3] + 6)))
        status = Path(archive.paths[row]).stat()
        known = ref.photo_id, archive.paths[row], status.st_size, status.st_mtime_ns
        rows.append(PhotoRow(*known, 300, 120, None, "ok", None, 1))
    names, boxes = [name for name, _ in faces], np.array([box for _, box in faces], np.int32)
    embeddings = np.random.default_rng(1).standard_normal((len(faces), 128)).astype(np.float16)
    ids = np.array([face_id(name, box) for name, box in faces], np.int64)
    ones, points = np.ones(len(faces), np.float32), np.zeros((len(faces), 5, 2), np.float32)
    write_shard(made.shards, rows, FaceRows(ids, names, boxes, points, ones, ones, embeddings), made.fingerprint)
    return made


def _lines(result):
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def _said(album) -> dict[str, object]:
    """Say what holds in an album, by the photos' names and places."""
    archive = read_archive(album)
    state = archive.people

    def name(face: int) -> str:
        row = archive.row_of[face]
        return f"{archive.paths[row].rsplit('/', 1)[1]}#{1 + (archive.box(row)[0] > 100)}"

    return {
        "people": {name(face): state.persons[person] for face, person in state.person_of.items()},
        "rejected": {(name(face), state.persons[person]) for face, person in state.rejected},
        "ignored": {name(face) for face in state.ignored},
        "same": {frozenset(map(name, pair)) for pair in state.same},
        "different": {frozenset(map(name, pair)) for pair in state.different},
    }


SAID = {
    "people": {"a.png#1": "Ann", "b.png#1": "Ann", "a.png#2": "Bob"},
    "rejected": {("c.png#1", "Bob")},
    "ignored": {"d.png#1"},
    "same": {frozenset({"a.png#1", "b.png#1"})},
    "different": {frozenset({"c.png#1", "d.png#1"})},
}


def test_every_word_stands_on_its_face_in_an_album_of_another_model(album, other, run, tmp_path) -> None:
    file = tmp_path / "people.json"
    assert _said(album) == SAID
    exported = _lines(run("facts", "export", file, "--album", album.root, "--json"))
    assert exported == [{"file": str(file), "people": 2, "faces": 5}]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    result = run("facts", "import", file, "--album", other.root, "--json")
    assert _lines(result) == [{"file": str(file), "changed": True, "faces": 5, "in_album": 5}]
    assert _said(other) == SAID
    assert not set(read_archive(other).people.person_of) & set(read_archive(album).people.person_of), "other face ids"
    assert "Nothing is changed" in run("facts", "import", file, "--album", other.root).stderr
    assert run("facts", "import", file, "--album", album.root).exit_code == 0 and _said(album) == SAID
    back = tmp_path / "back.json"
    assert run("facts", "export", back, "--album", other.root).exit_code == 0
    assert run("facts", "import", back, "--album", album.root).stderr.startswith("Nothing is changed")


def test_a_copied_people_file_is_anchored_to_the_boxes_of_another_detector(album, other, run) -> None:
    shutil.copy(album.people, other.people)
    result = run("facts", "reanchor", "--album", other.root, "--json")
    assert _lines(result) == [{"changed": True, "faces_not_found": 0}]
    assert _said(other) == SAID
    assert _lines(run("facts", "reanchor", "--album", other.root, "--json"))[0]["changed"] is False


def test_names_stay_on_their_faces_however_the_album_is_grouped(album, run) -> None:
    for options in ([], ["--stricter", "--stricter"], ["--looser", "--looser"]):
        assert run("cluster", *options, "--album", album.root).exit_code == 0
        assert _said(album) == SAID


def test_facts_about_photos_that_come_later_wait_for_them(album, run, tmp_path) -> None:
    file = tmp_path / "people.json"
    run("facts", "export", file, "--album", album.root)
    spec = choose_model("sface")
    empty = open_or_create(tmp_path / "empty", spec.name, spec.fingerprint())
    result = run("facts", "import", file, "--album", empty.root)
    assert "5 faces of photos that are not in this album yet" in result.stderr
    shutil.copytree(next(album.shards.iterdir()), empty.shards / "000001")
    assert _said(empty) == SAID


def test_facts_that_waited_hold_for_the_faces_that_another_detector_finds(album, other, run, tmp_path) -> None:
    """The photos come after the facts. One face is found elsewhere: what was said of it goes on waiting."""
    file = tmp_path / "people.json"
    run("facts", "export", file, "--album", album.root)
    document = json.loads(file.read_text())
    away = next(face for face, place in document["faces"].items() if face in document["people"][1]["faces"])
    document["faces"][away]["box"] = [5000, 5000, 80, 90]
    file.write_text(json.dumps(document))
    shard = next(other.shards.iterdir())
    shard.rename(tmp_path / "later")
    assert run("facts", "import", file, "--album", other.root).exit_code == 0
    (tmp_path / "later").rename(shard)
    result = run("index", "--album", other.root, tmp_path / "photos")
    assert result.exit_code == 0 and "0 new photos" in result.stderr, result.output
    assert "What was said of 4 faces before holds for the faces in the same places now." in result.stderr
    archive = read_archive(other)
    assert {archive.people.persons[p] for p in archive.persons.tolist() if p >= 0} == {"Ann"}
    assert archive.people.faces() - set(archive.row_of) == {int(away)}
    again = run("index", "--album", other.root, tmp_path / "photos")
    assert again.exit_code == 0 and "What was said" not in again.stderr
    assert [line["kind"] for line in _lines(run("history", "--album", other.root, "--json"))] == ["reanchor", "import"]
    assert run("undo", "--album", other.root).exit_code == 0, "the import is taken back, past the re-anchoring"
    assert read_archive(other).people.faces() == frozenset()


def test_facts_about_removed_photos_cost_no_search_for_their_faces(album, run, monkeypatch) -> None:
    photo = Path(read_archive(album).paths[0]).parent / "a.png"
    assert run("remove", photo, "--album", album.root).exit_code == 0
    monkeypatch.setattr(PeopleStore, "reanchor", lambda *_: pytest.fail("there is no photo to look in"))
    assert carry_over(read_archive(album)) == CarriedOver(None, 0, 2)


def test_an_import_that_contradicts_is_refused_by_the_names_of_faces(album, other, run, tmp_path) -> None:
    file = tmp_path / "people.json"
    run("facts", "export", file, "--album", album.root)
    assert run("move", "--to", "Cleo", "--new", "b.png#1", "--album", other.root).exit_code == 0
    result = run("facts", "import", file, "--album", other.root)
    assert result.exit_code == 1 and 'because b.png#1 is "Cleo". Leave these faces out' in result.stderr
    assert _said(other)["people"] == {"b.png#1": "Cleo"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "this is no export of people"),
        ('{"format": "visavis people", "version": 2}', "install a newer visavis"),
        ('{"format": "visavis people", "version": 1}', "the export is damaged"),
    ],
)
def test_a_file_that_is_no_export_is_refused(album, run, tmp_path, content, message) -> None:
    (tmp_path / "wrong.json").write_text(content)
    result = run("facts", "import", tmp_path / "wrong.json", "--album", album.root)
    assert result.exit_code == 1 and message in result.stderr
    assert _said(album) == SAID


def test_an_export_replaces_a_file_whole_or_not_at_all(album, run, tmp_path) -> None:
    nowhere = run("facts", "export", tmp_path / "no folder" / "x.json", "--album", album.root)
    told = f"Error: {tmp_path}/no folder/x.json cannot be written, since there is no folder {tmp_path}/no folder\n"
    assert nowhere.exit_code == 1 and nowhere.stderr == told
    assert run("facts", "export", tmp_path, "--album", album.root).exit_code == 2
    (tmp_path / "x.json").write_text("old")
    (tmp_path / "x.json").chmod(0o644)
    assert run("facts", "export", tmp_path / "x.json", "--album", album.root).exit_code == 0
    assert json.loads((tmp_path / "x.json").read_text())["format"] == "visavis people"
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == 0o600


def test_an_export_goes_to_stdout_where_it_is_asked_for(album, run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("facts", "export", "x.json", "--album", album.root).exit_code == 0
    result = run("facts", "export", "-", "--album", album.root)
    assert result.exit_code == 0 and result.stdout == (tmp_path / "x.json").read_text()
    assert result.stderr == "2 people and 5 faces in stdout.\n" and not (tmp_path / "-").exists()
    assert run("facts", "export", "-", "--json", "--album", album.root).exit_code == 2


def test_history_and_undo_tell_what_was_said_and_taken_back(album, run) -> None:
    before = _lines(run("history", "--album", album.root, "--json"))
    assert [line["kind"] for line in before] == ["different", "same", "ignore", "reject", "move", "move"]
    assert set(before[0]) == {"action", "at", "who", "kind", "what", "undone", "undoes"}
    assert "c.png#1" in before[0]["what"] and "d.png#1" in before[0]["what"], "faces by name"
    undone = _lines(run("undo", "--album", album.root, "--json"))
    assert (undone[0]["kind"], undone[0]["undoes"]) == ("undo", before[0]["action"])
    assert run("undo", "--album", album.root).stderr.startswith("Taken back: say that ")
    assert _said(album) == SAID | {"same": set(), "different": set()}
    shown = run("history", "--most", "3", "--album", album.root).stdout.splitlines()
    assert len(shown) == 4 and shown[3].endswith("taken back")
    for _ in range(4):
        assert run("undo", "--album", album.root).exit_code == 0
    refused = run("undo", "--album", album.root)
    assert refused.exit_code == 1 and "there is nothing to undo" in refused.stderr


def test_an_album_where_nothing_was_said_says_so(run, make_album) -> None:
    album = make_album(PHOTOS)
    result = run("history", "--album", album.root)
    assert (result.exit_code, result.stdout) == (0, "") and "Nothing was said yet" in result.stderr


READS_PEOPLE = {
    "people": [],
    "show": ["Ann"],
    "cluster": [],
    "name": ["1", "Ann"],
    "merge": ["Ann", "Bob"],
    "split": ["Ann"],
    "move": ["--to", "Ann", "a.png#1"],
    "reject": ["a.png#1"],
    "ignore": ["a.png#1"],
    "rename": ["Ann", "Eva"],
    "same": ["a.png#1", "b.png#1"],
    "different": ["a.png#1", "b.png#1"],
    "retract": ["a.png#1", "b.png#1"],
    "undo": [],
    "history": [],
    "facts export": ["x.json"],
    "facts import": ["x.json"],
    "facts reanchor": [],
    "status": [],
}


@pytest.mark.parametrize("command", READS_PEOPLE)
def test_a_people_file_of_a_newer_visavis_stops_every_command(album, run, command, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.json").write_text("{}")
    connection = sqlite3.connect(album.people)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    assert command.split()[0] in cli.commands
    result = run(*command.split(), *READS_PEOPLE[command], "--album", album.root)
    assert result.exit_code == 1, result.output
    assert "people.sqlite is of format 2" in result.stderr and "Install that one" in result.stderr
