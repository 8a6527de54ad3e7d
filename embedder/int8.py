"""Run a network's convolutions on bytes, where the processor multiplies them twice as fast as bfloat16.

What stands between two layers becomes 256 steps of a range that was measured once: step = (greatest − least) / 255
(Jacob et al. 2018, arXiv 1712.05877, eq. 1). Weights have a step for each output channel; sums are exact, in int32.
The kernels are oneDNN's, through the operators that torch's own compiler calls.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

Ranges = Mapping[str, tuple[float, float]]
"""For values of a graph, by the name of their node: the least and the greatest that they reach on photos."""

_REST = torch.bfloat16  # what is not in bytes
_LAST_STEP = 255
_TYPICAL_MAP = (64, 64)  # height and width in which weights are laid out to be fast


def int8_is_fast() -> bool:
    """Whether the processor multiplies bytes in vectors (VNNI), and this torch has the operators for it."""
    operators = hasattr(torch.ops.onednn, "qconv_pointwise") and hasattr(torch.ops.onednn, "qconv_prepack")
    return operators and bool(torch.cpu._is_vnni_supported() and torch.cpu._is_avx512_bf16_supported())


def quantize(network: fx.GraphModule, ranges: Ranges) -> fx.GraphModule:
    """Make a copy of a network that convolves bytes wherever the range of the input is known, bfloat16 elsewhere.

    Args:
        network: float32, its batch norms folded into the convolutions. Its input are pixels.
        ranges: of values that go into convolutions. What goes only into convolutions stays in bytes all the way.
    Returns:
        A network for inference, from uint8 (N, C, H, W), channels last, to what ``network`` gives, in bfloat16.
    Raises:
        ValueError: if ``ranges`` names a value that the network does not have: they are another network's.
    """
    result = copy.deepcopy(network)
    named = {node.name: node for node in result.graph.nodes}
    unknown = sorted(set(ranges) - set(named))
    if unknown:
        raise ValueError(f"ranges of {', '.join(unknown)}, which this network does not have")
    steps = {named[name]: _steps(*limits) for name, limits in ranges.items()}
    steps |= {node: _Steps(1.0, 0) for node in named.values() if node.op == "placeholder"}  # pixels
    plan = _Plan(result, steps, {node: node for node in named.values() if node.op == "placeholder"})
    for node in list(result.graph.nodes):
        layer = _layer(result, node)
        if isinstance(layer, nn.Conv2d) and node.args[0] in steps:
            _convolve_bytes(plan, node, layer)
        elif layer is not None:
            layer.to(_REST)
    result.graph.lint()
    result.recompile()
    return result


def measure_ranges(network: fx.GraphModule, photos: Sequence[Tensor], values: Sequence[str], share: float) -> Ranges:
    """Measure what values a network's nodes take.

    Args:
        network: as for ``quantize``.
        photos: float (N, 3, H, W), pixels.
        values: names of nodes.
        share: of a value's numbers in one batch that its range holds, counted from below; the few above it are cut off.
    """
    watch = _Watch(network, frozenset(values), share)
    with torch.inference_mode():
        for batch in photos:
            watch.run(batch)
    return watch.ranges


def convolved_values(network: fx.GraphModule, until: str) -> list[str]:
    """Name the values that go into the convolutions up to the one named ``until``, but for the input."""
    names = [node.name for node in network.graph.nodes]
    before = [node for node in network.graph.nodes if names.index(node.name) <= names.index(until)]
    sources = (node.args[0] for node in before if isinstance(_layer(network, node), nn.Conv2d))
    return list(dict.fromkeys(s.name for s in sources if isinstance(s, fx.Node) and s.op != "placeholder"))


@dataclass(frozen=True)
class _Steps:
    """A byte b stands for (b − zero) · size."""

    size: float
    zero: int


def _steps(least: float, greatest: float) -> _Steps:
    least, greatest = min(least, 0.0), max(greatest, 0.0)  # zero, which pads an image, must be a step
    size = max(greatest - least, 1e-12) / _LAST_STEP
    return _Steps(size, round(-least / size))


def _layer(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def _convolve_bytes(plan: _Plan, node: fx.Node, layer: nn.Conv2d) -> None:
    """Put an int8 convolution in the place of ``node``, and of the ReLU or the sum that follows it."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    follower = next(iter(node.users)) if len(node.users) == 1 else None
    rectify = follower is not None and isinstance(_layer(plan.network, follower), nn.ReLU)
    added_to = plan.added_to(node)
    end = follower if follower is not None and (rectify or added_to is not None) else node
    steps, output = plan.steps, plan.steps.get(end) if plan.only_bytes_go_out(end) else None
    arguments = [plan.bytes_of(source, node)]
    if added_to is not None:
        arguments.append(plan.bytes_of(added_to, node))
    convolution = _Int8Convolution(
        layer, steps[source], output, rectify=rectify, added_to=None if added_to is None else steps[added_to]
    )
    plan.network.set_submodule(str(node.target), convolution)
    node.args = tuple(arguments)
    if end is not node:
        end.replace_all_uses_with(node)
        plan.network.graph.erase_node(end)
        if end in steps:
            steps[node] = steps[end]
    if output is not None:
        plan.in_bytes[node] = node


