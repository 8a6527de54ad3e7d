"""What an album keeps of a network from a file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from embedder.model_records import is_model_file, keep_copy, network_in, network_record
from embedder.pretrained import NETWORKS, FaceNetwork, WeightFile, WeightsAltered, WeightsMissing, locate


@pytest.fixture
def network(tmp_path: Path) -> FaceNetwork:
    import hashlib

    path = tmp_path / "mine.onnx"
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    weights = WeightFile("mine-1", "network", "mine", "mine.onnx", "onnx", digest, 7, "MIT", "", path=path)
    return FaceNetwork(weights, 8, NETWORKS["sface"].template, "BGR", "(x - 1) / 2", 6, pixels=(1.0, 2.0))


def test_a_copy_is_private_and_gives_the_same_network(network: FaceNetwork, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    kept = keep_copy(network, folder)
    assert kept == network_in(folder, json.loads(json.dumps(network_record(kept))))
    assert (kept.input_size, kept.template, kept.pixels) == (network.input_size, network.template, network.pixels)
    copy = locate(kept.weights)
    assert copy.read_bytes() == b"weights" and copy.parent == folder and stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert keep_copy(network, folder) == kept and len(list(folder.iterdir())) == 1


def test_a_file_that_changed_meanwhile_is_not_kept(network: FaceNetwork, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(b"other")
    with pytest.raises(WeightsAltered, match="was altered"):
        keep_copy(network, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_copy_that_is_gone_or_altered_says_what_to_do(network: FaceNetwork, tmp_path: Path) -> None:
    kept = keep_copy(network, tmp_path / "models")
    path = locate(kept.weights)
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsAltered, match=rf"put the file of mine-1 with SHA-256 {network.weights.sha256} back"):
        locate(kept.weights)
    path.unlink()
    with pytest.raises(WeightsMissing, match="or embed the album with another model, `visavis index --model`"):
        locate(kept.weights)


def test_a_record_that_points_elsewhere_is_refused(network: FaceNetwork, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no name of a file"):
        network_in(tmp_path, network_record(network, "../mine.onnx"))


@pytest.mark.parametrize(
    ("name", "expected"), [("a/b.safetensors", True), ("X.ONNX", True), ("sface", False), ("a.dat", False)]
)
def test_model_files_go_by_their_suffix(name: str, expected: bool) -> None:
    assert is_model_file(name) is expected
