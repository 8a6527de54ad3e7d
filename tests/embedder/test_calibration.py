"""The batch size that is fastest here is measured once and remembered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from embedder.calibration import (
    Calibration,
    calibrate,
    machine_key,
    memory_file,
    read_calibration,
    remember_calibration,
)
from embedder.device import Compute
from embedder.model import FaceModel, choose_model


def _work(seconds_for: dict[int, float], tried: list[int]) -> Callable[[np.ndarray, int], None]:
    """Computing that takes so long for batches of that size."""

    def encode(crops: np.ndarray, crops_at_once: int) -> None:
        assert crops.shape[1:] == (9, 9, 3) and crops.dtype == np.uint8
        tried.append(crops_at_once)
        end = time.process_time() + seconds_for[crops_at_once]
        while time.process_time() < end:
            pass

    return encode


def test_the_fastest_size_is_taken(exact_compute: Compute):
    tried: list[int] = []
    found = calibrate(_work({4: 0.06, 8: 0.02, 16: 0.06, 32: 0.06}, tried), replace(exact_compute, lanes=1), 9)
    assert found.crops_at_once == 8
    assert list(found.per_second) == [4, 8, 16, 32]
    assert found.per_second[8] == pytest.approx(32 / 0.02, rel=0.3)
    assert tried == 2 * [4, 8, 16, 32], "alternating, so that what disturbs one disturbs all"


def test_a_size_for_which_the_memory_does_not_suffice_is_no_choice(exact_compute: Compute):
    def encode(crops: np.ndarray, crops_at_once: int) -> None:
        if crops_at_once > 8:
            raise torch.OutOfMemoryError

    assert set(calibrate(encode, exact_compute, 9).per_second) == {4, 8}


def test_it_is_remembered_by_machine_and_network(tmp_path: Path, exact_compute: Compute):
    path, found = tmp_path / "deep" / "machine.json", Calibration(8, {4: 90.5, 8: 100.0})
    key = machine_key(exact_compute, "f00d")
    assert read_calibration(path, key) is None
    remember_calibration(path, key, found)
    remember_calibration(path, machine_key(exact_compute, "beef"), Calibration(4, {4: 1.0}))
    assert read_calibration(path, key) == found
    assert read_calibration(path, machine_key(replace(exact_compute, lanes=77), "f00d")) is None
    assert read_calibration(path, machine_key(replace(exact_compute, dtype=torch.float16), "f00d")) is None
    assert read_calibration(path, machine_key(replace(exact_compute, int8=True), "f00d")) is None
    assert [path.name for path in path.parent.iterdir()] == ["machine.json"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": 9}', '{"format": 1, "measured": []}']
    + [
        json.dumps({"format": 1, "measured": {"key": entry}})
        for entry in (None, {}, {"crops_at_once": 8}, {"crops_at_once": 8, "per_second": {"4": 1}})
    ],
)
def test_a_damaged_file_is_as_none_and_is_replaced(tmp_path: Path, content: str):
    path = tmp_path / "machine.json"
    path.write_text(content)
    assert read_calibration(path, "key") is None
    remember_calibration(path, "key", Calibration(8, {8: 2.0}))
    assert read_calibration(path, "key") == Calibration(8, {8: 2.0})


def test_what_cannot_be_remembered_is_no_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    remember_calibration(tmp_path / "file" / "machine.json", "key", Calibration(8, {8: 2.0}))


def test_it_is_kept_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert memory_file() == tmp_path / "visavis" / "machine.json"


def test_a_model_measures_when_asked_and_then_remembers(
    tmp_path: Path, exact_compute: Compute, weights: Callable[[str], Path], portrait_crops: Callable[[str], np.ndarray]
):
    weights("centerface"), weights("dlib")
    model, memory = FaceModel(choose_model("dlib"), exact_compute), tmp_path / "machine.json"
    assert model.calibrate(memory, measure=False) is None and not memory.exists()
    found = model.calibrate(memory, measure=True)
    assert found is not None and f"{found.crops_at_once} crops at once (4: " in str(found)
    assert model.calibrate(memory, measure=True) is None, "it is known now"
    crops = np.repeat(portrait_crops("dlib"), 5, axis=0)
    before = model._encoder.encode(crops)
    other = next(size for size in (4, 8) if size != found.crops_at_once)
    key = next(iter(json.loads(memory.read_text())["measured"]))
    remember_calibration(memory, key, Calibration(other, {other: 1.0}))
    model.calibrate(memory, measure=True)
    assert model._encoder.crops_at_once == other
    np.testing.assert_allclose(model._encoder.encode(crops), before, atol=1e-5)
