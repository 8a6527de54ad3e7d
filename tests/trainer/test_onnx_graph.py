"""ONNX files in torch, against ONNX Runtime; and files that must be refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn

from trainer.onnx_graph import OnnxError, fuse_batch_norm, load_onnx

OPSET = 13


def run_onnxruntime(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: x}))


def run_ours(module: fx.GraphModule, x: np.ndarray) -> list[np.ndarray]:
    with torch.inference_mode():
        return [output.numpy() for output in module(torch.from_numpy(x))]


def network_input(images: np.ndarray) -> np.ndarray:
    """Uint8 (N, H, W, 3) as the networks take it: float32 (N, 3, H, W)."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)


def with_free_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take the weights out of the graph's inputs, and the fixed sizes out of what it takes and gives."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for value in [*model.graph.input, *model.graph.output]:
        for dimension in value.type.tensor_type.shape.dim:
            dimension.ClearField("dim_value")
    return model


def count_norms(module: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in module.modules())


# ---------------------------------------------------------------- the real networks


def test_sface_agrees_with_onnxruntime(weights: Callable[[str], Path], portrait_crops: Callable[[str], np.ndarray]):
    path, x = weights("sface"), network_input(portrait_crops("sface"))
    (ours,) = run_ours(load_onnx(path), x)
    model = onnx.load(str(path))
    theirs = np.concatenate([run_onnxruntime(model, x[i : i + 1])[0] for i in range(len(x))])
    assert ours.shape == (2, 128)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_centerface_agrees_with_onnxruntime(weights: Callable[[str], Path], portraits: dict[str, np.ndarray]):
    """On all four maps. A photo whose sides differ shows that height and width are not mixed up."""
    path, x = weights("centerface"), network_input(portraits["hopper"][None, 96:320, 96:384])
    ours = run_ours(load_onnx(path), x)
    theirs = run_onnxruntime(with_free_shapes(onnx.load(str(path))), x)
    assert [output.shape for output in ours] == [(1, channels, 56, 72) for channels in (1, 2, 2, 10)]
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=0, atol=1e-4)
    assert ours[0].max() > 0.5  # it does see the face


def test_fusing_sface_removes_its_norms(weights: Callable[[str], Path], portrait_crops: Callable[[str], np.ndarray]):
    """27 norms follow a convolution; the first stands before any, the last follows the Gemm."""
    module, x = load_onnx(weights("sface")), network_input(portrait_crops("sface"))
    fused = fuse_batch_norm(module)
    assert (count_norms(module), count_norms(fused)) == (29, 2)
    np.testing.assert_allclose(run_ours(fused, x)[0], run_ours(module, x)[0], rtol=0, atol=1e-4)


# ---------------------------------------------------------------- one operator at a time


@dataclasses.dataclass(frozen=True)
class Case:
    """A graph from "x" to "y" that holds an operator."""

    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)  # name → shape
    shape: tuple[int, ...] = (2, 4, 7, 6)
    opset: int = OPSET


def one(op_type: str, *inputs: str, **attributes: object) -> tuple[onnx.NodeProto, ...]:
    return (helper.make_node(op_type, ["x", *inputs], ["y"], **attributes),)


def two(op_type: str, first: str, second: str) -> tuple[onnx.NodeProto, ...]:
    """An operator that joins two branches of the graph: x and relu(x)."""
    return helper.make_node("Relu", ["x"], ["relu"]), helper.make_node(op_type, [first, second], ["y"])


CONSTANT_TENSOR = numpy_helper.from_array(np.float32([[[[3.0]], [[-1.0]], [[0.5]], [[2.0]]]]), "c")
PADS = numpy_helper.from_array(np.array([0, 1, 2, 0, 0, 3, 0, 4]))  # before each axis, then after each
NORM = dict.fromkeys(("scale", "shift", "mean", "variance"), (4,))
LIMITS = tuple(
    helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.float32(limit), name))
    for name, limit in (("least", -0.3), ("most", 0.6))
)

