"""Faces under a wrong name, found while a network trains: bookkeeping on embeddings that were computed anyway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

# What is left of how a person looked, each time that they are seen again: with 4 crops each the last dozen counts.
_REMEMBERED = 0.7
_PEOPLE_AT_ONCE = 1 << 14  # that a batch is compared with


@dataclass(frozen=True)
class Suspect:
    """A crop that looks like somebody else than its label says.

    Attributes:
        crop: its number.
        label: whose it is said to be.
        looks_like: whom it was most often nearer to.
        seen: in how many batches it could be judged.
        times: in how many of them it was nearer to that person than to its own; not more than it was, and fewer if
            it resembled others before.
    """

    crop: int
    label: int
    looks_like: int
    seen: int
    times: int


class LabelSuspicions:
    """Counts, over many batches, how often a crop is nearer to somebody else than to its own person.

    A person is the sum of the embeddings seen of them, the last ones most, so that a crop is compared with
    everybody and not with those few who stand in its batch. Once is nothing: hard crops are what training is
    for. A crop that is on the wrong side again and again, and always towards the same person, was probably
    filed under a wrong name, or the two names are one person.

    Five numbers a crop, 20 MB for a million of them, and an embedding a person. Of the people whom a crop
    resembled, one is kept: the one that a majority vote has ahead (Boyer & Moore 1981), so whoever it was in
    more than half the cases.
    """

    def __init__(self) -> None:
        self._counts = np.zeros((5, 0), np.int32)
        self._people = torch.zeros(0, 0)

    def record(self, crops: Tensor, labels: Tensor, unit: Tensor) -> None:
        """Count one batch, and remember how its people look.

        Args:
            crops: int64 (N,), which crops stand in the batch; a repeated one counts once.
            labels: int64 (N,), the person of each, from 0 on.
            unit: float (N, D), their embeddings, rows of unit length, on the same device.
        """
        if not len(labels):
            return
        self._meet(int(labels.max()) + 1, unit)
        own, other, looks_like = self._compare(unit, labels)
        judged = torch.isfinite(own) & torch.isfinite(other)
        looks = torch.stack([crops.to(labels.device), labels, looks_like, (other > own).long()])
        self._count(looks[:, judged].cpu().numpy())
        here, place = torch.unique(labels, return_inverse=True)
        shown = torch.zeros(len(here), len(labels), dtype=unit.dtype, device=unit.device)
        shown[place, torch.arange(len(labels), device=unit.device)] = 1
        self._people[here] = _REMEMBERED * self._people[here] + shown @ unit

    def _compare(self, unit: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give each face's similarity with its own person, with the most similar other one, and who that is.

        Similarities are float (N,), -inf where nobody was seen before; who is int64 (N,).
        """
        own, other = (torch.full_like(unit[:, 0], -torch.inf) for _ in range(2))
        looks_like = torch.full_like(labels, -1)
        for start in range(0, len(self._people), _PEOPLE_AT_ONCE):
            people = self._people[start : start + _PEOPLE_AT_ONCE]
            similarities = unit @ functional.normalize(people).T
            similarities[:, (people == 0).all(dim=1)] = -torch.inf
            inside = torch.nonzero((labels >= start) & (labels < start + len(people))).squeeze(1)
            own[inside] = similarities[inside, labels[inside] - start]
            similarities[inside, labels[inside] - start] = -torch.inf
            best, column = similarities.max(dim=1)
            looks_like = torch.where(best > other, column + start, looks_like)
            other = torch.maximum(best, other)
        return own, other, looks_like

    def _count(self, looks: NDArray[np.int64]) -> None:
        """Count crops that could be judged, int64 (4, J): crop, label, whom it looks like, 1 if more than its own."""
        found, first = np.unique(looks[0], return_index=True)
        _, labels, looks_like, is_wrong = looks[:, first]
        self._make_room(int(found[-1]) + 1 if len(found) else 0)
        label, seen, person, times, ahead = self._counts
        label[found] = labels
        seen[found] += 1
        crop, towards = found[is_wrong == 1], looks_like[is_wrong == 1]
        again = person[crop] == towards
        times[crop[again]] += 1
        ahead[crop] += np.where(again, 1, -1)
        beaten = ahead[crop] < 0  # as all are at first: nobody has been seen, and -1 is nobody
        person[crop[beaten]], times[crop[beaten]], ahead[crop[beaten]] = towards[beaten], 1, 1

    def suspects(self, *, least: int = 2, share: float = 0.75) -> list[Suspect]:
        """List the crops to look at, the clearest first.

        Of lfw-dev's 6,671 photos of people with two and more, 67 under a random other name, ten epochs list 65 with
        SFace's embeddings, 63 of them rightly (`benchmarks.label_errors`).

        Args:
            least: times that a crop must have been nearer to one and the same other person.
            share: of the batches in which it was seen.
        """
        label, seen, person, times, _ = self._counts
        crops = np.flatnonzero((times >= least) & (times >= share * seen))
        columns = np.stack([crops, label[crops], person[crops], seen[crops], times[crops]], axis=1)
        found = [Suspect(*row) for row in columns.tolist()]
        return sorted(found, key=lambda s: (-s.times / s.seen, -s.times, s.crop))

    def tensors(self) -> dict[str, Tensor]:
        """Give all that is known: counts int32 (5, C), people float (P, D)."""
        return {"counts": torch.from_numpy(self._counts.copy()), "people": self._people.cpu().clone()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``tensors`` gave."""
        self._counts, self._people = tensors["counts"].numpy().copy(), tensors["people"].clone()

    def forget(self) -> None:
        """Suspect anew: what an untrained network confused says nothing. How people look is kept."""
        self._counts = np.zeros((5, 0), np.int32)

    def _meet(self, people: int, unit: Tensor) -> None:
        known = self._people.to(unit)
        if len(known) < people:
            new = unit.new_zeros(people - len(known), unit.shape[1])
            known = torch.cat([known, new]) if len(known) else new
        self._people = known

    def _make_room(self, crops: int) -> None:
        there = self._counts.shape[1]
        if crops > there:
            more = np.zeros((5, max(crops, 2 * there) - there), np.int32)
            more[[0, 2]] = -1  # nobody
            self._counts = np.concatenate([self._counts, more], axis=1)
