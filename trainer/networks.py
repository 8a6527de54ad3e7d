"""Which networks there are to train, and how one is made from its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from torch import fx, nn

from trainer.dlib_network import SMALLEST_CROP, DlibResNet, PaddedSum, Resized
from trainer.fast_layers import PReLU, StridedDepthwise
from trainer.iresnet import IResNet
from trainer.sface_network import SFaceNetwork
from trainer.slim_network import SlimNetwork
from trainer.small_network import SmallNetwork
from trainer.templates import ARCFACE_TEMPLATE, Template

Kind = Literal["small", "slim", "iresnet", "sface", "dlib"]


@dataclass(frozen=True)
class NetworkSettings:
    """All that is needed to build a network, and to cut its crops. Crops are RGB; the network scales pixels itself.

    Attributes:
        kind: which architecture.
        input_size: side of the square crop, pixels.
        dimension: of an embedding.
        width: channels of a small network's first layer.
        depths: residual blocks of each stage, of a small network or an IResNet.
        template: (x, y) in pixels of the crop where eyes, nose and corners of the mouth shall lie.
        limits: of a dlib network's maps, see ``trainer.dlib_network``; none by default.
    """

    kind: Kind
    input_size: int = 112
    dimension: int = 128
    width: int = 32
    depths: tuple[int, ...] = ()
    template: Template = ARCFACE_TEMPLATE
    limits: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"there is no network {self.kind!r}; there are {', '.join(get_args(Kind))}")
        if self.input_size < 32 or self.dimension < 1 or self.width < 1 or any(depth < 1 for depth in self.depths):
            raise ValueError(f"input_size must be at least 32, dimension, width and depths at least 1: {self}")
        if self.kind in _SIZES:
            least, most = _SIZES[self.kind]
            if not least <= self.input_size <= most or self.dimension != _DIMENSION:
                sizes = f"{most}" if least == most else f"{least} to {most}"
                raise ValueError(
                    f"{self.kind} takes crops of {sizes} pixels and gives {_DIMENSION} numbers, "
                    f"not {self.input_size} and {self.dimension}"
                )
        if len(self.template) != 5 or any(len(point) != 2 for point in self.template):
            raise ValueError("a template has five points (x, y)")


# Of networks that exist with their weights: least and largest input size, pixels, and the dimension. dlib's own
# weights want 150; with smaller crops they are a beginning.
_SIZES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"sface": (112, 112), "slim": (112, 112), "dlib": (SMALLEST_CROP, 150)}
)
_DIMENSION = 128

_BUILDERS: Mapping[Kind, Callable[[NetworkSettings], nn.Module]] = MappingProxyType(
    {
        "small": lambda s: SmallNetwork(s.input_size, s.dimension, width=s.width, depths=s.depths or (1, 2, 2)),
        "slim": lambda s: SlimNetwork(),
        "iresnet": lambda s: IResNet(s.input_size, s.dimension, depths=s.depths or (3, 4, 14, 3)),
        "sface": lambda s: SFaceNetwork(),
        "dlib": lambda s: DlibResNet(s.limits),
    }
)


def build_network(settings: NetworkSettings) -> nn.Module:
    """Make a network with random weights: float RGB 0-255 (N, 3, size, size) to embeddings (N, dimension).

    The embeddings are not of unit length.
    """
    return _BUILDERS[settings.kind](settings)


class _Tracer(fx.Tracer):
    """Leaves whole what takes another way in training than in use, or for maps of another size."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        whole = isinstance(m, PReLU | StridedDepthwise | Resized | PaddedSum)
        return whole or super().is_leaf_module(m, module_qualified_name)


def trace(network: nn.Module) -> fx.GraphModule:
    """Write a network down as a graph of its layers, for batch norm to be folded."""
    return fx.GraphModule(network, _Tracer().trace(network))
