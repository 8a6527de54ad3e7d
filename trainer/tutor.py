"""A teacher that looks at each crop as the student sees it, and shows its maps as well as its embedding.

An embedding is 128 numbers for a crop, and some thousand people are too few to learn from them what a
face may look like. The maps on the way there are tens of thousands, each a matter of a small part of
the picture, and what is learned of them holds for other people too (Romero et al. 2015, "FitNets",
arXiv 1412.6550). A slim network's channels were made from SFace's, so that they need no adapter. The
same changed crop for both makes any change of a crop an example (Beyer et al. 2022, arXiv 2106.05237).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.crops import inner
from trainer.loader import clean_batches
from trainer.material import Material
from trainer.settings import TrainSettings
from trainer.sface_network import SFaceNetwork
from trainer.slim_network import SlimNetwork
from trainer.slimming import folded_layers, slim_down, teacher_layer
from trainer.start import StartError, read_network

# Layers of the slim network whose maps are compared: the last of each size, some between, and the last of all.
HINTS = (1, 5, 9, 13, 17, 20)
_CPU_BATCH = 16  # crops that the teacher looks at together: its maps stay in the cache
# Crops from which a slim network's first weights are told, and those that its head is fitted to.
_FITTED, _LESSONS = 384, 4_000


@dataclass(frozen=True)
class Shown:
    """What the teacher shows of a batch.

    Attributes:
        embeddings: float32 (N, D), unit rows.
        maps: one for each of ``HINTS``, (N, C, H, W), the channels that the student has.
    """

    embeddings: Tensor
    maps: list[Tensor]


class Tutor:
    """SFace's network beside the slim one that learns from it."""

    def __init__(self, teacher: SFaceNetwork, student: SlimNetwork, device: torch.device, *, bfloat16: bool) -> None:
        dtype = torch.bfloat16 if bfloat16 else torch.float32
        self._teacher, self._student, self._dtype = teacher, student, dtype
        placed = copy.deepcopy(teacher).eval().to(device)
        self._layers = folded_layers(placed)
        for layer in self._layers:
            layer.convolution.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._end = nn.Sequential(placed.last_norm, nn.Flatten(), placed.head, placed.head_norm).to(dtype)

    def slim_down(self, material: Material) -> None:
        """Give the student its first weights, from some of the crops."""
        slim = copy.deepcopy(self._student).to("cpu")
        slim_down(self._teacher, slim, (crops.float().cpu() for crops in self._clean(material, _FITTED)))
        self._student.load_state_dict(slim.state_dict())

    def clean_lessons(self, material: Material) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield crops as they are, float (n, 3, 112, 112), and the teacher's embeddings of them; of many only some."""
        for crops in self._clean(material, _LESSONS):
            yield crops.float(), self.look(crops).embeddings

    def _clean(self, material: Material, most: int) -> Iterator[Tensor]:
        rows, folder = material.trained[:: -(-len(material.trained) // most)], material.folder
        device = next(self._student.parameters()).device
        for crops in clean_batches(folder, rows, _CPU_BATCH, lambda crop: inner(crop, folder.settings)):
            yield crops.to(device)

    @torch.no_grad()
    def look(self, crops: Tensor) -> Shown:
        """Look at crops, uint8 (N, 3, 112, 112), on the teacher's device."""
        with torch.autocast(crops.device.type, enabled=False):
            at_once = _CPU_BATCH if crops.device.type == "cpu" else len(crops)
            parts = [self._look(crops[start : start + at_once]) for start in range(0, len(crops), at_once)]
        maps = [torch.cat(one) for one in zip(*(part.maps for part in parts), strict=True)]
        return Shown(torch.cat([part.embeddings for part in parts]), maps)

    def _look(self, crops: Tensor) -> Shown:
        x = (crops.to(self._dtype) - 127.5) / 128
        wanted = {teacher_layer(number): self._student.origin(number) for number in HINTS}
        maps = []
        for number, layer in enumerate(self._layers):
            x = layer(x)
            if number in wanted:
                maps.append(x.index_select(1, wanted[number]))
        return Shown(functional.normalize(self._end(x).float()), maps)


@contextmanager
def watched(network: SlimNetwork) -> Iterator[list[Tensor]]:
    """Within it, each pass through the network adds its maps of ``HINTS`` to the list."""
    maps: list[Tensor] = []
    layers = [network.layers[number] for number in HINTS]
    hooks = [layer.register_forward_hook(lambda _, inputs, output: maps.append(output)) for layer in layers]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def hint_distance(maps: list[Tensor], shown: list[Tensor]) -> Tensor:
    """Mean over the maps of the squared error, as a share of the variance of what is shown: 1 knows nothing."""
    shares = []
    for ours, theirs in zip(maps, shown, strict=True):
        # In the maps' own precision, summed up in float32: a map is large.
        error = (ours - theirs.to(ours.dtype)).square().mean(dtype=torch.float32)
        shares.append(error / theirs.float().var().clamp_min(1e-6))
    return torch.stack(shares).mean()


def call_tutor(settings: TrainSettings, student: nn.Module, device: torch.device, *, bfloat16: bool) -> Tutor | None:
    """Call the teacher in, if it is to show its maps.

    Raises:
        trainer.start.StartError: if the teacher or the student is another network. For others see ``read_network``.
    """
    if settings.hint_weight == 0:
        return None
    assert settings.teacher is not None
    teacher = read_network(Path(settings.teacher)).network
    if not isinstance(teacher, SFaceNetwork) or not isinstance(student, SlimNetwork):
        raise StartError(
            f"hints go from SFace's network to a slim one, not from {type(teacher).__name__} to "
            f"{type(student).__name__}: take --hint-weight 0, or --network slim and --teacher sface"
        )
    return Tutor(teacher, student, device, bfloat16=bfloat16)
