"""Who is trained on and who is held out, and in which order the crops come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.crops import CropsError, CropsFolder
from trainer.loader import Sampler
from trainer.sampler import CropSampler, PeopleSampler
from trainer.settings import SettingsError, TrainSettings

# All pairs of them are compared after each epoch: 200 million.
MOST_MEASURED = 20_000


@dataclass(frozen=True)
class Material:
    """The crops of a folder by their use.

    Attributes:
        folder: where they lie.
        labels: int64 (N,), for each crop of the folder the number of its person among those trained on, -1 for others.
        people: of each such number the place in ``folder.people``.
        trained: int64 (T,), rows of the crops that are trained on, rising.
        held_out: int64 (H,), rows of the crops that are measured.
        not_measured: how many crops are held out beyond them.
        sampler: deals the crops.
    """

    folder: CropsFolder
    labels: NDArray[np.int64]
    people: NDArray[np.int64]
    trained: NDArray[np.int64]
    held_out: NDArray[np.int64]
    not_measured: int
    sampler: Sampler

    @property
    def held_out_people(self) -> int:
        """How many people are held out."""
        return len(np.unique(self.folder.labels[self.held_out]))

    @property
    def can_be_measured(self) -> bool:
        """Whether there are two people held out, and one of them has two crops."""
        counts = np.unique(self.folder.labels[self.held_out], return_counts=True)[1]
        return len(counts) >= 2 and int(counts.max()) >= 2

    @property
    def remarks(self) -> list[str]:
        """Say for people what is out of the ordinary about who is measured."""
        said = []
        if not self.can_be_measured:
            said.append(
                "Nobody can be measured, as there are no two people held out of whom one has two crops: "
                "the last epoch is kept."
            )
        if self.not_measured:
            said.append(f"Measured are some people; {self.not_measured:,} further crops are held out beside them.")
        return said

    def name(self, label: int) -> str:
        """Give the name of a person who is trained on."""
        return self.folder.people[int(self.people[label])]


def some_people(rows: NDArray[np.int64], labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Take all crops of some people, always the same ones, so that there are not too many pairs to compare.

    Args:
        rows: int64 (H,), crops, rising.
        labels: int64 (N,), the person of each crop of the folder.
        most: how many crops there may be; two people are taken at least.
    Returns:
        int64, those of ``rows`` that are taken, rising.
    """
    if len(rows) <= most:
        return rows
    _, numbers, counts = np.unique(labels[rows], return_inverse=True, return_counts=True)
    order = np.random.default_rng(0).permutation(len(counts))
    fitting = int(np.searchsorted(np.cumsum(counts[order]), most, side="right"))
    return rows[np.isin(numbers, order[: max(2, fitting)])]


def fitting_people(folder: CropsFolder, settings: TrainSettings, processes: int = 1) -> int:
    """Tell how many people a batch can have: those of ``settings``, or as many as there are to train on.

    Args:
        folder: the crops.
        settings: of the run; a batch has its ``people`` at most.
        processes: that share a batch; the number can be divided among them.
    Returns:
        2 at least, though there may be fewer: ``choose_material`` says what to do then.
    """
    out = folder.held_out(settings.held_out)
    if settings.recipe is None:
        there = int((~out).sum()) // settings.crops
    else:
        there = len(np.unique(folder.labels[_trained_by_name(folder, settings, out)]))
    return max(2, min(settings.people, there) // processes * processes)


def choose_material(folder: CropsFolder, settings: TrainSettings, processes: int = 1) -> Material:
    """Divide the crops of a folder, and order them.

    Raises:
        CropsError: if there is too little to train on; says what there is and what to do.
        SettingsError: if a batch cannot be divided among the processes.
    """
    out = folder.held_out(settings.held_out)
    named = folder.labels >= 0
    all_held_out = np.flatnonzero(out & named)
    held_out = some_people(all_held_out, folder.labels, MOST_MEASURED)
    unmeasured = len(all_held_out) - len(held_out)
    if settings.recipe is None:
        return _without_names(folder, settings, processes, all_held_out, held_out)
    chosen = _trained_by_name(folder, settings, out)
    people, numbers = np.unique(folder.labels[chosen], return_inverse=True)
    _check_people(folder, settings, out, len(people))
    labels = np.full(len(folder), -1, np.int64)
    labels[chosen] = numbers
    if settings.people % processes:
        raise SettingsError(f"{settings.people} people of a batch cannot be divided among {processes} processes evenly")
    sampler = PeopleSampler(labels, people=settings.people, crops=settings.crops, seed=settings.seed)
    return Material(folder, labels, people, np.flatnonzero(chosen), held_out, unmeasured, sampler)


def _crops_of_each(folder: CropsFolder) -> NDArray[np.int64]:
    """Count the crops of each person: int64, by their place in ``folder.people``."""
    return np.bincount(folder.labels[folder.labels >= 0], minlength=len(folder.people))


def _trained_by_name(folder: CropsFolder, settings: TrainSettings, out: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which crops a recipe learns from: bool (N,). ``out`` are those of people who are held out."""
    enough = np.append(_crops_of_each(folder) >= settings.least_crops, False)  # the last one is nobody
    return np.asarray(enough[folder.labels] & ~out)


def _check_people(folder: CropsFolder, settings: TrainSettings, out: NDArray[np.bool_], there: int) -> None:
    if there >= settings.people:
        return
    counts = _crops_of_each(folder)
    training = np.ones(len(folder.people), np.bool_)
    training[folder.labels[out & (folder.labels >= 0)]] = False
    few = int((counts[training] < settings.least_crops).sum())
    held = len(folder.people) - int(training.sum())
    facts = f"{folder.root} has {len(folder.people)} people: {held} are held out"
    if few:
        facts += f", {few} have fewer than {settings.least_crops} crops"
    if few > there:
        raise CropsError(
            f"{facts}, which leaves {there}, and a batch wants {settings.people}. Most people here have one picture, "
            "and a recipe learns from two of the same person: add photos of them, take --least-crops 1 (a crop is then "
            "compared with a changed copy of itself), or learn from a --teacher, which needs no names"
        )
    fewer = f"take fewer with --people {there}, " if there >= 2 else ""
    raise CropsError(
        f"{facts}, which leaves {there}, and a batch wants {settings.people}: {fewer}hold out fewer with --held-out, "
        "or add people"
    )


def _without_names(
    folder: CropsFolder,
    settings: TrainSettings,
    processes: int,
    all_held_out: NDArray[np.int64],
    held_out: NDArray[np.int64],
) -> Material:
    rest = np.ones(len(folder), np.bool_)
    rest[all_held_out] = False
    trained = np.flatnonzero(rest)
    size = settings.people * settings.crops
    if size % processes:
        raise SettingsError(f"{size} crops of a batch cannot be divided among {processes} processes evenly")
    if len(trained) < size:
        raise CropsError(
            f"{folder.root} has {len(folder)} crops, {len(all_held_out)} of people who are held out. That leaves "
            f"{len(trained)}, and a batch wants {size}: take fewer with --people, hold out fewer with --held-out, "
            "or add photos"
        )
    labels = np.full(len(folder), -1, np.int64)
    sampler = CropSampler(trained, size=size, seed=settings.seed)
    unmeasured = len(all_held_out) - len(held_out)
    return Material(folder, labels, np.empty(0, np.int64), trained, held_out, unmeasured, sampler)
