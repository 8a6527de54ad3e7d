"""Read an ONNX file into a torch module that computes the same thing.

Only the operators that face detectors and face networks are made of are known. The result is an
ordinary ``torch.fx.GraphModule``: it moves to a device, changes dtype, trains and compiles.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class OnnxError(ValueError):
    """An ONNX file that is broken, unsafe, or uses an operator that is not known here."""


Constants = dict[str, np.ndarray]
Attributes = dict[str, Any]


def load_onnx(path: Path) -> fx.GraphModule:
    """Read ``path`` as a module from one image batch to the graph's outputs.

    Args:
        path: an ONNX file whose weights stand in the file itself.
    Returns:
        A module in eval mode. ``forward(x: float (N, C, H, W))`` gives a tuple of tensors, in the
        order in which the graph lists its outputs.
    Raises:
        OnnxError: if the file is not ONNX, keeps its weights in other files (they could point
            anywhere on the disk), or holds an operator that is not known here.
    """
    model = _read_model(path)
    constants = {t.name: _array(t, path) for t in model.graph.initializer}
    inputs = [i.name for i in model.graph.input if i.name not in constants]
    if len(inputs) != 1:
        raise OnnxError(f"{path}: the graph takes {len(inputs)} inputs ({', '.join(inputs)}); one is expected")

    root = nn.Module()
    graph = fx.Graph()
    values: dict[str, fx.Node] = {inputs[0]: graph.placeholder("x")}
    for number, node in enumerate(model.graph.node):
        missing = [name for name in node.input if name and name not in values and name not in constants]
        if missing:
            raise OnnxError(f"{path}: {node.op_type} takes {missing[0]!r}, which nothing before it gives")
        function = _convert(node, constants, path)
        if node.op_type == "Constant":
            constants[node.output[0]] = function
            continue
        arguments = [values[name] for name in node.input if name in values]
        if isinstance(function, nn.Module):
            name = f"{node.op_type.lower()}_{number}"
            root.add_module(name, function)
            values[node.output[0]] = graph.call_module(name, tuple(arguments))
        else:
            values[node.output[0]] = graph.call_function(function, tuple(arguments))
    missing = [o.name for o in model.graph.output if o.name not in values]
    if missing:
        raise OnnxError(f"{path}: nothing computes the output {missing[0]!r}")
    graph.output(tuple(values[o.name] for o in model.graph.output))
    return fx.GraphModule(root, graph, class_name=path.stem).eval()


def fuse_batch_norm(module: fx.GraphModule) -> fx.GraphModule:
    """Fold each batch norm that follows a convolution into it. For inference only.

    Returns:
        A new module, which has in common with ``module`` what is not folded; the outputs differ by rounding alone.
    """
    graph = fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    fused = fx.GraphModule(module, graph, class_name=type(module).__name__).train(module.training)
    for node in list(fused.graph.nodes):
        norm = _submodule(fused, node)
        source = node.args[0] if node.args else None
        if not isinstance(norm, nn.BatchNorm2d) or not isinstance(source, fx.Node) or len(source.users) != 1:
            continue
        convolution = _submodule(fused, source)
        if isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d) and _is_fusible(convolution):
            transposed = isinstance(convolution, nn.ConvTranspose2d)
            fused.set_submodule(str(source.target), fuse_conv_bn_eval(convolution, norm, transposed))
            node.replace_all_uses_with(source)
            fused.graph.erase_node(node)
            fused.delete_submodule(str(node.target))
    fused.recompile()
    return fused


def _is_fusible(convolution: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    return isinstance(convolution, nn.Conv2d) or convolution.groups == 1  # torch folds into no other transposed one


def _submodule(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None


def _read_model(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise OnnxError(f"{path} is not an ONNX file: {error}") from error
    if not model.graph.node:
        raise OnnxError(f"{path} is not an ONNX file: it holds no graph")
    return model


def _array(tensor: onnx.TensorProto, path: Path) -> np.ndarray:
    """Read one constant, wherever in the file it stands; never one that lies in another file."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise OnnxError(f"{path} keeps its weights in other files, which is refused; save it as one file")
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise OnnxError(f"{path}: the constant {tensor.name!r} is broken: {error}") from error


