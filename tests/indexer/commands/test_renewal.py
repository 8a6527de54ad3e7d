"""`visavis index --model NEW` on an album: another model, the same faces, the same names, whatever is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import indexer.commands.renewal
import indexer.generations
from embedder.catalogue import shown_faces
from embedder.tables import read_tables
from indexer.album import open_album
from indexer.archive import read_archive
from indexer.cli import cli

SMALL_SHARDS = (
    "import embedder.pipeline as p, functools; p.EmbedSettings = functools.partial(p.EmbedSettings, "
    "shard_photos=3, chunk_photos=3); from indexer.cli import cli; cli()"
)


class Killed(BaseException):
    pass


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)


def named(album: Path) -> dict[int, str]:
    """Who each face is, by face_id, as humans said; of faces that the album has."""
    archive = read_archive(open_album(album))
    names = archive.people.persons
    rows = zip(archive.faces.face_ids.tolist(), archive.persons.tolist(), strict=True)
    return {face: names[person] for face, person in rows if person >= 0}


def columns(album: Path) -> tuple[np.ndarray, ...]:
    faces = shown_faces(read_tables(open_album(album).shards))
    order = np.argsort(faces.face_ids)
    rows = np.asarray(faces.embeddings)[order].astype(np.float32)
    return faces.face_ids[order], faces.boxes_xywh[order], faces.landmarks[order], rows


def usable(album: Path, run) -> str:
    """Check that an album is whole and answers; gives its model."""
    result = run("verify", "--album", album)
    assert result.exit_code == 0, result.output
    assert run("who", "--all", "--album", album, "--json").exit_code == 0
    return str(json.loads(run("status", "--album", album, "--json").stdout)["model"])


@pytest.fixture(scope="module")
def photos(demo_photos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven of the demo's pictures: two of each person, both, nobody and a broken one."""
    folder = tmp_path_factory.mktemp("photos")
    for person in ("eileen", "grace"):
        (folder / person).mkdir()
        for name in ("dark.jpg", "small.jpg"):
            shutil.copy(demo_photos.archive / person / name, folder / person / name)
    for name in ("together.jpg", "nobody.jpg", "broken.jpg"):
        shutil.copy(demo_photos.archive / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def sface_album(photos: Path, weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """These pictures in three shards, with the people named. Not to be changed."""
    weights("centerface"), weights("sface"), weights("dlib")
    album = tmp_path_factory.mktemp("renewal") / "album"
    command = [sys.executable, "-c", SMALL_SHARDS, "enroll", "--album", str(album), str(photos)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert run_cli("index", "--album", album, photos).exit_code == 0
    assert len(list((album / "shards").iterdir())) == 3
    return album


@pytest.fixture
def album(sface_album: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sface_album, tmp_path / "album"))


@pytest.fixture(scope="module")
def dlib_album(sface_album: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same album, gone over to dlib's network."""
    album = Path(shutil.copytree(sface_album, tmp_path_factory.mktemp("renewed") / "album"))
    result = run_cli("index", "--model", "dlib", "--album", album, "--json")
    assert result.exit_code == 0, result.output
    line = json.loads(result.stdout)
    assert (line["photos"], line["faces"], line["embedded_again"], line["lost_photos"]) == (7, 6, 6, 0)
    assert "went over from model sface to dlib: 6 faces of 5 photos embedded again" in result.stderr
    return album


def test_names_stay_on_their_faces(dlib_album: Path, sface_album: Path, run) -> None:
    assert usable(dlib_album, run) == "dlib"
    assert len(named(dlib_album)) == 4 and named(dlib_album) == named(sface_album)


def test_the_faces_are_those_of_an_album_that_was_made_with_the_model(dlib_album, photos, run, tmp_path) -> None:
    result = run("index", "--model", "dlib", "--album", tmp_path / "anew", photos)
    assert result.exit_code == 0, result.stderr
    *places, ours = columns(dlib_album)
    *expected, theirs = columns(tmp_path / "anew")
    for place, other in zip(places, expected, strict=True):
        np.testing.assert_array_equal(place, other)
    assert (ours * theirs).sum(axis=1).min() > 0.999  # bfloat16 in other batches


def test_who_and_corrections_and_undo_go_on(dlib_album, photos, run, tmp_path) -> None:
    album = Path(shutil.copytree(dlib_album, tmp_path / "album"))
    before = named(album)
    line = json.loads(run("who", "--album", album, "--json", photos / "together.jpg").stdout.splitlines()[0])
    assert line["person"] in set(before.values())
    person = next(iter(before.values()))
    assert run("rename", "--album", album, person, "Somebody Else").exit_code == 0
    assert "Somebody Else" in set(named(album).values())
    assert run("undo", "--album", album).exit_code == 0
    assert named(album) == before


def test_new_photos_and_removals_find_their_way_back(dlib_album, photos, run, tmp_path, monkeypatch) -> None:
    """Back to the former model: only what came meanwhile is embedded, and what was taken out stays out."""
    album, more = Path(shutil.copytree(dlib_album, tmp_path / "album")), tmp_path / "more"
    more.mkdir()
    from PIL import Image

    Image.open(photos / "together.jpg").rotate(3).save(more / "turned.png")
    assert run("index", "--album", album, more).exit_code == 0
    out = photos / "grace" / "dark.jpg"
    assert run("remove", "--album", album, out).exit_code == 0
    dlib_faces = columns(album)[:2]
    result = run("index", "--model", "sface", "--album", album, "--json")
    assert json.loads(result.stdout)["embedded_again"] == 2, result.stderr
    for ours, theirs in zip(columns(album)[:2], dlib_faces, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "no-weights-here"))
    result = run("index", "--model", "dlib", "--album", album, "--json")
    assert json.loads(result.stdout)["embedded_again"] == 0, result.stderr
    assert usable(album, run) == "dlib"


def test_compact_deletes_the_former_generation(dlib_album, run, tmp_path) -> None:
    album = Path(shutil.copytree(dlib_album, tmp_path / "album"))
    before = named(album)
    result = run("compact", "--album", album)
    assert result.exit_code == 0 and f"{album / 'shards'} is deleted" in result.stderr
    assert not (album / "shards").exists()
    assert usable(album, run) == "dlib" and named(album) == before


@pytest.mark.parametrize("moment", [0, 2, 3, 4, 5])
def test_a_kill_at_any_moment_leaves_an_album_that_works(moment: int, album, run, monkeypatch) -> None:
    """After so many steps everything ends: the album answers, and the same command comes to the same end."""
    before, steps = named(album), iter(range(moment))

    def dying(really: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named_ones: Any) -> Any:
            if next(steps, None) is None:
                raise Killed
            return really(*arguments, **named_ones)

        return step

    with monkeypatch.context() as patched:
        import embedder.reembed

        patched.setattr(embedder.reembed, "write_named_shard", dying(embedder.reembed.write_named_shard))
        # Three shards, then three steps.
        for name in ("write_album", "forget_derived", "end_making"):
            patched.setattr(indexer.generations, name, dying(getattr(indexer.generations, name)))
        with pytest.raises(Killed):
            run_cli("index", "--model", "dlib", "--album", album)
    assert usable(album, run) == ("sface" if moment < 4 else "dlib")
    assert named(album) == before
    assert run("index", "--model", "dlib", "--album", album).exit_code == 0
    assert usable(album, run) == "dlib" and named(album) == before


def test_a_killed_process_goes_on_where_it_stopped(album: Path, dlib_album: Path, run) -> None:
    command = [sys.executable, "-c", SMALL_SHARDS, "index", "--model", "dlib", "--album", str(album)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (album / "shards-2" / "000001").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert json.loads(run("status", "--album", album, "--json").stdout)["faces"] == 6
    assert run("index", "--model", "dlib", "--album", album).exit_code == 0
    assert usable(album, run) == "dlib"
    for ours, whole in zip(columns(album)[:3], columns(dlib_album)[:3], strict=True):
        np.testing.assert_array_equal(ours, whole)


def test_photos_that_are_not_there_stop_it_before_anything_happens(sface_album, run, tmp_path, monkeypatch) -> None:
    album = Path(shutil.copytree(sface_album, tmp_path / "album"))
    monkeypatch.setattr("indexer.removal.is_missing", lambda text: "together" in text)
    result = run("index", "--model", "dlib", "--album", album)
    assert result.exit_code == 1
    assert "1 photo with 2 faces of the album cannot be embedded again" in result.stderr
    assert "visavis remove --missing" in result.stderr
    assert not (album / "shards-2").exists() and usable(album, run) == "sface"


def test_fresh_looks_again_and_carries_the_names(album: Path, run, monkeypatch) -> None:
    """A detector that sees each face a little lower: other ids, the same names in the same places."""
    import embedder.model

    before = named(album)
    really = embedder.model.whole_boxes
    monkeypatch.setattr(embedder.model, "whole_boxes", lambda boxes, w, h: really(boxes + np.array([0, 2, 0, 0]), w, h))
    result = run("index", "--fresh", "--album", album, "--json")
    assert result.exit_code == 0, result.stderr
    line = json.loads(result.stdout)
    assert (line["photos"], line["faces"], line["unreadable"]) == (7, 6, 1)
    after = named(album)
    assert not before.keys() & after.keys() and sorted(before.values()) == sorted(after.values())
    assert usable(album, run) == "sface"
    assert {path.name for path in album.glob("shards*")} == {"shards-2"}, "what is cut up otherwise is no way back"


def test_another_way_to_look_for_faces_needs_fresh_and_is_kept(album: Path, photos, run) -> None:
    before = named(album)
    for arguments in (("--detection", "fast"), ("--detection", "fast", photos), ("--detection", "thorough", photos)):
        result = run("index", "--album", album, *arguments)
        assert result.exit_code == 2 or "made with --detection balanced, not --detection" in result.stderr
        assert result.exit_code != 0
    result = run("index", "--fresh", "--detection", "thorough", "--album", album, "--json")
    assert "was made anew" in result.stderr and "went over" not in result.stderr
    assert result.exit_code == 0, result.stderr
    assert json.loads((album / "album.json").read_text())["detection"] == {
        "detector": "centerface",
        "level": "thorough",
    }
    assert sorted(named(album).values()) == sorted(before.values())
    assert run("index", "--detection", "thorough", "--album", album, photos).exit_code == 0
    assert run("index", "--album", album, photos).exit_code == 0, "the album's way is the default"
    result = run("index", "--detection", "balanced", "--album", album, photos)
    assert result.exit_code == 1 and "add --fresh to look for the faces of all its photos again" in result.stderr
    result = run("index", "--model", "dlib", "--album", album)
    assert result.exit_code == 0, result.stderr
    assert json.loads((album / "album.json").read_text())["detection"]["level"] == "thorough"


def test_names_that_were_not_carried_are_carried_by_the_next_run(album, photos, run, monkeypatch) -> None:
    import embedder.model

    assert run("remove", "--album", album, photos / "grace" / "dark.jpg").exit_code == 0
    before, really = named(album), embedder.model.whole_boxes
    with monkeypatch.context() as patched:
        patched.setattr(embedder.model, "whole_boxes", lambda boxes, w, h: really(boxes + np.array([0, 2, 0, 0]), w, h))
        really_drop = indexer.generations.drop_generations

        def drop_and_die(made: Any) -> None:
            really_drop(made)
            raise Killed

        patched.setattr(indexer.generations, "drop_generations", drop_and_die)
        with pytest.raises(Killed):
            run_cli("index", "--fresh", "--album", album)
    assert named(album) == {}
    assert run("index", "--album", album, photos).exit_code == 0
    assert sorted(named(album).values()) == sorted(before.values())
    status = json.loads(run("status", "--album", album, "--json").stdout)
    assert (status["removed"], status["faces"]) == (1, 5), "what was taken out stays out"


def test_misuse_is_said(run, tmp_path, album, photos) -> None:
    result = run("index", "--model", "dlib", "--album", tmp_path / "nowhere")
    assert result.exit_code == 2 and "there is no album" in result.stderr
    result = run("enroll", "--model", "dlib", "--album", album, photos)
    assert result.exit_code == 1 and "`visavis index --model` embeds an album anew" in result.stderr


def test_an_album_of_before_is_made_anew_when_faces_are_looked_for_in_another_way(
    album: Path, photos: Path, run, monkeypatch
) -> None:
    """Its level looks otherwise in a new version: the known faces stay, with their names, boxes and embeddings."""
    import embedder.detection

    before, (*places, rows) = named(album), columns(album)
    levels = dict(embedder.detection._SETTINGS["centerface"]) | {"balanced": embedder.detection.DetectSettings()}
    monkeypatch.setattr(embedder.detection, "_SETTINGS", {"centerface": levels})
    result = run("index", "--album", album, photos)
    assert result.exit_code == 0, result.stderr
    assert "was made anew: 6 faces of 5 photos embedded again, names stay" in result.stderr
    assert usable(album, run) == "sface" and named(album) == before
    for place, expected in zip(columns(album)[:-1], places, strict=True):
        np.testing.assert_array_equal(place, expected)
    assert (columns(album)[-1] * rows).sum(axis=1).min() > 0.999
