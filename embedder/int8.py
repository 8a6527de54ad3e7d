"""Run a network's convolutions on bytes, where the processor multiplies them twice as fast as bfloat16.

What stands between two layers becomes 256 steps of a range that was measured once: step = (greatest − least) / 255
(Jacob et al. 2018, arXiv 1712.05877, eq. 1). Weights have a step for each output channel; sums are exact, in int32.
The kernels are oneDNN's, through the operators that torch's own compiler calls.
"""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

Ranges = Mapping[str, tuple[float, float]]
"""For values of a graph, by the name of their node: the least and the greatest that they reach on photos."""

_REST = torch.bfloat16  # what is not in bytes
_LAST_STEP = 255
_TYPICAL_MAP = (64, 64)  # height and width in which weights are laid out to be fast


def int8_is_fast() -> bool:
    """Whether the processor multiplies bytes in vectors (VNNI), and this torch has the operators for it."""
    operators = hasattr(torch.ops.onednn, "qconv_pointwise") and hasattr(torch.ops.onednn, "qconv_prepack")
    return operators and bool(torch.cpu._is_vnni_supported() and torch.cpu._is_avx512_bf16_supported())


def quantize(network: fx.GraphModule, ranges: Ranges, *, read_back: bool = False) -> fx.GraphModule:
    """Make a copy of a network that convolves bytes wherever the range of the input is known, bfloat16 elsewhere.

    Args:
        network: float32, its batch norms folded into the convolutions. Its input are pixels.
        ranges: of values that go into convolutions. What goes only into convolutions stays in bytes all the way.
        read_back: let stand in bytes what goes into other layers, too, which then take it from there: faster, but
            what is added up over many layers is rounded in each.
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
    plan = _Plan(result, steps, {node: node for node in named.values() if node.op == "placeholder"}, read_back)
    for node in list(result.graph.nodes):
        layer = _layer(result, node)
        if isinstance(layer, nn.Conv2d) and node.args[0] in steps:
            _convolve_bytes(plan, node, layer)
        elif plan.pools_bytes(node) and node.args[0] in plan.in_bytes:
            node.target = max_pool_bytes
            plan.in_bytes[node] = node
            plan.read_back_for_others(node)
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


def limited_ranges(network: fx.GraphModule) -> Ranges:
    """Give the ranges that a network's own limited ReLUs say, of their results and of what is pooled from these."""
    ranges: dict[str, tuple[float, float]] = {}
    for node in network.graph.nodes:
        layer = _layer(network, node)
        if isinstance(layer, nn.Hardtanh) and layer.min_val == 0:
            ranges[node.name] = 0.0, layer.max_val
        elif node.target is functional.max_pool2d and node.args[0].name in ranges:
            ranges[node.name] = ranges[node.args[0].name]
    return ranges


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
    """Put an int8 convolution in the place of ``node``, and of the sum and the ReLU that follow it."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    added_to = plan.added_to(node)
    replaced = [] if added_to is None else [next(iter(node.users))]
    rectifier = plan.rectifier_of(replaced[-1] if replaced else node)
    replaced += [] if rectifier is None else [rectifier]
    end = replaced[-1] if replaced else node
    steps, output = plan.steps, plan.steps.get(end) if plan.stands_in_bytes(end) else None
    arguments = [plan.bytes_of(source, node)]
    if added_to is not None:
        arguments.append(plan.bytes_of(added_to, node))
    steps_of_sum = None if added_to is None else steps[added_to]
    after = plan.after(rectifier, output)
    convolution = _Int8Convolution(layer, steps[source], output, after=after, added_to=steps_of_sum)
    plan.network.set_submodule(str(node.target), convolution)
    node.args = tuple(arguments)
    end.replace_all_uses_with(node)
    for gone in reversed(replaced):
        plan.network.graph.erase_node(gone)
    if end in steps:
        steps[node] = steps[end]
    if output is not None:
        plan.in_bytes[node] = node
        plan.read_back_for_others(node)


@dataclass(frozen=True)
class _Plan:
    """A network that is being changed: the steps of its values as far as known, and those that stand in bytes.

    ``read_back`` says whether values stand in bytes though something wants them in numbers.
    """

    network: fx.GraphModule
    steps: dict[fx.Node, _Steps]
    in_bytes: dict[fx.Node, fx.Node]
    read_back: bool

    def bytes_of(self, value: fx.Node, before: fx.Node) -> fx.Node:
        """Give a value in bytes; it is converted before the node ``before``, if it was not yet."""
        if value not in self.in_bytes:
            name = f"bytes_of_{value.name}"
            self.network.add_submodule(name, _ToBytes(self.steps[value]))
            with self.network.graph.inserting_before(before):
                self.in_bytes[value] = self.network.graph.call_module(name, (value,))
        return self.in_bytes[value]

    def rectifier_of(self, value: fx.Node) -> fx.Node | None:
        """Give the ReLU, limited or not, that alone takes a value; None if there is none."""
        user = next(iter(value.users)) if len(value.users) == 1 else None
        layer = None if user is None else _layer(self.network, user)
        limited = isinstance(layer, nn.Hardtanh) and layer.min_val == 0
        return user if limited or isinstance(layer, nn.ReLU) else None

    def after(self, rectifier: fx.Node | None, output: _Steps | None) -> tuple[str, list[float]]:
        """Name what a convolution does with its sums, as oneDNN does. Bytes end where their range does anyway."""
        layer = None if rectifier is None else _layer(self.network, rectifier)
        if isinstance(layer, nn.Hardtanh) and output is None:
            return "hardtanh", [layer.min_val, layer.max_val]
        return ("none" if layer is None else "relu"), []

    def added_to(self, node: fx.Node) -> fx.Node | None:
        """Give the value to which a convolution's result is added in place; None if it is not just added to one.

        In place, so whatever else takes that value must have done so before; and in bytes, so its steps and those of
        what comes of the sum must be known, and nothing may ask for that in numbers.
        """
        total = next(iter(node.users)) if len(node.users) == 1 else None
        if total is None or total.target is not operator.add:
            return None
        result = self.rectifier_of(total) or total
        others = [value for value in total.args if value is not node]
        if result not in self.steps or len(others) != 1 or others[0] not in self.steps:
            return None
        if not self.stands_in_bytes(result):
            return None
        assert isinstance(others[0], fx.Node)
        return others[0] if all(user is total or user < node for user in others[0].users) else None

    def stands_in_bytes(self, value: fx.Node) -> bool:
        """Whether a value that could stand in bytes does: all that takes it takes bytes, or can read it back."""
        takers = [self._takes_bytes(user, value) for user in value.users]
        return all(takers) or (self.read_back and any(takers))

    def pools_bytes(self, node: fx.Node) -> bool:
        """Whether a node is a pool of greatest values that may give bytes."""
        return node.target is functional.max_pool2d and node in self.steps and self.stands_in_bytes(node)

    def read_back_for_others(self, value: fx.Node) -> None:
        """Put a conversion between a value in bytes and what wants numbers."""
        others = [user for user in value.users if not self._takes_bytes(user, value)]
        if others:
            name = f"numbers_of_{value.name}"
            self.network.add_submodule(name, _FromBytes(self.steps[value]))
            with self.network.graph.inserting_after(value):
                numbers = self.network.graph.call_module(name, (value,))
            for user in others:
                user.replace_input_with(value, numbers)

    def _takes_bytes(self, user: fx.Node, value: fx.Node) -> bool:
        if isinstance(_layer(self.network, user), nn.Conv2d | _Int8Convolution):
            return True
        return self.pools_bytes(user) or self._is_sum_of_bytes(user, value)

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


class _FromBytes(nn.Module):
    """uint8 to bfloat16."""

    def __init__(self, steps: _Steps) -> None:
        super().__init__()
        self._steps = steps

    def forward(self, x: Tensor) -> Tensor:
        return x.to(_REST).sub_(self._steps.zero).mul_(self._steps.size)


def max_pool_bytes(x: Tensor, kernel: int, stride: int, **settings: Any) -> Tensor:
    """Pool bytes (N, C, H, W), without padding, as ``functional.max_pool2d`` pools numbers; it has no way for bytes."""
    assert not settings.get("padding") and settings.get("dilation", 1) == 1 and not settings.get("ceil_mode")
    for axis in (2, 3):
        count = (x.shape[axis] - kernel) // stride + 1
        parts = [x.narrow(axis, first, (count - 1) * stride + 1) for first in range(kernel)]
        every = [part[:, :, ::stride] if axis == 2 else part[..., ::stride] for part in parts]
        x = functools.reduce(torch.maximum, every)
    return x


class _Int8Convolution(nn.Module):
    """A convolution of uint8 by int8, and what comes ``after``; gives uint8 in the steps given for it, else bfloat16.

    With ``added_to``, its result is added in place to a second argument, uint8 in those steps.
    """

    def __init__(
        self,
        layer: nn.Conv2d,
        steps: _Steps,
        output: _Steps | None,
        *,
        after: tuple[str, list[float]],
        added_to: _Steps | None = None,
    ) -> None:
        super().__init__()
        weight = layer.weight.detach().float()
        self._sizes = weight.abs().amax((1, 2, 3)).clamp_min(1e-12) / 127
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)
        self._bias = None if layer.bias is None else layer.bias.detach().float()
        self._place: tuple[Any, ...] = (layer.stride, layer.padding, layer.dilation, layer.groups)
        self._steps, self._output, (self._after, self._limits) = steps, output or _Steps(1.0, 0), after
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
                output.size, output.zero, self._dtype, self._after, self._limits, "",
            )  # fmt: skip
            return result
        result = torch.ops.onednn.qconv2d_pointwise.binary(
            x, steps.size, steps.zero, self._weight, self._sizes, self._zeros, total, self._bias, *self._place,
            output.size, output.zero, self._dtype, added_to.size, added_to.zero, "sum", 1.0,
            self._after, self._limits, "",
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
