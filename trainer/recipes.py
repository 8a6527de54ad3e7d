"""The recipes by name: which loss a network is trained with, its settings, and what it needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor, nn

from trainer.losses.arcface import ArcFace
from trainer.losses.batch_hard import BatchHard
from trainer.losses.center import Center
from trainer.losses.cosface import CosFace
from trainer.losses.deepface import DeepFace
from trainer.losses.dlib_metric import DlibMetric
from trainer.losses.facenet import FaceNet
from trainer.losses.outcome import Outcome

# A batch's loss: embeddings float (N, D) of any length, labels int64 (N,). One with weights of its own
# is also an nn.Module, whose parameters are trained with the network's; it wants labels below ``classes``.
Objective = Callable[[Tensor, Tensor], Outcome]
Settings = BatchHard | FaceNet | DlibMetric | Center | DeepFace | ArcFace | CosFace


@dataclass(frozen=True)
class Recipe:
    """One way of training.

    Attributes:
        name: as on the command line.
        description: how its examples are chosen, one line.
        settings: the loss with its default settings.
    """

    name: str
    description: str
    settings: Settings

    @property
    def classifies(self) -> bool:
        """Whether it has weights for each person of the training set, which are thrown away afterwards."""
        return not isinstance(self.settings, BatchHard | FaceNet | DlibMetric)


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe("batch-hard", "each face with its least similar partner and its most similar stranger", BatchHard()),
            Recipe("facenet", "all pairs of a person's faces, each with a semi-hard stranger", FaceNet()),
            Recipe(
                "dlib", "all pairs of a person's faces, and as many of the nearest pairs of strangers", DlibMetric()
            ),
            Recipe("center", "each face with its person's name and its person's centre", Center()),
            Recipe("deepface", "each face with its person's name", DeepFace()),
            Recipe("arcface", "each face with its person's name, its angle to it widened", ArcFace()),
            Recipe("cosface", "each face with its person's name, its cosine to it lowered", CosFace()),
        )
    }
)


def choose_recipe(name: str) -> Recipe:
    """Look a recipe up.

    Raises:
        ValueError: if there is none of that name; says which there are.
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]


def build_objective(settings: Settings, *, classes: int, dimension: int) -> Objective:
    """Make the loss that ``settings`` describe.

    Args:
        settings: of a recipe, or changed ones.
        classes: how many people there are to train on, numbered from 0; only classifying losses use it.
        dimension: of the embeddings; likewise.
    """
    if isinstance(settings, BatchHard | FaceNet | DlibMetric):
        return settings
    return settings.objective(classes, dimension)


def parameters_of(objective: Objective) -> list[nn.Parameter]:
    """Give what the optimizer has to train beside the network; empty for losses without weights."""
    return list(objective.parameters()) if isinstance(objective, nn.Module) else []


def loss_at_collapse(settings: Settings) -> float | None:
    """Give the loss when all embeddings are nearly the same: where a run hangs that has collapsed.

    None for a classifier, which is driven out of it.
    """
    if isinstance(settings, BatchHard):
        return settings.margin if settings.margin is not None else math.log(2) / settings.sharpness
    if isinstance(settings, DlibMetric):  # as many pairs of strangers, all at distance 0, as same-person pairs
        return (settings.distance_threshold + settings.margin) / 2
    return settings.margin if isinstance(settings, FaceNet) else None


def first_length(settings: Settings) -> float | None:
    """Give how long embeddings should be when a network with random weights begins, for a loss of fixed distances.

    So long that two unrelated ones, at a right angle, are about as far apart as the loss wants strangers to be: dlib's
    threshold times the square root of 2. None for a loss to which any length is alike.
    """
    return settings.distance_threshold if isinstance(settings, DlibMetric) else None
