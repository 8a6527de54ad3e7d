"""`visavis evaluate` on real faces and on bad input."""

from __future__ import annotations

import json
import shutil

import pytest


@pytest.fixture
def people_folder(demo_photos, tmp_path):
    """Two people in folders, named as LFW names its photos."""
    for name in ("eileen", "grace"):
        for number, path in enumerate(sorted((demo_photos.archive / name).iterdir()), 1):
            (tmp_path / "people" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "people" / name / f"{name}_{number:04d}.jpg")
    return tmp_path / "people"


def test_verification_of_a_list_and_of_all_pairs(people_folder, run, tmp_path) -> None:
    lines = [f"{n}\t{i}\t{i + 1}" for n in ("eileen", "grace") for i in (1, 3, 5)]
    lines += [f"eileen\t{i}\tgrace\t{i}" for i in range(1, 7)]
    (tmp_path / "pairs.txt").write_text("\n".join(["6", *lines]))
    common = ("--images", people_folder, "--album", tmp_path / "kept", "--json")
    result = run("evaluate", "verification", "--pairs", tmp_path / "pairs.txt", *common)
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    keys = {"accuracy", "accuracy_std", "threshold", "auc", "tar_at_far", "pairs", "missed_faces"}
    assert set(figures) == keys and set(figures["tar_at_far"]) == {"0.01", "0.001"}
    assert figures["accuracy"] == 1.0 and figures["pairs"] == 12
    report, plot = tmp_path / "r.html", tmp_path / "p.png"
    again = run("evaluate", "verification", "--pairs", "all", *common, "--report", report, "--plot", plot)
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["pairs"] == 16 * 15 // 2
    assert "Model" not in again.stderr, "the second evaluation embeds nothing"
    assert "data:image/png" in report.read_text() and plot.read_bytes()[1:4] == b"PNG"


def test_clustering_of_two_people(people_folder, run) -> None:
    result = run("evaluate", "clustering", "--images", people_folder, "--json")
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    assert {"pairwise", "bcubed", "nmi", "groups", "people", "seconds", "oracle", "clicks_to_clean"} <= set(figures)
    assert figures["bcubed"] == {"precision": 1.0, "recall": 1.0, "f": 1.0} and figures["groups"] == 2


def test_detection_finds_the_face_and_not_the_cup(people_folder, demo_photos, run, tmp_path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(demo_photos.archive / "eileen" / "bright.jpg", images / "a.jpg")
    shutil.copy(demo_photos.archive / "nobody.jpg", images / "b.jpg")
    (tmp_path / "boxes.json").write_text(json.dumps({"a.jpg": [{"box": [176, 68, 95, 125]}], "b.jpg": []}))
    result = run("evaluate", "detection", "--images", images, "--boxes", tmp_path / "boxes.json", "--json")
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["iou_0.35"]["recall"]["80"] == 1.0 and figures["iou_0.35"]["precision"] == 1.0
    album, page = tmp_path / "album", tmp_path / "page.html"
    asked = ("--detection", "thorough", "--album", album, "--report", page)
    result = run("evaluate", "detection", "--images", images, "--boxes", tmp_path / "boxes.json", *asked)
    assert result.exit_code == 0, result.stderr
    assert json.loads((album / "album.json").read_text())["detection"]["level"] == "thorough"
    assert "--detection thorough" in page.read_text(), "the page says how it was measured"


def test_photos_without_a_face_are_counted_and_reported(people_folder, demo_photos, run, tmp_path) -> None:
    shutil.copy(demo_photos.archive / "nobody.jpg", people_folder / "grace" / "grace_0001.jpg")
    result = run("evaluate", "verification", "--images", people_folder, "--pairs", "all", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["missed_faces"] == 1
    assert "no face found: " in result.stderr and "grace_0001.jpg" in result.stderr


def test_bad_input_is_named(people_folder, run, tmp_path) -> None:
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "none").mkdir()
    for arguments, message in (
        (["detection", "--images", people_folder, "--boxes", tmp_path / "empty.json"], "holds no box"),
        (["clustering", "--images", tmp_path / "none"], "no photo in"),
        (["verification", "--images", people_folder, "--pairs", tmp_path / "absent.txt"], "absent.txt"),
        (["identification", "--images", people_folder / "grace"], "one person only"),
        (["album", "--album", tmp_path / "nowhere"], "is no album"),
    ):
        result = run("evaluate", *arguments)
        assert result.exit_code == 1 and message in result.stderr, (arguments, result.stderr)
