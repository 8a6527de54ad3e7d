"""Choose, from the album itself, how similar two faces must be to be linked. Opens no file."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import ndtri

from indexer.grouping.neighbour_graph import STRANGERS, Background, excess_histogram

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WRONG_SHARE = 0.04
"""Share of strangers among the pairs just at the threshold. Of .1, .05, .025 and .0125 the best on lfw-dev lay between
.05 and .025 with both networks, for 300 to 4,038 people."""
BINS_PER_SPREAD = 3
FARTHEST = 16.0
"""Spreads above the background up to which pairs are counted."""
AMP = 0.9
LAW_DOUBT = np.array([0.15, 0.1, 0.03])
"""Standard deviations within which an album of many pairs may correct the law: log count, slope, curvature."""
NEXT_TO_NONE = 10.0
FEW_STRANGERS = 0.01
"""Share of strangers, by the law, up to which counts are fitted: below every ``wrong_share`` in use."""
MIN_KNOWN = 50
"""Fewer faces with a known background than this say nothing."""
PRIOR_DOUBT = 0.5
"""The album may move the prior by this share of its distance from 1. Seen: .26 with 122 faces, .02 with 9,525."""


class Evidence(StrEnum):
    """Where a threshold comes from."""

    ALBUM = "album"
    PRIOR = "prior"
    GIVEN = "given"


@dataclass(frozen=True)
class LinkThreshold:
    """How similar two faces must be to be linked.

    Args:
        similarity: cosine, after correction by the faces' backgrounds.
        evidence: what it rests on.
        wrong_share: the expected share of strangers among the pairs just at it; nan if not known.
    """

    similarity: float
    evidence: Evidence
    wrong_share: float


def choose_threshold(
    neighbours: Ints,
    similarities: npt.NDArray[np.float32],
    background: Background,
    *,
    prior: float,
    wrong_share: float = WRONG_SHARE,
) -> LinkThreshold:
    """Find the similarity at which a given share of the linked pairs are strangers.

    Pairs are counted by their height above the background. Near it they are strangers, whose number falls as the law
    above says; farther out are two photos of one person, whose number rises. Both are fitted to the counts.

    Args:
        neighbours, similarities: see ``neighbour_graph.check_lists``.
        prior: cosine threshold of the network in an album of middle size: SFace .52, dlib's network .945.
        wrong_share: 0 to 1, exclusive: strangers among the pairs just at the threshold. Halve it for fewer wrong
            links, double it for fewer missed ones.
    Returns:
        The threshold, or the prior where fewer than ``MIN_KNOWN`` faces have strangers in their lists: few people
        with many photos each.
    Raises:
        ValueError: if ``wrong_share`` is not between 0 and 1 or ``prior`` not a cosine.
    """
    if not 0 < wrong_share < 1:
        raise ValueError(f"wrong_share is {wrong_share}, not between 0 and 1")
    if not -1 < prior < 1:
        raise ValueError(f"prior is {prior}, not a cosine between -1 and 1")
    known = int(background.known.sum())
    if known < MIN_KNOWN or not background.spread > 0:
        return LinkThreshold(prior, Evidence.PRIOR, float("nan"))
    edges = np.arange(0, FARTHEST * BINS_PER_SPREAD + 1) / BINS_PER_SPREAD
    counts = excess_histogram(neighbours, similarities, background, edges)
    law = _stranger_law(len(background.known), known)
    height = _crossing(_fit(counts, edges, law), wrong_share)
    reach = PRIOR_DOUBT * (1 - prior)
    similarity = background.level + height * background.spread
    return LinkThreshold(float(np.clip(similarity, prior - reach, prior + reach)), Evidence.ALBUM, wrong_share)


def _stranger_law(faces: int, known: int) -> Floats:
    """Tell how the counts of strangers fall with the height h above the background: exp(p0 - p1 h - p2 h²) in a bin.

    The similarities of a face with all others are taken as normal, its background as the mean of their upper tail, as
    ``neighbour_graph`` measures it: then only the number of faces matters.
    """
    tail = min(STRANGERS / faces, 0.5)
    start = -ndtri(tail)
    middle = np.exp(-(start**2) / 2) / np.sqrt(2 * np.pi) / tail
    spread = middle - start
    at_middle = faces * np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi) * spread / BINS_PER_SPREAD
    share = (known / faces) ** 0.6
    return np.array([np.log(known * at_middle / 2 * share * AMP), middle * spread, spread**2 / 2])


def _fit(counts: Floats, edges: Floats, law: Floats) -> Floats:
    """Fit strangers, exp(p0 - p1 h - p2 h²), and one person's pairs, exp(p3 + p4 h), to the counts.

    The most likely Poisson means, p0 to p2 held near the law; up to where by the law strangers are few: the pairs of
    one person follow a line only on a short way.
    """
    height = (edges[1:] + edges[:-1]) / 2
    strangers = np.exp(law[0] - law[1] * height - law[2] * height**2)
    around = np.convolve(np.pad(counts, BINS_PER_SPREAD, mode="edge"), np.ones(2 * BINS_PER_SPREAD + 1), "valid")
    few = np.flatnonzero(strangers * (2 * BINS_PER_SPREAD + 1) < FEW_STRANGERS * around)
    end = max(int(few[0]) if len(few) else len(counts), 3 * BINS_PER_SPREAD)
    height, counts = height[:end], counts[:end]

    def misfit(p: Floats) -> tuple[float, Floats]:
        strangers = np.exp(p[0] - p[1] * height - p[2] * height**2)
        same = np.exp(p[3] + p[4] * height)
        surplus = 1 - counts / (strangers + same)
        doubt = (p[:3] - law) / LAW_DOUBT
        loss = (strangers + same - counts * np.log(strangers + same)).sum() + (doubt**2).sum() / 2
        powers = np.stack([strangers, -strangers * height, -strangers * height**2, same, same * height])
        slope = powers @ surplus
        slope[:3] += doubt / LAW_DOUBT
        return float(loss), slope

    last = max(float(counts[-BINS_PER_SPREAD:].mean()), 0.1)
    bounds = [(None, None), (0.05, 5), (0, 1), (-12, None), (-0.5, 2)]
    fits = []
    for rise in (0.0, 0.3):
        start = np.array([*law, np.log(last) - rise * height[-1], rise])
        fits.append(minimize(misfit, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 2000}))
    best: Floats = min(fits, key=lambda fit: float(fit.fun)).x
    return best


def _crossing(p: Floats, wrong_share: float) -> float:
    """Find the height from which strangers are less than the share of all pairs, or next to none in the whole album."""
    height = np.linspace(0, FARTHEST, 3201)
    strangers = np.exp(p[0] - p[1] * height - p[2] * height**2)
    same = np.exp(p[3] + p[4] * height)
    beyond = strangers[::-1].cumsum()[::-1] * (height[1] - height[0]) * BINS_PER_SPREAD
    enough = np.flatnonzero((strangers <= wrong_share * (strangers + same)) | (beyond <= wrong_share * NEXT_TO_NONE))
    return float(height[enough[0]]) if len(enough) else FARTHEST
