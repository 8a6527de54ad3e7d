"""The table of weight files, and telling a good file from a bad one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import string
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedder.cli import models
from embedder.pretrained import (
    DEFAULT_DETECTOR,
    DEFAULT_NETWORK,
    DETECTORS,
    NETWORKS,
    WEIGHT_FILES,
    WeightFile,
    WeightsAltered,
    WeightsError,
    WeightsMissing,
    locate,
    models_folder,
    state,
)

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    chosen = tmp_path / "models"
    monkeypatch.setenv("VISAVIS_MODELS", str(chosen))
    return chosen


@pytest.fixture
def weight() -> WeightFile:
    """An entry as in the table, for a small file."""
    return dataclasses.replace(
        WEIGHT_FILES["sface"], size_bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest()
    )


@pytest.mark.parametrize("name", WEIGHT_FILES)
def test_every_entry_is_complete(name: str):
    weight = WEIGHT_FILES[name]
    assert weight.name == name
    assert weight.address.startswith("https://")
    assert Path(weight.file_name).name == weight.file_name
    assert Path(weight.address.removesuffix(".bz2")).name == weight.file_name
    assert weight.description and weight.licence
    hashes = [weight.sha256]
    if weight.package is not None:
        package, _, version = weight.package.requirement.partition("==")
        assert package and version
        assert Path(weight.package.member).name == weight.file_name
        hashes.append(weight.package.archive_sha256)
    assert all(len(digits) == 64 and set(digits) <= set(string.hexdigits.lower()) for digits in hashes)


def test_files_and_hashes_are_told_apart():
    assert len({weight.file_name for weight in WEIGHT_FILES.values()}) == len(WEIGHT_FILES)
    assert len({weight.sha256 for weight in WEIGHT_FILES.values()}) == len(WEIGHT_FILES)


def test_the_mappings_agree():
    assert set(WEIGHT_FILES) == set(DETECTORS) | set(NETWORKS)
    assert all(WEIGHT_FILES[name].role == "detector" for name in DETECTORS)
    assert all(WEIGHT_FILES[name] is network.weights for name, network in NETWORKS.items())
    assert all(network.weights.role == "network" for network in NETWORKS.values())
    assert DEFAULT_DETECTOR in DETECTORS and DEFAULT_NETWORK in NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_templates_are_faces(name: str):
    """Five points inside the crop, eyes above the nose above the mouth, left before right."""
    network = NETWORKS[name]
    left_eye, right_eye, nose, left_mouth, right_mouth = network.template
    assert all(0 < x < network.input_size and 0 < y < network.input_size for x, y in network.template)
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < nose[0] < right_mouth[0]


@pytest.mark.parametrize("name", ["centerface", "sface", "dlib"])
def test_real_files_have_the_size_of_the_table(name: str, weights):
    assert weights(name).stat().st_size == WEIGHT_FILES[name].size_bytes


def test_the_folder_is_the_chosen_one(folder: Path):
    assert models_folder() == folder


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="XDG folders")
@pytest.mark.parametrize(
    ("xdg", "expected"), [("/var/cache/ann", "/var/cache/ann"), ("relative", "/home/ann/.cache"), ("", None)]
)
def test_the_folder_is_in_the_users_cache(xdg: str, expected: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("VISAVIS_MODELS", raising=False)
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    assert models_folder() == Path(expected or "/home/ann/.cache") / "visavis" / "models"


def test_locate_gives_a_whole_file(folder: Path, weight: WeightFile):
    folder.mkdir()
    (folder / weight.file_name).write_bytes(CONTENT)
    assert locate(weight) == folder / weight.file_name
    assert state(weight) == "here"


def test_locate_names_a_missing_file_and_the_remedy(folder: Path, weight: WeightFile):
    with pytest.raises(WeightsMissing) as caught:
        locate(weight)
    for part in (weight.file_name, "0.0 MB", "Apache-2.0", str(folder), "visavis models pull sface"):
        assert part in str(caught.value)
    assert isinstance(caught.value, WeightsError)
    assert state(weight) == "missing"


@pytest.mark.parametrize(
    "altered",
    [CONTENT[:-1], CONTENT + b"\0", CONTENT[:7] + b"\xff" + CONTENT[8:], b""],
    ids=["cut short", "too long", "a byte changed", "empty"],
)
def test_locate_refuses_an_altered_file(altered: bytes, folder: Path, weight: WeightFile):
    folder.mkdir()
    (folder / weight.file_name).write_bytes(altered)
    with pytest.raises(WeightsAltered) as caught:
        locate(weight)
    found = hashlib.sha256(altered).hexdigest()
    for part in (weight.file_name, found, weight.sha256, "visavis models pull --force sface"):
        assert part in str(caught.value)
    assert state(weight) == "altered"


def test_models_lists_every_file_as_json(folder: Path):
    result = CliRunner().invoke(models, ["--json"])
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["name"] for line in lines] == list(WEIGHT_FILES)
    assert all(list(line) == ["name", "role", "file", "here", "sha256", "size", "licence"] for line in lines)
    assert not any(line["here"] for line in lines)


def test_models_tells_here_from_missing_from_altered(folder: Path, weight: WeightFile, monkeypatch: pytest.MonkeyPatch):
    folder.mkdir()
    (folder / weight.file_name).write_bytes(CONTENT)
    (folder / WEIGHT_FILES["dlib"].file_name).write_bytes(b"not dlib's")
    monkeypatch.setattr("embedder.cli.WEIGHT_FILES", {**WEIGHT_FILES, "sface": weight})
    result = CliRunner().invoke(models)
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split()[1:3] for line in result.stdout.splitlines()[1:5]}
    assert rows == {
        "centerface": ["detector", "missing"],
        "yunet": ["detector", "missing"],
        "sface": ["network", "here"],
        "dlib": ["network", "altered"],
    }
    assert str(folder) in result.stdout
    here = [json.loads(line)["here"] for line in CliRunner().invoke(models, ["--json"]).stdout.splitlines()]
    assert here == [False, False, True, False]
