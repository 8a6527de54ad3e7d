"""How good a network is on people that it was not trained on: verification and open-set identification."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from trainer.crops import CropsFolder, inner
from trainer.loader import clean_batches
from trainer.metrics import accuracy_by_fold, all_pairs_verification, open_set_identification

_FARS = (1e-3, 1e-4)
_IDENTIFICATION_FARS = (0.01,)
_ENOUGH_IMPOSTORS = 10_000  # with fewer pairs of strangers a FAR of 1e-4 is no pair at all
_PAIRS = 3_000  # of each kind, of which the accuracy is taken
_FOLDS = 10
_OF_ONE_PERSON = 12  # crops, of which pairs are made
_KNOWN, _GALLERY = 4, 2  # whoever has so many crops is known, by so many of them
_CPU_BATCH, _CUDA_BATCH = 16, 256


@dataclass(frozen=True)
class HeldOut:
    """Figures on people who were held out.

    Attributes:
        people, crops: how many.
        auc: area under the ROC curve of all pairs.
        accuracy: on as many pairs of one person as of two, the threshold from nine tenths of them.
        tar, thresholds: over all pairs, at FAR 1e-3 and 1e-4.
        rank1, dir: of open-set identification: at any similarity, and at FAR 1 %; None if there are no two people
            with two crops.
    """

    people: int
    crops: int
    auc: float
    accuracy: float
    tar: tuple[float, ...]
    thresholds: tuple[float, ...]
    rank1: float | None
    dir: float | None

    @property
    def score(self) -> float:
        """What the best epoch is chosen by: the mean TAR, or among few people the area under the curve."""
        return float(np.mean(self.tar)) if self.is_enough else self.auc

    @property
    def is_enough(self) -> bool:
        """Whether there are so many pairs that a TAR can be told."""
        return self.crops * (self.crops - 1) // 2 >= _ENOUGH_IMPOSTORS

    def as_dict(self) -> dict[str, Any]:
        """Give the figures as the log has them."""
        return {
            "people": self.people,
            "crops": self.crops,
            "auc": round(self.auc, 6),
            "accuracy": round(self.accuracy, 5),
            "tar": {f"{far:g}": round(value, 5) for far, value in zip(_FARS, self.tar, strict=True)},
            "threshold": {f"{far:g}": round(value, 5) for far, value in zip(_FARS, self.thresholds, strict=True)},
            "rank1": None if self.rank1 is None else round(self.rank1, 5),
            "dir": None if self.dir is None else {f"{_IDENTIFICATION_FARS[0]:g}": round(self.dir, 5)},
        }

    def in_words(self, epoch: int, *, best: bool) -> str:
        """Tell people of the figures after an epoch, counted from 1; 0 is before training."""
        figures = f"accuracy {self.accuracy:.4f}, "
        if self.is_enough:
            figures += f"TAR at FAR 1e-3 {self.tar[0]:.4f}, at 1e-4 {self.tar[1]:.4f}"
        else:
            figures += f"area under the curve of all pairs {self.auc:.5f}"
        if self.dir is not None:
            figures += f", DIR at FAR 1 % {self.dir:.4f}"
        when = f"After epoch {epoch}" if epoch else "Before training"
        return f"{when}: {figures} on {self.people:,} people held out{', the best so far' if best and epoch else ''}."

    def as_metrics(self) -> dict[str, float]:
        """Give the figures as a weight file has them."""
        named = {f"tar at far {far:g}": value for far, value in zip(_FARS, self.tar, strict=True)}
        named |= {"accuracy": self.accuracy, "auc": self.auc, "people": float(self.people), "crops": float(self.crops)}
        if self.dir is not None and self.rank1 is not None:
            named |= {"dir at far 0.01": self.dir, "rank 1": self.rank1}
        return {name: round(value, 6) for name, value in named.items()}


def prepared(network: nn.Module, device: torch.device, *, bfloat16: bool) -> nn.Module:
    """Copy a network to embed with, in eval mode."""
    ready = copy.deepcopy(network).eval().to(device, torch.bfloat16 if bfloat16 else torch.float32)
    return ready.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


@torch.inference_mode()
def embed_crops(
    network: nn.Module,
    folder: CropsFolder,
    rows: NDArray[np.int64],
    device: torch.device,
    *,
    bfloat16: bool = False,
    cut: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
) -> NDArray[np.float32]:
    """Embed crops as the embedder does: a face and its mirror image are averaged.

    Args:
        network: of the crops' size.
        folder, rows: which crops.
        device: to compute on.
        bfloat16: whether to compute in it.
        cut: makes what the network sees of a stored crop; None takes the margin off.
    Returns:
        float32 (M, D), unit rows, in the order of ``rows``.
    Raises:
        trainer.crops.CropsError: if a crop cannot be read.
    """
    ready = prepared(network, device, bfloat16=bfloat16)
    dtype = next(ready.parameters()).dtype
    size = _CUDA_BATCH if device.type == "cuda" else _CPU_BATCH
    found = []
    for crops in clean_batches(folder, rows, size, cut or (lambda crop: inner(crop, folder.settings))):
        straight = crops.to(device, dtype)
        views = [functional.normalize(ready(view).float()) for view in (straight, straight.flip(3))]
        found.append(functional.normalize(views[0] + views[1]).cpu())
    return torch.cat(found).numpy() if found else np.empty((0, 0), np.float32)


def held_out_figures(embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> HeldOut | None:
    """Measure people who were held out; None if there are no two of them, or nobody has two crops.

    Args:
        embeddings: float (N, D), unit rows.
        labels: int64 (N,), the person of each.
    """
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.max() < 2:
        return None
    pairs = all_pairs_verification(embeddings, labels, _FARS)
    rank1, named = _identification(embeddings, labels)
    return HeldOut(
        people=len(counts),
        crops=len(labels),
        auc=pairs.auc,
        accuracy=_accuracy(embeddings, labels),
        tar=tuple(float(value) for value in pairs.tar_at_far.tar),
        thresholds=tuple(float(value) for value in pairs.tar_at_far.thresholds),
        rank1=rank1,
        dir=named,
    )


def draw_pairs(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw, by a fixed seed, at most 3,000 pairs of one person and as many of two.

    Args:
        labels: int64 (N,), the person of each crop; at least two people, and one of them with two crops.
    Returns:
        (int64 (P, 2) places, bool (P,) whether a pair is one person).
    """
    random = np.random.default_rng(0)
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order[0]] - 1))
    # Of people with very many crops only the first ones are paired.
    groups = [group[:_OF_ONE_PERSON].tolist() for group in np.split(order, starts[1:])]
    same = np.array([pair for group in groups for pair in combinations(group, 2)], np.int64)
    same = same[random.permutation(len(same))[:_PAIRS]]
    different = random.integers(len(labels), size=(20 * len(same) + 100, 2))
    different = different[labels[different[:, 0]] != labels[different[:, 1]]][: len(same)]
    return np.concatenate([same, different]), np.arange(len(same) + len(different)) < len(same)


