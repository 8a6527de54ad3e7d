"""`visavis models show` and `export`: what a file is, and the same network for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from embedder.cli import models
from trainer.networks import NetworkSettings, build_network
from trainer.settings import TrainSettings
from trainer.weights import Description, load_weights, save_weights


@pytest.fixture
def weight_file(tmp_path: Path) -> Path:
    settings = NetworkSettings("small", input_size=48, dimension=16, width=8, depths=(1,))
    torch.manual_seed(0)
    path = tmp_path / "family.safetensors"
    described = Description(settings, "CC0-1.0", metrics={"tar": 0.5}, recipe={"name": "batch-hard"})
    save_weights(path, build_network(settings), described)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(models, [str(argument) for argument in arguments])


def test_show_tells_all_that_the_file_says(weight_file: Path) -> None:
    about = json.loads(run("show", weight_file, "--json").stdout)
    assert about["metrics"] == {"tar": 0.5} and about["recipe"] == {"name": "batch-hard"}
    assert (about["kind"], about["input_size"], about["dimension"], len(about["id"])) == ("small", 48, 16, 16)
    assert "metrics tar: 0.5\n" in run("show", weight_file).stdout


def test_show_tells_which_options_were_not_as_usual(weight_file: Path) -> None:
    network, described = load_weights(weight_file)
    settings = TrainSettings(crops=9, loss={"margin": None}).as_dict()
    save_weights(weight_file, network, replace(described, recipe={"settings": settings, "epochs": 3}))
    lines = run("show", weight_file).stdout.splitlines()
    told = [line for line in lines if line.startswith("trained with")]
    assert told == ["trained with --loss: margin=none", "trained with --crops-each: 9"]
    assert "recipe epochs: 3" in lines and max(map(len, lines)) < 300
    assert json.loads(run("show", weight_file, "--json").stdout)["recipe"]["settings"]["crops"] == 9


def test_export_into_no_folder_says_so(weight_file: Path, tmp_path: Path) -> None:
    result = run("export", weight_file, "--onnx", tmp_path / "none" / "x.onnx")
    assert result.exit_code == 1
    assert result.stderr == f"Error: there is no folder {tmp_path / 'none'}: make it, or choose another --onnx\n"


def test_show_reads_onnx_files_too(weights: Callable[[str], Path]) -> None:
    about = json.loads(run("show", weights("sface"), "--json").stdout)
    assert (about["format"], about["input_size"], about["dimension"]) == ("onnx", 112, 128)


def test_export_writes_what_it_checked(weight_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    result = run("export", weight_file, "--onnx", tmp_path / "family.onnx", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["largest_difference"]
    assert set(found) == {"visavis", "onnxruntime"} and max(found.values()) < 1e-5
    assert json.loads(run("show", tmp_path / "family.onnx", "--json").stdout)["dimension"] == 16


def test_a_difference_is_an_error(weight_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import trainer.onnx_export

    monkeypatch.setattr(trainer.onnx_export, "MOST_DIFFERENCE", -1.0)
    result = run("export", weight_file, "--onnx", tmp_path / "family.onnx")
    assert result.exit_code == 1 and "does not compute what" in result.stderr