def _convert(node: onnx.NodeProto, constants: Constants, path: Path) -> Any:
    """Give the module, the function or (of a Constant) the array that a node stands for."""
    convert = _CONVERTERS.get(node.op_type)
    if convert is None:
        raise OnnxError(f"{path}: operator {node.op_type} is not known; known: {', '.join(sorted(_CONVERTERS))}")
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Constant" and "value" in attributes:
        return _array(attributes["value"], path)
    try:
        return convert(attributes, constants, list(node.input))
    except OnnxError as error:
        raise OnnxError(f"{path}: {error}") from error
    except KeyError as error:
        raise OnnxError(f"{path}: {node.op_type} lacks {error}, or has it from elsewhere than a constant") from error


def _parameter(array: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.array(array, dtype=np.float32)))


def _spatial(attributes: Attributes, kernel: tuple[int, ...]) -> Attributes:
    """Give stride, padding and dilation in torch's words. Padding must be the same on both sides."""
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise OnnxError(f"auto_pad {attributes['auto_pad']!r} is not known")
    pads = attributes.get("pads", [0, 0, 0, 0])
    if pads[0] != pads[2] or pads[1] != pads[3]:
        raise OnnxError(f"padding {pads} differs between the sides")
    return {
        "kernel_size": kernel,
        "stride": tuple(attributes.get("strides", (1, 1))),
        "padding": tuple(pads[:2]),
        "dilation": tuple(attributes.get("dilations", (1, 1))),
    }


def _conv(attributes: Attributes, constants: Constants, inputs: list[str]) -> nn.Module:
    weight = constants[inputs[1]]
    groups = attributes.get("group", 1)
    layer = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        groups=groups,
        bias=len(inputs) > 2,
        **_spatial(attributes, weight.shape[2:]),
    )
    layer.weight = _parameter(weight)
    if len(inputs) > 2:
        layer.bias = _parameter(constants[inputs[2]])
    return layer


def _conv_transpose(attributes: Attributes, constants: Constants, inputs: list[str]) -> nn.Module:
    if "output_shape" in attributes:
        raise OnnxError("a ConvTranspose that names its output's shape is not known")
    weight = constants[inputs[1]]
    groups = attributes.get("group", 1)
    layer = nn.ConvTranspose2d(
        weight.shape[0],
        weight.shape[1] * groups,
        groups=groups,
        bias=len(inputs) > 2,
        output_padding=tuple(attributes.get("output_padding", (0, 0))),
        **_spatial(attributes, weight.shape[2:]),
    )
    layer.weight = _parameter(weight)
    if len(inputs) > 2:
        layer.bias = _parameter(constants[inputs[2]])
    return layer


def _batch_norm(attributes: Attributes, constants: Constants, inputs: list[str]) -> nn.Module:
    scale, shift, mean, variance = (constants[name] for name in inputs[1:5])
    layer = _BatchNorm(len(scale), eps=attributes.get("epsilon", 1e-5))
    layer.weight, layer.bias = _parameter(scale), _parameter(shift)
    layer.running_mean = torch.from_numpy(np.array(mean, dtype=np.float32))
    layer.running_var = torch.from_numpy(np.array(variance, dtype=np.float32))
    return layer


