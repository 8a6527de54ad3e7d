"""The main job on real faces, by the command line alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from indexer.cli import cli


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def lines(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_demo_names_groups_and_leaves_pictures(tmp_path: Path, weights) -> None:
    weights("centerface"), weights("sface")
    result = run("demo", "--out", tmp_path)
    assert "1  Eileen Collins (similarity" in result.stdout
    assert "2  unknown: nobody near enough" in result.stdout
    assert (tmp_path / "together-who.jpg").stat().st_size > 10_000
    assert (tmp_path / "group-1.jpg").stat().st_size > 10_000
    assert result.stdout.rstrip().splitlines()[-3:] == [
        "  visavis index ~/Pictures",
        "  visavis cluster",
        "  visavis review",
    ]
    people = lines(run("people", "--album", tmp_path / "album", "--json"))
    found = sorted((row["person"] or "group", row["faces"]) for row in people)
    assert found == [("Eileen Collins", 10), ("group", 9)], "the copies of each, and the picture of both"


def test_naming_a_group_lets_who_know_the_person(tmp_path: Path, weights) -> None:
    weights("centerface"), weights("sface")
    run("demo", "--out", tmp_path)
    album = ("--album", tmp_path / "album")
    grace = next(row for row in lines(run("people", "--faces", "--json", *album)) if "grace/" in row["photo"])
    run("name", grace["group"], "Grace Hopper", *album)
    left, right = lines(run("who", tmp_path / "photos" / "together.jpg", "--json", *album))
    assert (left["person"], right["person"]) == ("Eileen Collins", "Grace Hopper")
    shown = lines(run("show", "grace hopper", "--json", *album))
    assert {row["person"] for row in shown} == {"Grace Hopper"} and len(shown) >= 8
    run("undo", *album)
    refused = CliRunner().invoke(cli, ["name", str(grace["group"]), "eileen  Collins", *map(str, album)])
    assert refused.exit_code == 1 and "--add" in refused.stderr


@pytest.mark.parametrize("model", ["sface", "dlib"])
def test_known_people_are_named_and_nobody_else(tmp_path: Path, weights, shared_data, model: str) -> None:
    weights("centerface"), weights(model)
    examples = shared_data("photos/known-people/examples/knn_examples", "naming known people")
    run("enroll", "--album", tmp_path / "album", "--model", model, examples / "train")
    answers = lines(run("who", "--json", "--album", tmp_path / "album", *sorted((examples / "test").glob("*.jpg"))))
    named: dict[str, list[str]] = {}
    for answer in answers:
        named.setdefault(Path(answer["photo"]).stem, []).append(answer["person"])
    assert {photo: [p for p in people if p] for photo, people in named.items()} == {
        "alex_lacamoire1": ["alex_lacamoire"],
        "johnsnow_test1": ["kit_harington"],
        "kit_with_rose": ["rose_leslie", "kit_harington"],
        "obama1": ["obama"],
        "obama_and_biden": ["biden", "obama"],
    }


def test_six_faces_of_six(tmp_path: Path, weights, shared_data) -> None:
    weights("centerface"), weights("sface")
    run("index", "--album", tmp_path / "album", shared_data("photos/cast/cast-of-six.jpg", "six faces of six"))
    faces = lines(run("people", "--faces", "--json", "--album", tmp_path / "album"))
    assert len(faces) == 6


def test_pairs_of_lfw_are_told_apart(tmp_path: Path, weights, shared_data) -> None:
    """A sample of the development list; `visavis evaluate verification` measures the whole."""
    weights("centerface"), weights("sface")
    lfw = shared_data("lfw-dev", "accuracy on pairs of LFW")
    listed = (lfw / "pairsDevTrain.txt").read_text().splitlines()[1:]
    chosen = listed[:1100:37][:25] + listed[1100::37][:25]
    images = tmp_path / "images"
    for line in chosen:
        parts = line.split("\t")
        for name, number in zip(
            parts[::2] if len(parts) == 4 else [parts[0]] * 2,
            parts[1::2] if len(parts) == 4 else parts[1:],
            strict=True,
        ):
            target = images / name / f"{name}_{int(number):04d}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((lfw / "images" / name / target.name).read_bytes())
    (tmp_path / "pairs.txt").write_text("\n".join(["25", *chosen]) + "\n")
    result = run("evaluate", "verification", "--images", images, "--pairs", tmp_path / "pairs.txt", "--json")
    figures = lines(result)[0]
    assert figures["pairs"] == 50 and figures["missed_faces"] == 0
    assert figures["accuracy"] >= 0.98
