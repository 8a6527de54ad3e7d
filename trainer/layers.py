"""A network's layers in order, which of them are trained, and at which rate."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.settings import SettingsError, TrainSettings


@dataclass(frozen=True)
class Group:
    """Parameters that are trained alike.

    Attributes:
        parameters: of them.
        rate: a multiple of the run's.
        decays: whether weight decay applies: not to biases and scales.
    """

    parameters: list[nn.Parameter]
    rate: float
    decays: bool


def layers_of(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """List the layers from the input on: the network's parts, a chain of parts taken apart."""
    layers: list[tuple[str, nn.Module]] = []
    for name, part in network.named_children():
        if isinstance(part, nn.Sequential):
            layers += [(f"{name}.{number}", child) for number, child in part.named_children()]
        else:
            layers.append((name, part))
    return [(name, layer) for name, layer in layers if any(True for _ in layer.parameters())]


def freeze(network: nn.Module, settings: TrainSettings) -> None:
    """Keep the weights of the first layers as they are.

    Raises:
        SettingsError: if no layer would be left to train.
    """
    layers = layers_of(network)
    if settings.freeze >= len(layers):
        raise SettingsError(f"freezing {settings.freeze} layers leaves nothing to train: there are {len(layers)}")
    for _, layer in layers[: settings.freeze]:
        layer.requires_grad_(False)


def train_mode(network: nn.Module, settings: TrainSettings) -> None:
    """Put a network into training mode, but for what is frozen: there batch norm keeps its statistics."""
    network.train()
    for _, layer in layers_of(network)[: settings.freeze]:
        layer.eval()
    if settings.freeze_norm:
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def parameter_groups(network: nn.Module, objectives: list[nn.Parameter], settings: TrainSettings) -> list[Group]:
    """Divide what is trained by rate: the head, the layers before it, the recipe's own weights.

    Always the same groups in the same order for the same network and settings.
    """
    layers = layers_of(network)
    head = next(place for place, (name, _) in enumerate(layers) if name.startswith("head"))
    groups = []
    for place, (_, layer) in enumerate(layers):
        rate = 1.0 if place >= head else settings.body_rate * settings.layer_decay ** (head - place)
        trained = [parameter for parameter in layer.parameters() if parameter.requires_grad]
        for decays in (True, False):
            some = [parameter for parameter in trained if (parameter.ndim > 1) == decays]
            if some:
                groups.append(Group(some, rate, decays))
    if objectives:
        groups.append(Group(objectives, settings.classifier_rate, True))
    return groups