class _BatchNorm(nn.BatchNorm2d):
    """Batch norm over maps (N, C, H, W) or vectors (N, C), as ONNX has one operator for both."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 4):
            raise ValueError(f"batch norm takes (N, C) or (N, C, H, W), not {tuple(input.shape)}")


def _prelu(attributes: Attributes, constants: Constants, inputs: list[str]) -> nn.Module:
    slope = constants[inputs[1]].reshape(-1)
    layer = nn.PReLU(len(slope))
    layer.weight = _parameter(slope)
    return layer


def _gemm(attributes: Attributes, constants: Constants, inputs: list[str]) -> nn.Module:
    if attributes.get("transA", 0) or attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
        raise OnnxError("a Gemm that transposes or scales its input is not known")
    weight = constants[inputs[1]]
    weight = weight if attributes.get("transB", 0) else weight.T
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=len(inputs) > 2)
    layer.weight = _parameter(weight)
    if len(inputs) > 2:
        layer.bias = _parameter(constants[inputs[2]].reshape(-1))
    return layer


def _max_pool(attributes: Attributes, constants: Constants, inputs: list[str]) -> nn.Module:
    spatial = _spatial(attributes, tuple(attributes["kernel_shape"]))
    return nn.MaxPool2d(**spatial, ceil_mode=bool(attributes.get("ceil_mode", 0)))


def _average_pool(attributes: Attributes, constants: Constants, inputs: list[str]) -> nn.Module:
    spatial = _spatial(attributes, tuple(attributes["kernel_shape"]))
    if spatial.pop("dilation") != (1, 1) or attributes.get("ceil_mode", 0) or any(spatial["padding"]):
        raise OnnxError("an AveragePool with padding, dilation or ceil_mode is not known")
    return nn.AvgPool2d(**spatial)


def _pad(attributes: Attributes, constants: Constants, inputs: list[str]) -> nn.Module:
    filled = [constants[name].item() for name in inputs[2:3] if name]
    if attributes.get("mode", b"constant") != b"constant" or any(filled) or len(inputs) not in (2, 3):
        raise OnnxError("a Pad with anything but zeros, or on some axes only, is not known")
    pads = constants[inputs[1]].tolist()
    return _ZeroPad(pads[: len(pads) // 2], pads[len(pads) // 2 :])


class _ZeroPad(nn.Module):
    """Zeros before and after, so many on each axis."""

    def __init__(self, before: list[int], after: list[int]) -> None:
        super().__init__()
        # torch counts from the last axis on.
        self.widths = [width for pair in zip(reversed(before), reversed(after), strict=True) for width in pair]

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, self.widths)


class _WithConstant(nn.Module):
    """``function(x, constant)``, or the other way round where the constant stands first."""

    constant: Tensor

    def __init__(self, function: Callable[..., Tensor], constant: np.ndarray, constant_first: bool) -> None:
        super().__init__()
        self.function, self.constant_first = function, constant_first
        self.register_buffer("constant", torch.from_numpy(np.array(constant, dtype=np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.constant, x) if self.constant_first else self.function(x, self.constant)


def _binary(function: Callable[..., Tensor]) -> Callable[[Attributes, Constants, list[str]], Any]:
    def convert(attributes: Attributes, constants: Constants, inputs: list[str]) -> Any:
        if all(name in constants for name in inputs):
            raise OnnxError("a calculation with constants alone is not known; fold them into one")
        for position, name in enumerate(inputs):
            if name in constants:
                return _WithConstant(function, constants[name], constant_first=position == 0)
        return function

    return convert


def _flatten(attributes: Attributes, constants: Constants, inputs: list[str]) -> nn.Module:
    if attributes.get("axis", 1) != 1:
        raise OnnxError(f"a Flatten from axis {attributes['axis']} on is not known; 1 is")
    return nn.Flatten(1)


def _constant(attributes: Attributes, constants: Constants, inputs: list[str]) -> nn.Module:
    raise OnnxError(f"a Constant that is given as {', '.join(attributes)} is not known; a tensor is")


def _identity(attributes: Attributes, constants: Constants, inputs: list[str]) -> nn.Module:
    return nn.Identity()


def _clip(attributes: Attributes, constants: Constants, inputs: list[str]) -> nn.Module:
    if len(inputs) != 3 or not all(inputs):
        raise OnnxError("Clip without both limits is not known")
    least, most = (float(constants[name].reshape(())) for name in inputs[1:])
    return nn.Hardtanh(least, most)


_CONVERTERS: dict[str, Callable[[Attributes, Constants, list[str]], Any]] = {
    "Add": _binary(operator.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Constant": _constant,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": _binary(operator.truediv),
    "Dropout": _identity,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda attributes, constants, inputs: nn.AdaptiveAvgPool2d(1),
    "Identity": _identity,
    "MaxPool": _max_pool,
    "Mul": _binary(operator.mul),
    "PRelu": _prelu,
    "Pad": _pad,
    "Relu": lambda attributes, constants, inputs: nn.ReLU(),
    "Sigmoid": lambda attributes, constants, inputs: nn.Sigmoid(),
    "Sub": _binary(operator.sub),
}
