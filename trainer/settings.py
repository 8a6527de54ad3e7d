"""All that decides a training run: one record, which is saved with the run and checked before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from trainer.augment import Augmentation
from trainer.networks import Kind
from trainer.recipes import Settings, choose_recipe

Optimizer = Literal["adamw", "sgd"]
Precision = Literal["auto", "bf16", "fp32"]


class SettingsError(ValueError):
    """Settings that do not go together, or not with the network or the number of processes."""


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a run. Where it computes, and how many help, is in ``Machine``: that does not change the result.

    Attributes:
        recipe: of ``trainer.recipes``; None trains on the teacher alone.
        loss: settings of the recipes' losses that differ from their defaults, by "recipe.setting"; "setting" alone is
            the last recipe's.
        then, switch_after: the recipe that follows after so many epochs, for a warm-up by a classifier.
        teacher: a weight file whose embeddings of the clean crop are to be matched; None for none.
        teacher_weight: of the distance to the teacher's embedding, beside the recipe's loss.
        relation_weight: of the difference between the network's and the teacher's similarities in a batch.
        hint_weight: of the teacher's maps, where a slim network learns from SFace; 0 for its embeddings alone.
            With a weight the teacher sees each crop as it was changed, not the clean one.
        fit_head: begin with a last layer fitted to the teacher's embeddings, where the network's is linear.
        kind: of the network.
        dimension, width, depths: of the network, where it is not one that exists; 0 and () for its defaults.
        init: a weight file to begin with; None for random weights.
        people, crops: in a batch of all processes: P people, K crops of each. The teacher alone takes P · K crops.
        part: at most so many crops go through the network at once (gradient caching); 0 for all.
        epochs: in each, every person comes once (with the teacher alone: every crop).
        least_crops: people with fewer are not trained on by a recipe.
        held_out: share of the people; None for that of the crops' folder.
        optimizer, rate, weight_decay, momentum: momentum is SGD's.
        warm_up: share of the steps in which the rate rises; then it falls as a cosine.
        clip: largest length of the gradient; 0 for any.
        freeze: so many layers from the input on keep their weights.
        freeze_norm: batch norm keeps its statistics.
        body_rate: the rate of all layers but the last ones (``head``), as a share of ``rate``.
        layer_decay: and for each layer further from the head, multiplied by this.
        classifier_rate: that of the recipe's own weights, likewise a multiple of ``rate``.
        average: decay of the running mean of the weights, which is what is measured and kept; 0 for none.
        suspect_weight: of crops that are probably filed under a wrong name: 1 as any other, 0 left out.
        seed: of everything that is drawn.
        log_every, checkpoint_every: steps; of an epoch at least ten are logged, if it has as many.
        evaluate_every: epochs.
        keep_triplets: the hardest of each epoch that are kept to be looked at.
        augmentation: what is done to the crops.
        licence: of the weights that come out; "" for that of the weights it began with.
    """

    recipe: str | None = "batch-hard"
    loss: Mapping[str, Any] = field(default_factory=dict)
    then: str | None = None
    switch_after: int = 0
    teacher: str | None = None
    teacher_weight: float = 1.0
    relation_weight: float = 10.0
    hint_weight: float = 0.0
    fit_head: bool = True
    kind: Kind = "small"
    dimension: int = 0
    width: int = 0
    depths: tuple[int, ...] = ()
    init: str | None = None
    people: int = 32
    crops: int = 4
    part: int = 0
    epochs: int = 10
    least_crops: int = 2
    held_out: float | None = None
    optimizer: Optimizer = "adamw"
    rate: float = 1e-3
    weight_decay: float = 0.05
    momentum: float = 0.9
    warm_up: float = 0.05
    clip: float = 5.0
    freeze: int = 0
    freeze_norm: bool = False
    body_rate: float = 1.0
    layer_decay: float = 1.0
    classifier_rate: float = 1.0
    average: float = 0.995
    suspect_weight: float = 1.0
    precision: Precision = "auto"
    seed: int = 0
    log_every: int = 10
    checkpoint_every: int = 200
    evaluate_every: int = 1
    keep_triplets: int = 60
    augmentation: Augmentation = field(default_factory=Augmentation)
    licence: str = ""

    def __post_init__(self) -> None:
        if self.recipe is None and self.teacher is None:
            raise SettingsError("there is nothing to learn from: choose a recipe, a teacher, or both")
        if self.hint_weight and (self.teacher is None or self.kind != "slim" or self.part):
            raise SettingsError("a teacher's maps are for --network slim with a --teacher, and not with --part")
        if self.then is not None and (self.recipe is None or not 0 < self.switch_after < self.epochs):
            raise SettingsError(
                f"the second recipe follows a first one, after 1 to {self.epochs - 1} epochs, not {self.switch_after}"
            )
        whole = (self.people, self.crops, self.epochs, self.least_crops, self.log_every, self.checkpoint_every)
        if min(whole) < 1 or self.evaluate_every < 1:
            raise SettingsError(f"people, crops, epochs, least_crops and the intervals must be at least 1: {self}")
        if self.people < 2 or min(self.part, self.freeze, self.keep_triplets, self.clip) < 0:
            raise SettingsError("a batch needs 2 people; part, freeze, keep_triplets and clip must not be below 0")
        if not self.rate > 0 or min(self.body_rate, self.layer_decay, self.classifier_rate) < 0:
            raise SettingsError(f"the rate must be above 0, its multiples not below: {self.rate}")
        shares = (self.warm_up, self.average, self.suspect_weight, self.held_out or 0, self.momentum)
        if not all(0 <= share <= 1 for share in shares) or self.average == 1 or self.held_out == 1:
            raise SettingsError(f"warm_up, average, suspect_weight, held_out and momentum are shares: {shares}")
        if self.loss and self.recipe is None:
            raise SettingsError(f"{', '.join(self.loss)} is a setting of a recipe's loss, and there is no recipe")
        for name in (self.recipe, self.then):
            if name is not None:
                self.loss_settings(name)
                if self.crops < 2 and not choose_recipe(name).classifies:
                    raise SettingsError(f"{name} compares crops of the same person: take --crops-each 2 or more")

    def recipe_in(self, epoch: int) -> str | None:
        """Give the recipe's name that is in force in an epoch, counted from 0."""
        return self.then if self.then is not None and epoch >= self.switch_after else self.recipe

    def loss_settings(self, name: str) -> Settings:
        """Give the settings of a recipe's loss, with what ``loss`` changes of them.

        Raises:
            SettingsError, ValueError: if there is no such recipe or no such setting.
        """
        settings = choose_recipe(name).settings
        changes = self._loss_changes(name)
        known = _names_of(settings)
        if unknown := changes.keys() - known:
            text = f"{name} has no setting {min(unknown)!r}; it has {', '.join(sorted(known))}"
            if name == self.then and self.recipe and unknown & _names_of(choose_recipe(self.recipe).settings):
                text += f". For the first recipe say {self.recipe}.{min(unknown)}"
            raise SettingsError(text)
        try:
            return replace(settings, **changes)
        except TypeError as error:  # of a comparison with a text
            given = ", ".join(f"{setting}={value}" for setting, value in changes.items())
            raise SettingsError(f"a setting of {name} must be a number: {given} ({error})") from error

    def _loss_changes(self, name: str) -> dict[str, Any]:
        """Choose of ``loss`` what concerns a recipe of the run: NAME.SETTING, and for the last one SETTING alone."""
        changes: dict[str, Any] = {}
        for key, value in self.loss.items():
            recipe, _, setting = key.rpartition(".")
            if recipe not in ("", self.recipe, self.then):
                has = " and ".join(filter(None, (self.recipe, self.then)))
                raise SettingsError(f"{key} is a setting of {recipe}, but the run has {has}")
            if (recipe or self.then or self.recipe) != name:
                continue
            if setting in changes:
                raise SettingsError(f"{setting} of {name} is given twice, as {setting} and as {name}.{setting}")
            changes[setting] = value
        return changes

    def as_dict(self) -> dict[str, Any]:
        """Give the settings as JSON takes them."""
        return {**asdict(self), "loss": dict(self.loss)}

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> TrainSettings:
        """Read what ``as_dict`` gave.

        Raises:
            SettingsError: if a setting is missing, unknown or wrong.
        """
        try:
            values = dict(content) | {
                "augmentation": Augmentation(**content["augmentation"]),
                "depths": tuple(content["depths"]),
            }
            return TrainSettings(**values)
        except (TypeError, KeyError) as error:
            raise SettingsError(f"these are no settings of this version of visavis: {error}") from error


def _names_of(settings: Settings) -> set[str]:
    return {entry.name for entry in fields(settings)}


@dataclass(frozen=True)
class Machine:
    """Where and with what a run computes. The same run may go on with another one.

    Attributes:
        device: "auto", "cpu", "cuda" or "cuda:N". Under torchrun each process takes its own CUDA device.
        readers: threads that read and augment crops.
        threads: of a step on the CPU; 0 for torch's own choice.
    """

    device: str = "auto"
    readers: int = 2
    threads: int = 0
