"""DeepFace's learned measures of likeness beside cosine: fitted on those who were trained on, judged on the others."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.evaluate import accuracy_on_pairs, draw_pairs
from trainer.losses.verification_head import Measure, fit_verification_head

Rows = NDArray[np.float32]
Labels = NDArray[np.int64]

_MEASURES: tuple[Measure, ...] = ("chi-squared", "siamese")


def compare_measures(trained: tuple[Rows, Labels], held_out: tuple[Rows, Labels]) -> dict[str, float]:
    """Judge three measures by their accuracy on pairs of people who are held out.

    Args:
        trained: embeddings float (N, D), unit rows, and the person of each, int64 (N,): the measures are
            fitted to pairs of these.
        held_out: likewise, to judge them on.
    Returns:
        accuracy by measure: "cosine", "chi-squared", "siamese"; thresholds from nine tenths of the pairs.
    """
    fitted_pairs, fitted_same = draw_pairs(trained[1])
    pairs, same = draw_pairs(held_out[1])
    first, second = (torch.from_numpy(held_out[0][pairs[:, side]]) for side in (0, 1))
    found = {"cosine": accuracy_on_pairs((first * second).sum(dim=1).numpy(), same)}
    own, other = (torch.from_numpy(trained[0][fitted_pairs[:, side]]) for side in (0, 1))
    for measure in _MEASURES:
        head = fit_verification_head(measure, own, other, torch.from_numpy(fitted_same))
        with torch.no_grad():
            found[measure] = accuracy_on_pairs(head(first, second).numpy(), same)
    return found