CASES = {
    "Add, a constant": Case(one("Add", "c"), {"c": (4, 1, 1)}),
    "Add, two branches": Case(two("Add", "x", "relu")),
    "AveragePool": Case(one("AveragePool", kernel_shape=[3, 2], strides=[2, 1])),
    "AveragePool, default stride": Case(one("AveragePool", kernel_shape=[2, 2])),
    "BatchNormalization": Case(one("BatchNormalization", *NORM, epsilon=0.01), NORM),
    "BatchNormalization of vectors": Case(one("BatchNormalization", *NORM), NORM, shape=(3, 4)),
    "Clip": Case((*LIMITS, *one("Clip", "least", "most"))),
    "Constant": Case((helper.make_node("Constant", [], ["c"], value=CONSTANT_TENSOR), *one("Mul", "c"))),
    "Conv": Case(one("Conv", "w", "b"), {"w": (5, 4, 3, 2), "b": (5,)}),
    "Conv, strided, padded": Case(one("Conv", "w", pads=[1, 2, 1, 2], strides=[2, 1]), {"w": (5, 4, 3, 3)}),
    "Conv, dilated": Case(one("Conv", "w", dilations=[2, 3]), {"w": (5, 4, 2, 2)}),
    "Conv, grouped": Case(one("Conv", "w", "b", group=2), {"w": (6, 2, 3, 3), "b": (6,)}),
    "Conv, depthwise": Case(one("Conv", "w", group=4, pads=[1, 1, 1, 1]), {"w": (4, 1, 3, 3)}),
    "ConvTranspose": Case(one("ConvTranspose", "w", "b", strides=[2, 2]), {"w": (4, 3, 2, 2), "b": (3,)}),
    "ConvTranspose, grouped, padded": Case(
        one("ConvTranspose", "w", group=2, strides=[2, 3], pads=[1, 0, 1, 0]), {"w": (4, 3, 3, 2)}
    ),
    "ConvTranspose, output padding": Case(
        one("ConvTranspose", "w", strides=[2, 3], output_padding=[1, 2]), {"w": (4, 3, 2, 2)}
    ),
    "Div by a constant": Case(one("Div", "c"), {"c": (4, 1, 1)}),
    "Div of a constant": Case((helper.make_node("Div", ["c", "x"], ["y"]),), {"c": (4, 1, 1)}),
    "Dropout": Case(one("Dropout")),
    "Dropout with its ratio as an input": Case(one("Dropout", "ratio"), {"ratio": ()}),
    "Dropout without its optional inputs": Case(one("Dropout", "", "")),
    "Flatten": Case(one("Flatten")),
    "Gemm": Case(one("Gemm", "w", "b"), {"w": (4, 3), "b": (3,)}, shape=(2, 4)),
    "Gemm, transposed": Case(one("Gemm", "w", transB=1), {"w": (3, 4)}, shape=(2, 4)),
    "GlobalAveragePool": Case(one("GlobalAveragePool")),
    "Identity": Case(one("Identity")),
    "MaxPool": Case(one("MaxPool", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 0])),
    "MaxPool, default stride": Case(one("MaxPool", kernel_shape=[2, 2])),
    "MaxPool, rounded up": Case(one("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)),
    "Mul, a constant": Case(one("Mul", "c"), {"c": (4, 1, 1)}),
    "Pad": Case((helper.make_node("Constant", [], ["pads"], value=PADS), *one("Pad", "pads"))),
    "PRelu": Case(one("PRelu", "slope"), {"slope": (4, 1, 1)}),
    "PRelu, one slope": Case(one("PRelu", "slope"), {"slope": (1,)}),
    "Relu": Case(one("Relu")),
    "Sigmoid": Case(one("Sigmoid")),
    "Sub from a constant": Case((helper.make_node("Sub", ["c", "x"], ["y"]),), {"c": (1,)}),
    "Sub, two branches": Case(two("Sub", "relu", "x")),
    "Old Dropout, Conv and PRelu": Case(
        (
            helper.make_node("Conv", ["x", "w"], ["a"], kernel_shape=[1, 1]),
            helper.make_node("PRelu", ["a", "slope"], ["b"]),
            helper.make_node("Dropout", ["b"], ["y", "mask"], ratio=0.4),
        ),
        {"w": (4, 4, 1, 1), "slope": (4, 1, 1)},
        opset=7,
    ),
}


def build(nodes: Iterable[onnx.NodeProto], constants: dict[str, np.ndarray], case: Case) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, case.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", case.opset)], ir_version=8)


def random_constants(case: Case) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    # Away from 0: some are divisors or variances.
    return {name: draw.uniform(0.2, 1.5, shape).astype(np.float32) for name, shape in case.constants.items()}


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("name", CASES)
def test_operator_agrees_with_onnxruntime(name: str, tmp_path: Path):
    case = CASES[name]
    model = build(case.nodes, random_constants(case), case)
    x = np.random.default_rng(2).normal(size=case.shape).astype(np.float32)
    x += np.where(x >= 0, np.float32(0.1), np.float32(-0.1))  # nothing is divided by nearly 0
    (ours,) = run_ours(load_onnx(saved(model, tmp_path)), x)
    theirs = run_onnxruntime(model, x)[0]
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def refusal(nodes: Iterable[onnx.NodeProto], folder: Path, **constants: tuple[int, ...]) -> str:
    case = Case(tuple(nodes), constants)
    with pytest.raises(OnnxError) as caught:
        load_onnx(saved(build(case.nodes, random_constants(case), case), folder))
    assert str(folder / "model.onnx") in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("inputs", [("least",), ("", "most"), ("least", "")])
def test_a_clip_without_both_limits_is_refused(inputs: tuple[str, ...], tmp_path: Path):
    assert "Clip without both limits is not known" in refusal((*LIMITS, *one("Clip", *inputs)), tmp_path)


def test_every_known_operator_is_tested(tmp_path: Path):
    """The refusal of an unknown operator names it, and those that are known."""
    message = refusal(one("Softmax"), tmp_path)
    assert "operator Softmax is not known" in message
    known = set(message.partition("known: ")[2].split(", "))
    assert known == {node.op_type for case in CASES.values() for node in case.nodes}


def test_several_outputs_keep_their_order(tmp_path: Path):
    case = Case((helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Sigmoid", ["y"], ["z"])))
    model = build(case.nodes, {}, case)
    model.graph.output.insert(0, helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    x = np.zeros(case.shape, np.float32)
    z, y = run_ours(load_onnx(saved(model, tmp_path)), x)
    assert z.max() == z.min() == 0.5
    assert not y.any()


# ---------------------------------------------------------------- fusing


def conv_and_norm(*, read_twice: bool, operator: str = "Conv") -> onnx.ModelProto:
    group = 2 if operator == "Conv" else 1
    nodes = [
        helper.make_node(operator, ["x", "w"], ["a"], group=group),
        helper.make_node("BatchNormalization", ["a", *NORM], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]) if read_twice else helper.make_node("Relu", ["b"], ["y"]),
    ]
    case = Case(tuple(nodes), {"w": (4, 4 // group, 3, 3), **NORM})
    return build(nodes, random_constants(case), case)


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_fused_is_the_same_with_fewer_norms(tmp_path: Path, operator: str):
    module = load_onnx(saved(conv_and_norm(read_twice=False, operator=operator), tmp_path))
    fused = fuse_batch_norm(module)
    x = np.random.default_rng(3).normal(size=(2, 4, 7, 6)).astype(np.float32)
    assert (count_norms(module), count_norms(fused)) == (1, 0)
    np.testing.assert_allclose(run_ours(fused, x)[0], run_ours(module, x)[0], atol=1e-5)


def test_a_convolution_that_others_read_too_is_not_fused(tmp_path: Path):
    module = load_onnx(saved(conv_and_norm(read_twice=True), tmp_path))
    fused = fuse_batch_norm(module)
    x = np.random.default_rng(3).normal(size=(2, 4, 7, 6)).astype(np.float32)
    assert count_norms(fused) == 1
    np.testing.assert_array_equal(run_ours(fused, x)[0], run_ours(module, x)[0])


# ---------------------------------------------------------------- files that are refused


def external(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """The same tensor, but its numbers are said to lie in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.append(onnx.StringStringEntryProto(key="location", value="secret.bin"))
    return tensor


def test_weights_in_another_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Also where that file is there and holds the right number of bytes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(np.ones(4, np.float32).tobytes())
    case = CASES["Add, a constant"]
    model = build(case.nodes, random_constants(case), case)
    external(model.graph.initializer[0])
    with pytest.raises(OnnxError, match="weights in other files"):
        load_onnx(saved(model, tmp_path))


def test_a_constant_in_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(np.ones(4, np.float32).tobytes())
    case = CASES["Constant"]
    model = build(case.nodes, {}, case)
    external(model.graph.node[0].attribute[0].t)
    with pytest.raises(OnnxError, match="weights in other files"):
        load_onnx(saved(model, tmp_path))


def test_a_constant_of_the_wrong_length_is_refused(tmp_path: Path):
    case = CASES["Add, a constant"]
    model = build(case.nodes, random_constants(case), case)
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-1]
    with pytest.raises(OnnxError, match="constant 'c' is broken"):
        load_onnx(saved(model, tmp_path))


def test_settings_that_are_not_known_are_refused(tmp_path: Path):
    weight = {"w": (4, 4, 3, 3)}
    assert "auto_pad" in refusal(one("Conv", "w", auto_pad="SAME_UPPER"), tmp_path, **weight)
    assert "differs between the sides" in refusal(one("Conv", "w", pads=[0, 0, 1, 1]), tmp_path, **weight)
    assert "output's shape" in refusal(one("ConvTranspose", "w", output_shape=[9, 9]), tmp_path, **weight)
    assert "Flatten from axis 2" in refusal(one("Flatten", axis=2), tmp_path)
    for setting in ({"transA": 1}, {"alpha": 2.0}, {"beta": 0.5}):
        assert "Gemm" in refusal(one("Gemm", "w", **setting), tmp_path, w=(4, 4))
    assert "value_float" in refusal((helper.make_node("Constant", [], ["c"], value_float=1.0),), tmp_path)
    assert "lacks 'kernel_shape'" in refusal(one("MaxPool"), tmp_path)
    for setting in ({"pads": [1, 1, 1, 1]}, {"ceil_mode": 1}):
        assert "AveragePool" in refusal(one("AveragePool", kernel_shape=[2, 2], **setting), tmp_path)
    constant = helper.make_node("Constant", [], ["pads"], value=PADS)
    assert "zeros" in refusal((constant, *one("Pad", "pads", mode="reflect")), tmp_path)
    assert "zeros" in refusal((constant, *one("Pad", "pads", "fill")), tmp_path, fill=())
    assert "zeros" in refusal(one("Pad", pads=[1] * 8), tmp_path)


def test_graphs_that_do_not_hang_together_are_refused(tmp_path: Path):
    assert "takes 'nobody'" in refusal(one("Add", "nobody"), tmp_path)
    assert "elsewhere than a constant" in refusal(two("Conv", "x", "relu"), tmp_path)
    assert "nothing computes the output 'y'" in refusal((helper.make_node("Relu", ["x"], ["z"]),), tmp_path)
    constants_alone = helper.make_node("Add", ["c", "c"], ["y"])
    assert "constants alone" in refusal((constants_alone,), tmp_path, c=(1,))


def test_two_inputs_are_refused(tmp_path: Path):
    model = build(one("Add", "x2"), {}, Case(()))
    model.graph.input.append(helper.make_tensor_value_info("x2", TensorProto.FLOAT, (1,)))
    with pytest.raises(OnnxError, match=r"takes 2 inputs \(x, x2\)"):
        load_onnx(saved(model, tmp_path))


def test_every_cut_short_file_is_refused(tmp_path: Path):
    case = CASES["Conv"]
    model = build(case.nodes, random_constants(case), case)
    content = model.SerializeToString()
    model.ClearField("opset_import")  # all that stands behind the graph
    path = tmp_path / "model.onnx"
    for length in range(model.ByteSize()):
        path.write_bytes(content[:length])
        with pytest.raises(OnnxError):
            load_onnx(path)


def test_other_files_are_refused(tmp_path: Path, weights: Callable[[str], Path]):
    path = tmp_path / "model.onnx"
    for content in (b"", b"no model, but a letter\n" * 9, bytes(range(256)) * 40, b"\x89PNG\r\n\x1a\n" + bytes(99)):
        path.write_bytes(content)
        with pytest.raises(OnnxError, match="is not an ONNX file"):
            load_onnx(path)
    with pytest.raises(OnnxError, match="is not an ONNX file"):
        load_onnx(weights("dlib"))


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        load_onnx(tmp_path / "none.onnx")
    with pytest.raises(IsADirectoryError):
        load_onnx(tmp_path)
