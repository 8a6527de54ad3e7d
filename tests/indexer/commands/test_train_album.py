"""`visavis train --album`: crops of the album's people, its own model to begin with, and a comparison in the end."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
import torch

from embedder.align import crop_faces
from embedder.decode import decode
from embedder.pretrained import NETWORKS
from indexer.album import open_album
from indexer.archive import read_archive
from indexer.commands import train_album
from indexer.crops import held_out_by
from indexer.training.album_comparison import (
    AlbumComparison,
    ComparisonError,
    faces_to_compare,
    people_to_compare,
)
from indexer.training.comparison import Comparison, Figure
from trainer.crops import read_crop, read_crops_folder
from trainer.networks import NetworkSettings, build_network
from trainer.weights import Description, save_weights

SMALL = NetworkSettings("small", input_size=64, dimension=24, width=8, depths=(1,))
COMPARED = AlbumComparison(Comparison((Figure("a", 0.5, 0.9, 0.01),), 12, 40), 1)


@pytest.fixture
def named_demo(demo_album: Path, demo_photos, run) -> Path:
    assert run("enroll", "--album", demo_album, demo_photos.archive).exit_code == 0
    return demo_album


def options(**more: Any) -> dict[str, Any]:
    return {"init": "none", "held_out": None} | more


def test_the_crops_are_what_the_albums_model_sees(named_demo: Path, demo_photos, tmp_path: Path, capsys) -> None:
    """A crop of the album is, but for JPEG, the crop that `visavis index` made of the same landmarks."""
    chosen = options()
    crops = train_album.crops_of_album(named_demo, tmp_path / "run", chosen, device="cpu")
    assert chosen["init"].endswith("face_recognition_sface_2021dec.onnx") and chosen["held_out"] == 0.25
    assert "will not be compared in the end: 0 of the people who are held out have two" in capsys.readouterr().err
    folder = read_crops_folder(crops)
    assert crops == tmp_path / "run" / "crops" and set(folder.people) == {"eileen", "grace"}
    assert folder.settings.size == 112 and folder.settings.network == "sface"
    photo = demo_photos.archive / "eileen" / "dark.jpg"
    archive = read_archive(open_album(named_demo))
    (face,) = (row for row in range(len(archive.faces)) if archive.paths[row] == str(photo))
    sface = NETWORKS["sface"]
    pixels = decode(photo.read_bytes()).pixels
    (expected,) = crop_faces(pixels, archive.faces.landmarks[[face]], sface.template, sface.input_size)
    (row,) = (row for row in range(len(folder)) if folder.paths[row].startswith("eileen/dark-"))
    seen = read_crop(folder.path(row), folder.settings.side)[14:-14, 14:-14]
    assert np.abs(seen.astype(float) - expected).mean() < 2


def test_a_comparison_is_foretold_as_it_will_be(named_demo: Path, monkeypatch, capsys) -> None:
    archive = read_archive(open_album(named_demo))
    for share, people in ((0.0, 0), (1.0, 2)):
        monkeypatch.setattr("indexer.training.comparison.LEAST_PEOPLE", 2)
        monkeypatch.setattr("indexer.training.album_comparison.LEAST_PEOPLE", 2)
        train_album.tell_whether_compared(named_demo, share)
        told = capsys.readouterr().err
        assert people_to_compare(archive, held_out_by(share)) == people
        if people:
            assert told == "" and len(faces_to_compare(archive, held_out_by(share)))
        else:
            assert "0 of the people who are held out" in told and "--held-out" in told
            with pytest.raises(ComparisonError, match="0 of the people"):
                faces_to_compare(archive, held_out_by(share))


def test_an_album_with_a_network_from_a_file_begins_with_its_copy(demo_photos, weights, run, tmp_path: Path) -> None:
    weights("centerface")
    path, album = tmp_path / "mine.safetensors", tmp_path / "small-album"
    torch.manual_seed(0)
    save_weights(path, build_network(SMALL), Description(SMALL, "CC0-1.0"))
    assert run("enroll", "--album", album, "--model", path, demo_photos.archive).exit_code == 0
    path.unlink()
    chosen = options(held_out=0.5)
    crops = train_album.crops_of_album(album, tmp_path / "run", chosen, device="cpu")
    assert Path(chosen["init"]).parent == open_album(album).models and chosen["held_out"] == 0.5
    assert read_crops_folder(crops).settings.template == SMALL.template


def test_what_does_not_go_together_is_misuse(named_demo: Path, run, tmp_path: Path, monkeypatch) -> None:
    result = run("train", "--out", tmp_path / "run")
    assert result.exit_code == 2 and "say either CROPS" in result.stderr
    result = run("train", "--album", named_demo, "--init", "dlib", "--out", tmp_path / "run")
    assert result.exit_code == 2 and "leave out --init" in result.stderr
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(click.UsageError, match="make it with `visavis crops --album` first"):
        train_album.crops_of_album(named_demo, tmp_path / "run", options(), device="cpu")


def trained(folder: Path, best_epoch: int = 2, why: str = "done") -> Any:
    """What a run says of itself, with a weight file that says who was held out."""
    path = folder / "best.safetensors"
    save_weights(path, build_network(SMALL), Description(SMALL, "MIT", recipe={"held out": 0.3}))
    return SimpleNamespace(best=path, best_epoch=best_epoch, why=why)


def test_a_better_network_is_compared_and_the_figures_are_kept(tmp_path: Path, monkeypatch) -> None:
    asked: dict[str, Any] = {}

    def compare(album: Path, spec: Any, **more: Any) -> AlbumComparison:
        asked.update(more, album=album, name=spec.name)
        return COMPARED

    monkeypatch.setattr(train_album, "compare_with", compare)
    found = train_album.compare_run(tmp_path / "album", tmp_path, trained(tmp_path), device="cpu")
    assert found is COMPARED and asked["held_out"] == 0.3 and asked["album"] == tmp_path / "album"
    kept = json.loads((tmp_path / "comparison.json").read_text())
    assert kept["verdict"] == "better" and kept["model"] == asked["name"] and kept["lost_faces"] == 1


def test_nothing_is_compared_where_there_is_nothing_better(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(train_album, "compare_with", lambda *a, **b: pytest.fail("there is nothing to compare"))
    for found in (trained(tmp_path, best_epoch=0), trained(tmp_path, why="interrupted"), SimpleNamespace(best=None)):
        assert train_album.compare_run(tmp_path, tmp_path, found, device="cpu") is None


def test_too_few_people_are_no_failure_of_the_run(tmp_path: Path, monkeypatch, capsys) -> None:
    def refuse(*arguments: Any, **more: Any) -> AlbumComparison:
        raise ComparisonError("3 of the people who were held out have two photos")

    monkeypatch.setattr(train_album, "compare_with", refuse)
    assert train_album.compare_run(tmp_path, tmp_path, trained(tmp_path), device="cpu") is None
    assert "Not compared: 3 of the people" in capsys.readouterr().err
    assert not (tmp_path / "comparison.json").exists()
