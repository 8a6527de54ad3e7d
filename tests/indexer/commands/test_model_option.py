"""`--model FILE`: a network in a file works like one with a name, and the album goes on without the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from trainer.networks import NetworkSettings, build_network
from trainer.weights import Description, save_weights


@pytest.fixture
def weight_file(tmp_path: Path) -> Path:
    settings = NetworkSettings("small", input_size=64, dimension=24, width=8, depths=(1,))
    torch.manual_seed(0)
    path = tmp_path / "family.safetensors"
    save_weights(path, build_network(settings), Description(settings, "CC0-1.0"))
    return path


def test_an_album_of_a_weight_file_goes_on_without_it(demo_photos, weights, weight_file, run, tmp_path) -> None:
    weights("centerface")
    album = tmp_path / "album"
    result = run("index", "--album", album, "--model", weight_file, demo_photos.archive)
    assert result.exit_code == 0, result.stderr
    status = json.loads(run("status", "--album", album, "--json").stdout)
    assert status["model"].startswith("family-") and status["faces"] == 18
    weight_file.unlink()
    result = run("enroll", "--album", album, demo_photos.archive)
    assert result.exit_code == 0, result.stderr
    result = run("who", "--album", album, "--json", demo_photos.group)
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 2
    assert run("verify", "--album", album).exit_code == 0


def test_an_album_whose_copy_is_gone_says_what_to_do(demo_photos, weights, weight_file, run, tmp_path) -> None:
    weights("centerface")
    album, first = tmp_path / "album", next(demo_photos.archive.glob("*/*.jpg"))
    assert run("index", "--album", album, "--model", weight_file, first).exit_code == 0
    (copy,) = (album / "models").iterdir()
    copy.unlink()
    assert run("status", "--album", album).exit_code == 0, "what the album knows needs no network"
    result = run("index", "--album", album, demo_photos.archive)
    assert result.exit_code == 1 and f"{copy} is not there: put the file of family-" in result.stderr
    copy.write_bytes(weight_file.read_bytes())
    assert run("index", "--album", album, demo_photos.archive).exit_code == 0


@pytest.mark.parametrize("command", ["index", "enroll"])
def test_what_is_no_model_is_misuse(command, run, tmp_path) -> None:
    result = run(command, "--model", "nonsense", tmp_path)
    assert result.exit_code == 2 and "neither one of dlib, sface nor a file .safetensors or .onnx" in result.stderr
    result = run(command, "--model", tmp_path / "nowhere.onnx", tmp_path)
    assert result.exit_code == 2 and "there is no file" in result.stderr


def test_a_broken_file_is_an_error_and_makes_no_album(demo_photos, weight_file, run, tmp_path) -> None:
    weight_file.write_bytes(weight_file.read_bytes()[:-100])
    result = run("index", "--album", tmp_path / "album", "--model", weight_file, demo_photos.archive)
    assert result.exit_code == 1 and "cut short" in result.stderr
    assert not (tmp_path / "album" / "album.json").exists()
