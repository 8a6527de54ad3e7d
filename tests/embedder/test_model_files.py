"""A network in a file of the user's own: opened, fed as it wants, refused with the remedy."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from embedder.device import Compute
from embedder.encode import FaceEncoder
from embedder.model import choose_model
from embedder.model_files import ModelFileError, load_model_file, open_model_file
from trainer.networks import NetworkSettings, build_network
from trainer.onnx_export import export_onnx
from trainer.onnx_graph import OnnxError
from trainer.templates import ARCFACE_TEMPLATE
from trainer.weights import Description, WeightFileError, save_weights

SMALL = NetworkSettings("small", input_size=64, dimension=24, width=8, depths=(1,))


@pytest.fixture(scope="module")
def weight_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "family.safetensors"
    torch.manual_seed(0)
    network = build_network(SMALL)
    network(torch.rand(8, 3, 64, 64) * 255)  # batch norms get statistics that are no identity
    save_weights(path, network, Description(SMALL, "CC0-1.0", metrics={"tar": 0.5}, recipe={"name": "batch-hard"}))
    return path


@pytest.fixture
def crops() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (5, 64, 64, 3), np.uint8)


def write_onnx(path: Path, first: list[str], size: object = 8, outputs: int = 1) -> np.ndarray:
    """Write a graph that flattens what it is fed and multiplies it by a matrix, which is given back: (D, 3·8·8)."""
    matrix = np.random.default_rng(1).normal(size=(6, 3 * 8 * 8)).astype(np.float32)
    nodes, value = [], "image"
    constants = [numpy_helper.from_array(matrix, "matrix"), numpy_helper.from_array(np.float32([127.5]), "number")]
    for kind in first:
        nodes.append(helper.make_node(kind, [value, "number"], [f"{kind}-out"]))
        value = f"{kind}-out"
    nodes += [helper.make_node("Flatten", [value], ["flat"])]
    nodes += [helper.make_node("Gemm", ["flat", "matrix"], [f"rows{i}"], transB=1) for i in range(outputs)]
    graph = helper.make_graph(
        nodes,
        "arcface",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info(f"rows{i}", TensorProto.FLOAT, ["N", 6]) for i in range(outputs)],
        constants,
    )
    onnx.save(helper.make_model(graph), path)
    return matrix


def test_a_weight_file_embeds_as_its_network_does(weight_file: Path, crops: np.ndarray, exact_compute: Compute) -> None:
    spec = choose_model(str(weight_file))
    found = FaceEncoder(weight_file, exact_compute, spec.network).encode(crops)
    assert found.shape == (5, 24) and spec.network.dimension == 24 and spec.network.input_size == 64
    network = load_model_file(weight_file)
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        views = [functional.normalize(network(p)) for p in (pixels, pixels.flip(3))]
    np.testing.assert_allclose(found, functional.normalize(views[0] + views[1]).numpy(), atol=1e-5)


def test_folding_the_norms_changes_nothing(weight_file: Path) -> None:
    from trainer.weights import load_weights

    pixels = torch.rand(3, 3, 64, 64) * 255
    with torch.inference_mode():
        torch.testing.assert_close(load_model_file(weight_file)(pixels), load_weights(weight_file)[0](pixels))
    kinds = {type(module).__name__ for module in load_model_file(weight_file).modules()}
    assert "BatchNorm2d" not in kinds, "folded into the convolutions"


def test_the_name_is_never_that_of_a_model_in_the_table(weight_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "sface.safetensors"
    copy.write_bytes(weight_file.read_bytes())
    assert choose_model(str(copy)).name.startswith("sface-")


def test_the_fingerprint_is_that_of_the_content_not_of_the_path(weight_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weight_file.read_bytes())
    other = tmp_path / "other.safetensors"
    save_weights(other, build_network(SMALL), Description(SMALL, "CC0-1.0"))
    prints = [choose_model(str(path)).fingerprint() for path in (weight_file, copy, other)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("first", "scaled"), [([], True), (["Sub", "Mul"], False), (["Sub", "Div"], False), (["Sub"], True)]
)
def test_pixels_are_scaled_unless_the_graph_does_it(tmp_path: Path, first: list[str], scaled: bool) -> None:
    matrix = write_onnx(tmp_path / "arcface.onnx", first)
    network = open_model_file(tmp_path / "arcface.onnx")
    assert network.pixels == ((127.5, 127.5) if scaled else None)
    assert (network.input_size, network.dimension, network.channel_order) == (8, 6, "RGB")
    np.testing.assert_allclose(network.template, np.array(ARCFACE_TEMPLATE) * 8 / 112)
    if not first:
        pixels = torch.randint(0, 256, (2, 3, 8, 8)).float()
        found = load_model_file(tmp_path / "arcface.onnx", network)(pixels)[0].detach()
        expected = (pixels.numpy().reshape(2, -1) - 127.5) / 127.5 @ matrix.T
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_json_file_beside_an_onnx_file_says_how_it_is_fed(tmp_path: Path) -> None:
    matrix = write_onnx(tmp_path / "arcface.onnx", [], size="height")
    plain = {"input_size": 8, "channel_order": "BGR", "mean": 100, "divisor": 50, "licence": "MIT"}
    (tmp_path / "arcface.json").write_text(json.dumps(plain))
    network = open_model_file(tmp_path / "arcface.onnx")
    assert network.weights.licence == "MIT" and network.pixels == (100, 50)
    pixels = torch.randint(0, 256, (2, 3, 8, 8)).float()
    found = load_model_file(tmp_path / "arcface.onnx", network)(pixels)[0].detach()
    expected = (pixels.numpy()[:, ::-1].reshape(2, -1) - 100) / 50 @ matrix.T
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    usual = choose_model(str(tmp_path / "arcface.onnx")).fingerprint()
    (tmp_path / "arcface.json").write_text(json.dumps(plain | {"channel_order": "RGB"}))
    assert choose_model(str(tmp_path / "arcface.onnx")).fingerprint() != usual, "fed otherwise, it is another model"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{", "is no JSON"),
        ('{"size": 8}', "must be a JSON object with some of channel_order"),
        ('{"mean": 5}', "does not say how to feed arcface.onnx: KeyError"),
        ('{"channel_order": "HSV"}', "RGB or BGR"),
        ('{"template": [[1, 2]]}', "five points"),
        ('{"input_size": 9}', "takes no crops of 9 pixels"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, settings: str, message: str) -> None:
    write_onnx(tmp_path / "arcface.onnx", [])
    (tmp_path / "arcface.json").write_text(settings)
    with pytest.raises(ModelFileError, match=message):
        open_model_file(tmp_path / "arcface.onnx")


def test_what_is_no_face_network_is_refused(tmp_path: Path, weights: Callable[[str], Path], weight_file: Path) -> None:
    with pytest.raises(ModelFileError, match="not one row of numbers for each"):
        open_model_file(weights("centerface"))
    with pytest.raises(ModelFileError, match="neither a weight file"):
        open_model_file(weights("dlib"))
    with pytest.raises(FileNotFoundError, match="there is no model file"):
        open_model_file(tmp_path / "nowhere.onnx")
    (tmp_path / "cut.safetensors").write_bytes(weight_file.read_bytes()[:500])
    with pytest.raises(WeightFileError, match="cut short"):
        open_model_file(tmp_path / "cut.safetensors")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(OnnxError, match="not an ONNX file"):
        open_model_file(tmp_path / "text.onnx")


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    write_onnx(tmp_path / "whole.onnx", [])
    model = onnx.load(tmp_path / "whole.onnx")
    onnx.save(model, tmp_path / "parts.onnx", save_as_external_data=True, location="secret.bin", size_threshold=0)
    with pytest.raises(OnnxError, match="keeps its weights in other files, which is refused"):
        open_model_file(tmp_path / "parts.onnx")


def test_the_onnx_file_that_sface_came_in_is_the_same_model_by_its_path(
    weights: Callable[[str], Path], portrait_crops: Callable[[str], np.ndarray], exact_compute: Compute
) -> None:
    network = open_model_file(weights("sface"))
    assert network.pixels is None and network.input_size == 112 and network.dimension == 128
    np.testing.assert_allclose(network.template, ARCFACE_TEMPLATE)
    crops = portrait_crops("sface")
    by_path = FaceEncoder(weights("sface"), exact_compute, network).encode(crops)
    np.testing.assert_array_equal(by_path, FaceEncoder(weights("sface"), exact_compute).encode(crops))


def test_an_exported_file_brings_its_template(tmp_path: Path) -> None:
    settings = dataclasses.replace(SMALL, template=tuple((x / 2, y / 2 + 1) for x, y in ARCFACE_TEMPLATE))
    export_onnx(tmp_path / "small.onnx", build_network(settings).eval(), Description(settings, "CC0-1.0"))
    network = open_model_file(tmp_path / "small.onnx")
    assert (network.template, network.input_size) == (settings.template, 64)
    assert network.weights.licence == "CC0-1.0" and network.pixels is None


@pytest.mark.parametrize("kind", ["sface", "slim", "dlib"])
def test_a_trained_network_of_any_kind_computes_the_same(kind: str, tmp_path: Path) -> None:
    """Also one whose layers take another way in training; batch norm is folded."""
    torch.manual_seed(0)
    settings = NetworkSettings(kind, 150 if kind == "dlib" else 112)  # type: ignore[arg-type]
    network = build_network(settings)
    crops = torch.rand(2, 3, settings.input_size, settings.input_size) * 255
    with torch.no_grad():
        network(crops)
        save_weights(tmp_path / "trained.safetensors", network.eval(), Description(settings, "x"))
        loaded = load_model_file(tmp_path / "trained.safetensors", open_model_file(tmp_path / "trained.safetensors"))
        torch.testing.assert_close(loaded.eval()(crops), network(crops), rtol=1e-3, atol=1e-3)
    folded = [layer for layer in loaded.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert len(folded) <= 1  # SFace's last one follows no convolution
