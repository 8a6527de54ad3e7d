"""`visavis enroll` and `visavis who` on real faces."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from indexer.commands.enroll import person_in


def _lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def known_album(demo_album, demo_photos, run):
    assert run("enroll", "--album", demo_album, demo_photos.known).exit_code == 0
    return demo_album


def test_the_known_one_is_named_and_the_other_is_not(known_album, demo_photos, run) -> None:
    result = run("who", "--album", known_album, "--json", demo_photos.group)
    assert result.exit_code == 0, result.stderr
    left, right = _lines(result)
    assert left["box"][0] < right["box"][0]
    assert left["person"] == "Eileen Collins" and left["reason"] is None and left["probability"] > 0.99
    assert right["person"] is None and "nobody near enough" in right["reason"]
    keys = {"photo", "box", "confidence", "person", "said", "most_like", "similarity", "probability", "reason"}
    keys |= {"nearest", "face_id", "group"}
    assert set(left) == set(right) == keys
    assert set(left["nearest"][0]) == {"photo", "box", "person", "similarity"}


def test_text_names_each_face_and_the_picture_is_drawn(known_album, demo_photos, run, tmp_path) -> None:
    result = run("who", "--album", known_album, "--explain", "--draw", tmp_path / "out", demo_photos.group)
    assert "1  Eileen Collins (similarity" in result.stdout and "2  unknown: nobody near enough" in result.stdout
    assert "fewer than 1 in 1,000,000 strangers look this much like Eileen Collins\n" in result.stdout
    assert re.search(r"\n       \d+ in \d+ strangers looks? this much like Eileen Collins\n", result.stdout)
    assert re.search(r"\n       0\.\d\d Eileen Collins, .*portrait\.jpg\n", result.stdout)
    drawn = np.asarray(Image.open(tmp_path / "out" / "together-who.jpg").convert("RGB"))
    assert drawn.shape == np.asarray(Image.open(demo_photos.group)).shape


def test_a_photo_without_a_face_has_no_line(known_album, demo_photos, run) -> None:
    result = run("who", "--album", known_album, "--json", demo_photos.archive / "nobody.jpg")
    assert result.exit_code == 0 and result.stdout == ""
    assert "0 faces" in run("who", "--album", known_album, demo_photos.archive / "nobody.jpg").stdout


def test_an_unreadable_photo_does_not_keep_the_others_from_an_answer(known_album, demo_photos, run) -> None:
    broken = demo_photos.archive / "broken.jpg"
    result = run("who", "--album", known_album, "--json", broken, "missing.jpg", demo_photos.group)
    assert result.exit_code == 1 and len(_lines(result)) == 2
    assert f"{broken}: broken JPEG" in result.stderr and "missing.jpg: No such file" in result.stderr


def test_with_nobody_named_everybody_is_unknown_and_the_reason_says_it(demo_album, demo_photos, run) -> None:
    lines = _lines(run("who", "--album", demo_album, "--json", demo_photos.group))
    assert [line["person"] for line in lines] == [None, None]
    assert lines[0]["reason"] == "nobody in the album has a name yet"


def test_a_missing_album_says_how_to_make_one(demo_photos, run, tmp_path) -> None:
    result = run("who", "--album", tmp_path / "none", demo_photos.group)
    assert result.exit_code == 1 and "is no album: make one with `visavis index" in result.stderr
    assert not (tmp_path / "none").exists()


def test_enrolling_tells_which_photos_it_could_not_use(demo_album, demo_photos, run, tmp_path) -> None:
    folder = tmp_path / "known"
    (folder / "Grace Hopper").mkdir(parents=True)
    (folder / "Nobody").mkdir()
    shutil.copy(demo_photos.archive / "grace" / "bright.jpg", folder / "Grace Hopper" / "1.jpg")
    portrait = cv2.imread(str(demo_photos.archive / "grace" / "bright.jpg"))
    cv2.imwrite(str(folder / "Grace Hopper" / "two.jpg"), np.concatenate([portrait, portrait], axis=1))
    shutil.copy(demo_photos.archive / "nobody.jpg", folder / "Nobody" / "cup.jpg")
    shutil.copy(demo_photos.archive / "broken.jpg", folder / "Nobody" / "broken.jpg")
    tiny = cv2.resize(portrait, None, fx=0.1, fy=0.1, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / "Grace Hopper" / "tiny.png"), tiny)
    shutil.copy(demo_photos.group, folder / "loose.jpg")
    result = run("enroll", "--album", demo_album, "--json", folder)
    assert result.exit_code == 0, result.stderr
    reasons = {Path(line["photo"]).name: line["reason"] for line in _lines(result)}
    assert reasons["1.jpg"] is None
    assert reasons["two.jpg"] == "2 faces, the largest two of similar size"
    assert reasons["cup.jpg"] == "no face"
    assert reasons["broken.jpg"].startswith("broken JPEG")
    assert reasons["tiny.png"].startswith("the face is too small (") and "24 are needed" in reasons["tiny.png"]
    assert "loose.jpg: not in a person's folder" in result.stderr


def test_enrolling_again_changes_nothing(known_album, demo_photos, run) -> None:
    before = run("people", "--album", known_album, "--json").stdout
    assert run("enroll", "--album", known_album, demo_photos.known).exit_code == 0
    assert run("people", "--album", known_album, "--json").stdout == before


def test_a_name_that_exists_twice_is_refused_before_anything_is_done(demo_album, demo_photos, run, tmp_path) -> None:
    for name in ("Ann Lee", "ann  lee"):
        (tmp_path / "known" / name).mkdir(parents=True)
        shutil.copy(demo_photos.archive / "grace" / "bright.jpg", tmp_path / "known" / name)
    result = run("enroll", "--album", demo_album, tmp_path / "known")
    assert result.exit_code == 1 and "exists twice" in result.stderr and "Put both into one folder" in result.stderr
    assert json.loads(run("status", "--album", demo_album, "--json").stdout)["people"] == 0


def test_a_folder_without_people_is_an_error(demo_album, run, tmp_path) -> None:
    (tmp_path / "known").mkdir()
    result = run("enroll", "--album", demo_album, tmp_path / "known")
    assert result.exit_code == 1 and "expected" in result.stderr and "NAME/PHOTO.jpg" in result.stderr


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([], (None, "no face")),
        ([[0, 0, 50, 50]], (0, None)),
        ([[0, 0, 30, 30], [50, 0, 60, 60]], (1, None)),
        ([[0, 0, 50, 50], [50, 0, 60, 60]], (None, "2 faces, the largest two of similar size")),
        ([[0, 0, 20, 90]], (None, "the face is too small (20 pixels, 24 are needed)")),
    ],
)
def test_the_face_of_a_portrait(boxes, expected) -> None:
    assert person_in(np.array(boxes, np.int32).reshape(-1, 4)) == expected


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system: left out that none is waited for")
def test_what_decoders_mutter_is_kept_from_users_and_a_pipe_is_not_waited_for(
    known_album, demo_photos, run, tmp_path, capfd
) -> None:
    content = demo_photos.group.read_bytes()
    at = content.rindex(b"\xff\xd9")
    (tmp_path / "odd.jpg").write_bytes(content[: at - 40] + b"\xff\xd9")  # ends early: libjpeg would say so
    os.mkfifo(tmp_path / "pipe.jpg")
    result = run("who", "--album", known_album, "--json", tmp_path / "odd.jpg", tmp_path / "pipe.jpg")
    assert "not a regular file" in result.output
    assert "Corrupt" not in capfd.readouterr().err
    searched = run("search", "--album", known_album, tmp_path / "pipe.jpg")
    assert searched.exit_code == 1 and "not a regular file" in searched.stderr


def test_a_linked_folder_is_a_person_and_two_links_to_one_are_refused(demo_album, demo_photos, run, tmp_path) -> None:
    person = next(path for path in sorted(demo_photos.known.iterdir()) if path.is_dir())
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "Ann Link").symlink_to(person, target_is_directory=True)
    enrolled = run("enroll", "--album", demo_album, tmp_path / "known")
    assert enrolled.exit_code == 0 and "Ann Link" in enrolled.stdout
    (tmp_path / "known" / "Bob Link").symlink_to(person, target_is_directory=True)
    refused = run("enroll", "--album", demo_album, tmp_path / "known")
    assert refused.exit_code == 1 and "are one folder, but two names" in refused.stderr