@dataclass(frozen=True)
class _Plan:
    """A network that is being changed: the steps of its values as far as known, and those that stand in bytes."""

    network: fx.GraphModule
    steps: dict[fx.Node, _Steps]
    in_bytes: dict[fx.Node, fx.Node]

    def bytes_of(self, value: fx.Node, before: fx.Node) -> fx.Node:
        """Give a value in bytes; it is converted before the node ``before``, if it was not yet."""
        if value not in self.in_bytes:
            name = f"bytes_of_{value.name}"
            self.network.add_submodule(name, _ToBytes(self.steps[value]))
            with self.network.graph.inserting_before(before):
                self.in_bytes[value] = self.network.graph.call_module(name, (value,))
        return self.in_bytes[value]

    def added_to(self, node: fx.Node) -> fx.Node | None:
        """Give the value to which a convolution's result is added in place; None if it is not just added to one.

        In place, so whatever else takes that value must have done so before; and in bytes, so its steps and those of
        the sum must be known, and nothing may ask for the sum in numbers.
        """
        total = next(iter(node.users)) if len(node.users) == 1 else None
        if total is None or total.target is not operator.add or total not in self.steps:
            return None
        others = [value for value in total.args if value is not node]
        if len(others) != 1 or others[0] not in self.steps or not self.only_bytes_go_out(total):
            return None
        assert isinstance(others[0], fx.Node)
        return others[0] if all(user is total or user < node for user in others[0].users) else None

    def only_bytes_go_out(self, value: fx.Node) -> bool:
        """Whether all that takes a value takes it in bytes."""
        return all(
            isinstance(_layer(self.network, user), nn.Conv2d | _Int8Convolution) or self._is_sum_of_bytes(user, value)
            for user in value.users
        )

    def _is_sum_of_bytes(self, total: fx.Node, value: fx.Node) -> bool:
        """Whether ``total`` is ``value`` with a convolution's result added to it in bytes."""
        others = [other for other in total.args if other is not value] if total.target is operator.add else []
        return len(others) == 1 and isinstance(others[0], fx.Node) and self.added_to(others[0]) is value


class _ToBytes(nn.Module):
    """bfloat16 to uint8: each number its nearest step, those beyond the range the last one."""

    def __init__(self, steps: _Steps) -> None:
        super().__init__()
        self._per_unit = 1 / steps.size
        self._zero = steps.zero + 0.5  # the conversion cuts off what is behind the point

    def forward(self, x: Tensor) -> Tensor:
        return x.mul(self._per_unit).add_(self._zero).clamp_(0, _LAST_STEP).to(torch.uint8)


class _Int8Convolution(nn.Module):
    """A convolution of uint8 by int8, and the ReLU after it; gives uint8 in the steps given for it, else bfloat16.

    With ``added_to``, its result is added in place to a second argument, uint8 in those steps.
    """

    def __init__(
        self,
        layer: nn.Conv2d,
        steps: _Steps,
        output: _Steps | None,
        *,
        rectify: bool = False,
        added_to: _Steps | None = None,
    ) -> None:
        super().__init__()
        weight = layer.weight.detach().float()
        self._sizes = weight.abs().amax((1, 2, 3)).clamp_min(1e-12) / 127
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)
        self._bias = None if layer.bias is None else layer.bias.detach().float()
        self._place: tuple[Any, ...] = (layer.stride, layer.padding, layer.dilation, layer.groups)
        self._steps, self._output, self._after = steps, output or _Steps(1.0, 0), "relu" if rectify else "none"
        self._dtype, self._added_to = _REST if output is None else torch.uint8, added_to
        in_bytes = torch.round(weight / self._sizes.view(-1, 1, 1, 1)).to(torch.int8)
        # Any shape will do, but without one the weights are laid out anew in every call.
        shape = [1, weight.shape[1] * layer.groups, *_TYPICAL_MAP]
        self._weight = torch.ops.onednn.qconv_prepack(
            in_bytes, self._sizes, steps.size, steps.zero, *self._place, shape
        )

    def forward(self, x: Tensor, total: Tensor | None = None) -> Tensor:
        steps, output, added_to = self._steps, self._output, self._added_to
        if added_to is None:
            result: Tensor = torch.ops.onednn.qconv_pointwise(
                x, steps.size, steps.zero, self._weight, self._sizes, self._zeros, self._bias, *self._place,
                output.size, output.zero, self._dtype, self._after, [], "",
            )  # fmt: skip
            return result
        result = torch.ops.onednn.qconv2d_pointwise.binary(
            x, steps.size, steps.zero, self._weight, self._sizes, self._zeros, total, self._bias, *self._place,
            output.size, output.zero, self._dtype, added_to.size, added_to.zero, "sum", 1.0, "none", [], "",
        )  # fmt: skip
        return result


class _Watch(fx.Interpreter):
    """Runs a network and remembers what some of its values reached."""

    def __init__(self, network: fx.GraphModule, values: frozenset[str], share: float) -> None:
        super().__init__(network)
        self._values, self._share = values, share
        self.ranges: dict[str, tuple[float, float]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self._values:
            numbers = result.flatten()
            beyond = max(1, int(len(numbers) * (1 - self._share)))
            greatest, least = float(numbers.topk(beyond).values[-1]), float(numbers.min())
            before = self.ranges.get(n.name, (0.0, 0.0))
            self.ranges[n.name] = min(before[0], least), max(before[1], greatest)
        return result
