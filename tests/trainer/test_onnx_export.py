"""What other programs read out of an exported file is what torch computes."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from trainer.networks import NetworkSettings, build_network
from trainer.onnx_export import SETTINGS_KEY, differences, export_onnx
from trainer.onnx_graph import OnnxError
from trainer.weights import Description

SETTINGS = (
    NetworkSettings("small", input_size=48, dimension=16, width=8, depths=(1,)),
    NetworkSettings("iresnet", input_size=32, dimension=16, depths=(1, 1, 1, 1)),
    NetworkSettings("sface"),
    NetworkSettings("slim"),
    NetworkSettings("dlib", input_size=150, limits=(0.5,) * 28),
)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s.kind)
def test_onnx_runtime_and_our_reader_agree_with_torch(settings: NetworkSettings, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = build_network(settings)
    network(torch.rand(6, 3, settings.input_size, settings.input_size) * 255)  # norms with statistics of their own
    path = tmp_path / "network.onnx"
    export_onnx(path, network.eval(), Description(settings, "MIT", id="f00d"))
    found = differences(path, network, settings.input_size)
    assert set(found) == {"visavis", "onnxruntime"} and max(found.values()) < 1e-5
    model = onnx.load(path)
    about = json.loads({entry.key: entry.value for entry in model.metadata_props}[SETTINGS_KEY])
    assert (about["input_size"], about["licence"], about["id"]) == (settings.input_size, "MIT", "f00d")
    names = {tensor.name for tensor in model.graph.initializer}
    assert names == names & {name for node in model.graph.node for name in node.input}, "nothing is stored in vain"


def test_another_network_is_told_apart(tmp_path: Path) -> None:
    settings = SETTINGS[0]
    torch.manual_seed(0)
    export_onnx(tmp_path / "a.onnx", build_network(settings).eval(), Description(settings, "MIT"))
    assert differences(tmp_path / "a.onnx", build_network(settings).eval(), 48)["visavis"] > 0.01


class _Odd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x).real.flatten(1)


def test_an_operator_that_is_not_known_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(OnnxError, match="is not known to the ONNX writer; known: aten"):
        export_onnx(tmp_path / "odd.onnx", _Odd().eval(), Description(SETTINGS[0], "MIT"))
    assert not list(tmp_path.iterdir())