def accuracy_on_pairs(scores: NDArray[np.floating], same: NDArray[np.bool_]) -> float:
    """Accuracy on pairs as ``draw_pairs`` gives them, the threshold of each tenth from the others; NaN for one pair."""
    count = int(same.sum())
    place = np.where(same, np.cumsum(same), np.cumsum(~same)) - 1
    folds = place % min(_FOLDS, max(2, count))
    return accuracy_by_fold(scores, same, folds).mean if len(np.unique(folds)) > 1 else float("nan")


def _accuracy(embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    pairs, same = draw_pairs(labels)
    return accuracy_on_pairs((embeddings[pairs[:, 0]] * embeddings[pairs[:, 1]]).sum(axis=1), same)


def _identification(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, float] | tuple[None, None]:
    """Open-set identification: who has four crops is known by the mean of the first two; all others are strangers.

    Where nobody would be known so, or nobody a stranger, everybody with two crops is known by the first half of them,
    and named by the others, each of which is also a stranger once: compared with all people but the own one.
    """
    people, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(numbers, kind="stable")
    place = np.empty(len(labels), np.int64)  # of each crop among those of its person
    place[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    known, in_gallery = counts >= _KNOWN, np.full(len(counts), _GALLERY)
    if by_halves := not known.any() or known.all():
        known, in_gallery = counts >= 2, counts // 2
    if by_halves and known.sum() < 2:
        return None, None
    gallery = known[numbers] & (place < in_gallery[numbers])
    probes = known[numbers] & ~gallery
    means = np.zeros((len(people), embeddings.shape[1]), np.float32)
    np.add.at(means, numbers[gallery], embeddings[gallery])
    means = means[known]
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    compared = embeddings[probes] @ means.T
    own = (np.cumsum(known) - 1)[numbers[probes]]
    best, right = compared.max(axis=1), compared.argmax(axis=1) == own
    if by_halves:
        compared[np.arange(len(own)), own] = -np.inf
        strange = compared.max(axis=1)
    else:
        strange = (embeddings[~known[numbers]] @ means.T).max(axis=1)
    found = open_set_identification(best, right, strange, _IDENTIFICATION_FARS)
    return found.rank1, float(found.dir_at_far[0])
