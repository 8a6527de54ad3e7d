"""Write a network as an ONNX file, and check that what reads it computes the same.

torch's own exporter wants two more packages; face networks are made of a dozen operators. ``torch.export`` resolves
the network to them, with every shape known but the number of faces.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn
from torch.nn import functional

from trainer.onnx_graph import OnnxError, load_onnx
from trainer.weights import Description

_OPSET, _IR_VERSION = 17, 8  # read by ONNX Runtime from 1.12 on, 2022
SETTINGS_KEY = "visavis"
"""Of the metadata that say how crops are cut, as JSON: input_size, template, licence, id."""
MOST_DIFFERENCE = 1e-4
"""Between unit embeddings of torch and of a reader of the file; float32 rounding stays below a tenth of it."""


class _Writer:
    """The nodes and constants of a graph while it is written; ``names`` are the values by their node in torch."""

    def __init__(self) -> None:
        self.names: dict[fx.Node, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Add an operator; gives the name of its output."""
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, array: np.ndarray) -> str:
        """Add a constant; gives its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def value(self, argument: Any) -> str:
        """Give the name of a value, be it a result, a weight or a number."""
        if isinstance(argument, fx.Node):
            return self.names[argument]
        return self.constant(np.array(argument, np.float32))


def export_onnx(path: Path, network: nn.Module, description: Description) -> None:
    """Write ``network``, with weights, as an ONNX file from "faces", RGB 0-255 (N, 3, size, size), to "embeddings".

    Args:
        path: of the file; an older one is replaced. Under its name it is whole.
        network: in eval mode, on the CPU.
        description: its size, template, licence and id go into the file's metadata.
    Raises:
        OnnxError: if the network has an operator that is not known here.
    """
    settings = description.network
    size = settings.input_size
    example = (torch.zeros(2, 3, size, size),)
    with torch.no_grad():  # some layers take another way while they are trained
        program = torch.export.export(network, example, dynamic_shapes=({0: torch.export.Dim("faces")},))
    writer = _Writer()
    result = _write_nodes(writer, program)
    writer.nodes.append(helper.make_node("Identity", [result], ["embeddings"]))
    used = {name for node in writer.nodes for name in node.input}  # slopes of a PReLU stand there twice
    graph = helper.make_graph(
        writer.nodes,
        settings.kind,
        [helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", settings.dimension])],
        [tensor for tensor in writer.constants if tensor.name in used],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION, producer_name="visavis"
    )
    about = {
        "input_size": size,
        "template": settings.template,
        "licence": description.licence,
        "id": description.id,
    }
    helper.set_model_props(model, {SETTINGS_KEY: json.dumps(about)})
    onnx.checker.check_model(model)
    _write_whole(path, model.SerializeToString())


def differences(path: Path, network: nn.Module, size: int) -> dict[str, float]:
    """Compare what reads the file with the network itself, on five crops of noise.

    Returns:
        reader → largest difference between unit embeddings; "onnxruntime" only where it is installed.
    """
    generator = torch.Generator().manual_seed(0)
    crops = torch.randint(0, 256, (5, 3, size, size), generator=generator).float()
    with torch.inference_mode():
        expected = functional.normalize(network(crops))
        found = {"visavis": load_onnx(path)(crops)[0]}
    try:
        import onnxruntime
    except ImportError:
        pass
    else:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found["onnxruntime"] = torch.from_numpy(session.run(None, {"faces": crops.numpy()})[0])
    return {name: float((functional.normalize(rows) - expected).abs().max()) for name, rows in found.items()}


def _write_nodes(writer: _Writer, program: torch.export.ExportedProgram) -> str:
    """Write every operator of a program; gives the name of its result."""
    signature = program.graph_signature
    weights: dict[str, Tensor] = {**program.state_dict, **program.constants}
    stored = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            if node.name not in stored:
                writer.names[node] = "faces"
            elif node.users:  # the number of batches that a norm has seen is not used
                writer.names[node] = writer.constant(weights[stored[node.name]].detach().numpy())
        elif node.op == "call_function":
            kind = str(node.target)
            if kind not in _OPERATORS:
                raise OnnxError(f"{kind} is not known to the ONNX writer; known: {', '.join(sorted(_OPERATORS))}")
            writer.names[node] = _OPERATORS[kind](writer, *node.args, **node.kwargs)
        else:
            return writer.value(node.args[0][0])
    raise AssertionError("a program ends with its output")


def _convolution(
    writer: _Writer, x: fx.Node, weight: fx.Node, bias: fx.Node | None = None, stride: Any = (1, 1),
    padding: Any = (0, 0), dilation: Any = (1, 1), groups: int = 1,
) -> str:  # fmt: skip
    inputs = [writer.value(x), writer.value(weight), *([writer.value(bias)] if bias is not None else [])]
    sides = {"strides": list(stride), "pads": [*padding, *padding], "dilations": list(dilation)}
    return writer.node("Conv", inputs, kernel_shape=list(weight.meta["val"].shape[2:]), group=groups, **sides)


def _batch_norm(writer: _Writer, x: fx.Node, *arguments: Any) -> str:
    scale, shift, mean, variance, _, _, epsilon, _ = arguments
    if scale is None:  # a norm without weights of its own
        ones = np.ones(tuple(mean.meta["val"].shape), np.float32)
        scale_and_shift = [writer.constant(ones), writer.constant(np.zeros_like(ones))]
    else:
        scale_and_shift = [writer.value(scale), writer.value(shift)]
    inputs = [writer.value(x), *scale_and_shift, writer.value(mean), writer.value(variance)]
    return writer.node("BatchNormalization", inputs, epsilon=float(epsilon))


def _prelu(writer: _Writer, x: fx.Node, slope: fx.Node) -> str:
    """ONNX lines the slopes up with the last axis, torch with the channels: (C,) becomes (C, 1, 1)."""
    name = writer.value(slope)
    slopes = next(numpy_helper.to_array(tensor) for tensor in writer.constants if tensor.name == name)
    return writer.node("PRelu", [writer.value(x), writer.constant(slopes.reshape(-1, *[1] * (x.meta["val"].ndim - 2)))])


def _pool(kind: str) -> Callable[..., str]:
    def write(
        writer: _Writer, x: fx.Node, kernel: list[int], stride: list[int] | None = None, padding: Any = (0, 0)
    ) -> str:
        if kind == "AveragePool" and any(padding):
            raise OnnxError("average pooling over a padded map is not known to the ONNX writer")
        sides = {"strides": list(stride or kernel), "pads": [*padding, *padding]}
        return writer.node(kind, [writer.value(x)], kernel_shape=list(kernel), **sides)

    return write


def _pad(writer: _Writer, x: fx.Node, widths: list[int], mode: str = "constant", value: float | None = None) -> str:
    if mode != "constant" or value:
        raise OnnxError(f"padding with {mode} {value} is not known to the ONNX writer; zeros are")
    axes = x.meta["val"].ndim
    begins, ends = [0] * axes, [0] * axes
    for axis, (before, after) in enumerate(zip(widths[::2], widths[1::2], strict=True)):  # the last axis comes first
        begins[-1 - axis], ends[-1 - axis] = before, after
    return writer.node("Pad", [writer.value(x), writer.constant(np.array(begins + ends, np.int64))])


def _mean(writer: _Writer, x: fx.Node, axes: list[int]) -> str:
    if sorted(axes) != [2, 3]:
        raise OnnxError(f"a mean over the axes {axes} is not known to the ONNX writer; 2 and 3 are")
    return writer.node("Flatten", [writer.node("GlobalAveragePool", [writer.value(x)])], axis=1)


def _linear(writer: _Writer, x: fx.Node, weight: fx.Node, bias: fx.Node | None = None) -> str:
    inputs = [writer.value(x), writer.value(weight), *([writer.value(bias)] if bias is not None else [])]
    return writer.node("Gemm", inputs, transB=1)


def _flatten(writer: _Writer, x: fx.Node, start: int = 0) -> str:
    if start != 1:
        raise OnnxError(f"a flattening from axis {start} on is not known to the ONNX writer; 1 is")
    return writer.node("Flatten", [writer.value(x)], axis=1)


def _binary(kind: str) -> Callable[..., str]:
    return lambda writer, x, y: writer.node(kind, [writer.value(x), writer.value(y)])


def _clip(writer: _Writer, x: fx.Node, least: float, most: float) -> str:
    return writer.node("Clip", [writer.value(x), writer.value(least), writer.value(most)])


_OPERATORS: Mapping[str, Callable[..., str]] = {
    "aten.add.Tensor": _binary("Add"),
    "aten.sub.Tensor": _binary("Sub"),
    "aten.mul.Tensor": _binary("Mul"),
    "aten.div.Tensor": _binary("Div"),
    "aten.conv2d.default": _convolution,
    "aten.batch_norm.default": _batch_norm,
    "aten.relu.default": lambda writer, x: writer.node("Relu", [writer.value(x)]),
    "aten.hardtanh.default": _clip,
    "aten.prelu.default": _prelu,
    "aten.max_pool2d.default": _pool("MaxPool"),
    "aten.avg_pool2d.default": _pool("AveragePool"),
    "aten.pad.default": _pad,
    "aten.mean.dim": _mean,
    "aten.flatten.using_ints": _flatten,
    "aten.linear.default": _linear,
    "aten.dropout.default": lambda writer, x, share, training: writer.value(x),
}


def _write_whole(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
