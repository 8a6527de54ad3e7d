"""The network in training: one step on one batch, and all of its state."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from trainer.checkpoint import optimizer_tensors, restore, restore_optimizer
from trainer.distributed import gather_batch
from trainer.gradient_cache import backward_in_parts
from trainer.layers import freeze, parameter_groups, train_mode
from trainer.losses.outcome import Outcome
from trainer.material import Material
from trainer.processes import Processes
from trainer.recipes import Objective, build_objective, parameters_of
from trainer.schedule import follow, rate_at
from trainer.settings import TrainSettings
from trainer.slim_network import SlimNetwork
from trainer.start import Start
from trainer.teacher import distillation
from trainer.teacher_head import correct_head, fit_head
from trainer.tutor import Shown, Tutor, hint_distance, watched

_Loss = Callable[[Tensor], Outcome]


@dataclass(frozen=True)
class Lesson:
    """What a step learns from, beside the crops; of the batch of all processes.

    Attributes:
        recipe: in force; None for the teacher alone.
        labels: int64 (N,), the people, numbered from 0.
        doubted: bool (N,), crops that are probably filed under a wrong name.
        wanted: float (N, D), the teacher's embeddings; None without a teacher.
    """

    recipe: str | None
    labels: Tensor
    doubted: Tensor
    wanted: Tensor | None


@dataclass(frozen=True)
class Step:
    """What became of a step.

    Attributes:
        outcome: of the recipe's loss; of the teacher's where there is no recipe.
        embeddings: float (N, D), of the batch of all processes, without a gradient.
        distillation: the distance to the teacher, NaN without one.
        gradient_norm: before it was clipped.
        rate: of learning, of the head.
        finite: whether all was numbers; else nothing was changed.
    """

    outcome: Outcome
    embeddings: Tensor
    distillation: float
    gradient_norm: float
    rate: float
    finite: bool


class Learner:
    """A network with its optimizer, its recipes' own weights, and its running mean."""

    def __init__(
        self,
        start: Start,
        settings: TrainSettings,
        classes: int,
        processes: Processes,
        *,
        bfloat16: bool,
        tutor: Tutor | None = None,
    ) -> None:
        """Prepare for the first step.

        Args:
            start: the network.
            settings: of the run.
            classes: how many people are trained on.
            processes: that share the batches.
            bfloat16: whether a step computes in it.
            tutor: of the network, who sees each batch.
        Raises:
            SettingsError: if no layer would be trained.
        """
        device = processes.device
        self.settings, self._device, self._bfloat16 = settings, device, bfloat16
        self.network: nn.Module = start.network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        freeze(self.network, settings)
        torch.manual_seed(settings.seed)
        self._objectives: dict[str, Objective] = {}
        for name in dict.fromkeys((settings.recipe, settings.then)):
            if name is not None:
                loss, dimension = settings.loss_settings(name), start.settings.dimension
                objective = build_objective(loss, classes=classes, dimension=dimension)
                self._objectives[name] = objective.to(device) if isinstance(objective, nn.Module) else objective
        own = [parameter for objective in self._objectives.values() for parameter in parameters_of(objective)]
        self._optimizer, self._multiples = _optimizer(self.network, own, settings)
        self._tutor = tutor
        self.average: nn.Module | None = copy.deepcopy(self.network).requires_grad_(False) if settings.average else None
        self._shared: nn.Module = self.network
        if processes.count > 1:
            self._shared = DistributedDataParallel(self.network)

    @property
    def result(self) -> nn.Module:
        """The network that is measured and kept: the running mean of the weights, where there is one."""
        return self.network if self.average is None else self.average

    def is_sound(self) -> bool:
        """Whether all weights are numbers."""
        values = self.network.state_dict().values()
        return all(bool(torch.isfinite(value).all()) for value in values if value.dtype.is_floating_point)

    def begin_at_teacher(self, batches: Iterable[tuple[Tensor, Tensor]], processes: Processes) -> bool:
        """Fit the head to the teacher, before the first step; see ``fit_head``, also for what is given back."""
        if not fit_head(self.network, batches, bfloat16=self._bfloat16):
            return False
        processes.share(self.network.get_submodule("head").parameters())  # machines may differ in the last bit
        if self.average is not None:
            self.average.load_state_dict(self.network.state_dict())
        return True

    def begin_slim(self, material: Material, processes: Processes) -> None:
        """Give a slim network its first weights, by those of its tutor."""
        assert self._tutor is not None
        self._tutor.slim_down(material)
        correct_head(self.network, self._tutor.clean_lessons(material), bfloat16=self._bfloat16)
        processes.share(self.network.state_dict().values())
        if self.average is not None:
            self.average.load_state_dict(self.network.state_dict())

    def end_slim(self, material: Material) -> None:
        """Fit the head of what comes out once more to the tutor's embeddings of the clean crops."""
        assert self._tutor is not None
        correct_head(self.result, self._tutor.clean_lessons(material), bfloat16=self._bfloat16)

    def step(self, crops: Tensor, lesson: Lesson, number: int, steps: int) -> Step:
        """Learn from a batch.

        Args:
            crops: uint8 (n, 3, size, size), channels_last, of this process.
            lesson: what is to be learned.
            number, steps: which step of the run this is, from 0, and how many there are.
        """
        train_mode(self.network, self.settings)
        torch.manual_seed(self.settings.seed * 1_000_003 + number)  # dropout: the same in all processes
        rate = self._set_rate(number, steps)
        self._optimizer.zero_grad(set_to_none=True)
        statistics = [(buffer, buffer.clone()) for buffer in self.network.buffers()]
        kept: list[tuple[Tensor, Tensor]] = []

        def loss(embeddings: Tensor) -> Outcome:
            rows, _ = gather_batch(embeddings, lesson.labels.new_zeros(len(embeddings)))
            outcome, distance = self._loss(rows, lesson)
            kept.append((rows.detach(), distance.detach()))
            return outcome

        crops = crops.to(self._device, non_blocking=True)
        shown = None if self._tutor is None else self._tutor.look(crops)
        if shown is not None:
            wanted, _ = gather_batch(shown.embeddings, lesson.labels.new_zeros(len(crops)))
            lesson = replace(lesson, wanted=wanted)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            outcome = self._backward(crops, loss, shown)
        norm = self._clip()
        finite = bool(torch.isfinite(norm) & torch.isfinite(outcome.loss))
        if finite:
            self._optimizer.step()
            if self.average is not None:
                follow(self.average, self.network, decay=self.settings.average, step=number)
        else:  # batch norm has seen it already
            for buffer, before in statistics:
                buffer.copy_(before)
        embeddings, distance = kept[-1]
        return Step(outcome, embeddings, float(distance), float(norm), rate, finite)

    def _backward(self, crops: Tensor, loss: _Loss, shown: Shown | None) -> Outcome:
        part = self.settings.part
        if shown is not None:
            return self._backward_with_maps(crops, loss, shown)
        if 0 < part < len(crops):
            return backward_in_parts(self._shared, crops, loss, part=part, augment=lambda some: some.float())
        outcome = loss(self._shared(crops.float()))
        with torch.autocast(self._device.type, enabled=False):
            outcome.loss.backward()  # type: ignore[no-untyped-call]
        return replace(outcome, loss=outcome.loss.detach())

    def _backward_with_maps(self, crops: Tensor, loss: _Loss, shown: Shown) -> Outcome:
        """Also match the teacher's maps, which stay with the process that has the crops."""
        assert isinstance(self.network, SlimNetwork)
        with watched(self.network) as maps:
            outcome = loss(self._shared(crops.float()))
        apart = self.settings.hint_weight * hint_distance(maps, shown.maps)
        with torch.autocast(self._device.type, enabled=False):
            (outcome.loss + apart).backward()  # type: ignore[no-untyped-call]
        return replace(outcome, loss=(outcome.loss + apart).detach())

    def _loss(self, rows: Tensor, lesson: Lesson) -> tuple[Outcome, Tensor]:
        """Give the loss of a batch (what is reported is the recipe's), and the distance to the teacher."""
        nothing = rows.new_full((), torch.nan, dtype=torch.float32)
        if lesson.wanted is None:
            return self._recipe_loss(rows, lesson), nothing
        distance = distillation(rows, lesson.wanted, self.settings.relation_weight)
        if lesson.recipe is None:
            with torch.no_grad():
                similarities = functional.cosine_similarity(rows.float(), lesson.wanted)
            return Outcome(distance, torch.ones_like(nothing), similarities, similarities[:0]), distance
        outcome = self._recipe_loss(rows, lesson)
        return replace(outcome, loss=outcome.loss + self.settings.teacher_weight * distance), distance

    def _recipe_loss(self, rows: Tensor, lesson: Lesson) -> Outcome:
        assert lesson.recipe is not None
        objective, weight = self._objectives[lesson.recipe], self.settings.suspect_weight
        if weight == 1 or not bool(lesson.doubted.any()):
            return objective(rows, lesson.labels)
        trusted = objective(rows[~lesson.doubted], lesson.labels[~lesson.doubted])
        if weight == 0:
            return trusted
        outcome = objective(rows, lesson.labels)
        return replace(outcome, loss=weight * outcome.loss + (1 - weight) * trusted.loss)

    def _set_rate(self, number: int, steps: int) -> float:
        rate = self.settings.rate * rate_at(number, steps, self.settings.warm_up)
        for group, multiple in zip(self._optimizer.param_groups, self._multiples, strict=True):
            group["lr"] = rate * multiple
        return rate

    def _clip(self) -> Tensor:
        parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        return nn.utils.clip_grad_norm_(parameters, self.settings.clip or torch.inf)

    def tensors(self) -> dict[str, Tensor]:
        """Give all state by "part/name", for a checkpoint."""
        parts: dict[str, Mapping[str, Tensor]] = {
            "network": self.network.state_dict(),
            "optimizer": optimizer_tensors(self._optimizer),
        }
        if self.average is not None:
            parts["average"] = self.average.state_dict()
        for name, objective in self._objectives.items():
            if isinstance(objective, nn.Module):
                parts[f"recipe {name}"] = objective.state_dict()
        return {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}

    def restore(self, part: Callable[[str], Mapping[str, Tensor]]) -> None:
        """Put back what ``tensors`` gave; ``part`` gives one part of it. CheckpointError if it does not fit."""
        restore(self.network, part("network"))
        if self.average is not None:
            restore(self.average, part("average"))
        for name, objective in self._objectives.items():
            if isinstance(objective, nn.Module):
                restore(objective, part(f"recipe {name}"))
        restore_optimizer(self._optimizer, part("optimizer"))


def _optimizer(
    network: nn.Module, objectives: list[nn.Parameter], settings: TrainSettings
) -> tuple[torch.optim.Optimizer, list[float]]:
    """Make the optimizer, and give for each of its groups the multiple of the run's rate."""
    groups = parameter_groups(network, objectives, settings)
    decays = [{"params": g.parameters, "weight_decay": settings.weight_decay if g.decays else 0.0} for g in groups]
    multiples = [group.rate for group in groups]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(decays, lr=settings.rate), multiples
    nesterov = settings.momentum > 0
    return torch.optim.SGD(decays, lr=settings.rate, momentum=settings.momentum, nesterov=nesterov), multiples
