"""Choose, from the album itself, how similar two faces must be to be linked. Opens no file."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import ndtri

from indexer.grouping.neighbour_graph import STRANGERS, Background, Nodes, check_lists, excess_histogram

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WRONG_SHARE = 0.06
"""Share of strangers among the pairs just at the threshold. Of .02, .04, .06, .08, .12 and .2 on ten sets (lfw-dev,
its hard copies and parts of both, 320 to 9,525 faces, SFace and dlib's network) .06 loses .0064 of BCubed F against the
best of them at most, .08 .0045 and .04 .0109; on the whole of lfw-dev .06 loses .0004, .08 .0012. True shares on
lfw-dev and hard copies are 1.3 to 1.6 times as high with dlib's network, 2 to 4 times with SFace, and 1.4 to 2 times
apart from step to step."""
BINS_PER_SPREAD = 3
FARTHEST = 16.0
"""Spreads above the background up to which pairs are counted."""
FEW_STRANGERS = 0.01
"""Share of strangers, by the law, up to which counts are fitted."""
NEXT_TO_NONE = 10.0
"""Strangers in the whole album that a ``wrong_share`` of 1 would bear: .6 by default. It matters where no pairs lie
between the strangers and the photos of one person, as in albums of some hundred faces."""
LAW_SCALE, LAW_POWER = 0.9, 0.6
"""What the law is multiplied with, and the power of the share of known backgrounds. On lfw-dev and hard copies of it,
181 to 9,525 faces, both networks, the true number of strangers up to 2 spreads is then .98 to 1.15 times, from 2 to 4
.88 to 1.18 times the law's; where half of the backgrounds or fewer are known .77 to .96 and .38 to .84 times."""
LAW_DOUBT = np.array([0.15, 0.1, 0.03])
"""Standard deviations within which the counts may correct the law: log count, slope, curvature."""
MOST_HARMLESS = 0.8
"""Share of strangers that may be taken off because they share a photo: their whole number is only estimated."""
MIN_KNOWN = 50
"""Fewer faces with a known background than this say nothing."""
PRIOR_DOUBT = 0.5
"""The album may move the prior by this share of its distance from 1; .29 was needed for 112 faces, .05 for 9,525."""


class Evidence(StrEnum):
    """What a threshold rests on."""

    ALBUM = "album"
    PRIOR = "prior"
    GIVEN = "given"


@dataclass(frozen=True)
class LinkThreshold:
    """How similar two faces must be to be linked.

    Args:
        similarity: cosine, after correction by the faces' backgrounds.
        evidence: what it rests on.
        wrong_share: the expected share of strangers among the pairs just at it; nan if the album does not tell.
    """

    similarity: float
    evidence: Evidence
    wrong_share: float


def choose_threshold(
    neighbours: Ints | Nodes,
    similarities: npt.NDArray[np.float32],
    background: Background,
    *,
    prior: float,
    wrong_share: float = WRONG_SHARE,
    photo: Ints | None = None,
) -> LinkThreshold:
    """Find the similarity at which a given share of the linked pairs are strangers.

    Pairs are counted by their height above the background. Near it they are strangers, whose number falls by a law of
    its own; farther out they are photos of one person. Both are fitted to the counts.

    Args:
        neighbours, similarities: see ``neighbour_graph.check_lists``.
        prior: cosine threshold of the network in an album of middle size: SFace .52, dlib's network .945.
        wrong_share: 0 to 1, exclusive: strangers among the pairs just at the threshold. Halve it for fewer wrong
            links, double it for fewer missed ones.
        photo: int64 (N,), the photo of each face, -1 for none: two of one photo are strangers that never link, and do
            not count among the wrong pairs. None: no photo is known.
    Returns:
        The threshold; the prior where fewer than ``MIN_KNOWN`` faces have strangers in their lists, as in an album of
        few people with many photos each.
    Raises:
        ValueError: if ``wrong_share`` is not between 0 and 1, ``prior`` not a cosine, or the lists cannot be.
    """
    if not 0 < wrong_share < 1:
        raise ValueError(f"wrong_share is {wrong_share}, not between 0 and 1")
    if not -1 < prior < 1:
        raise ValueError(f"prior is {prior}, not a cosine between -1 and 1")
    check_lists(neighbours, similarities)
    known = int(background.known.sum())
    if known < MIN_KNOWN or not background.spread > 0:
        return LinkThreshold(prior, Evidence.PRIOR, float("nan"))
    edges = np.arange(0, FARTHEST * BINS_PER_SPREAD + 1) / BINS_PER_SPREAD
    counts = excess_histogram(neighbours, similarities, background, edges)
    curves = _fit(counts, (edges[1:] + edges[:-1]) / 2, stranger_law(len(neighbours), known))
    harmless = np.zeros(len(counts))
    if photo is not None:
        harmless = excess_histogram(neighbours, similarities, background, edges, photo)
    similarity = background.level + _crossing(curves, wrong_share, harmless) * background.spread
    reach = PRIOR_DOUBT * (1 - prior)
    return LinkThreshold(float(np.clip(similarity, prior - reach, prior + reach)), Evidence.ALBUM, wrong_share)


def stranger_law(faces: int, known: int) -> Floats:
    """Tell how many pairs of strangers to expect at a height h, in spreads, above the background.

    The similarities of a face with all others are taken as normally distributed, and its background is the mean of
    their upper tail, as ``neighbour_graph`` measures it. Then their number depends on no network and on no threshold.

    Args:
        faces: all faces of the album, 1 or more.
        known: those whose background is known.
    Returns:
        (p0, p1, p2): exp(p0 - p1 h - p2 h²) pairs in a bin of a third of a spread.
    """
    tail = min(STRANGERS / faces, 0.5)
    start = -ndtri(tail)
    middle = _normal_density(start) / tail
    spread = middle - start
    pairs = LAW_SCALE * known * (known / faces) ** LAW_POWER * faces / 2
    return np.array(
        [np.log(pairs * _normal_density(middle) * spread / BINS_PER_SPREAD), middle * spread, spread**2 / 2]
    )


def _normal_density(x: float) -> float:
    return float(np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))


def _strangers(curves: Floats, height: Floats) -> Floats:
    result: Floats = np.exp(curves[0] - curves[1] * height - curves[2] * height**2)
    return result


def _same(curves: Floats, height: Floats) -> Floats:
    result: Floats = np.exp(curves[3] + curves[4] * height)
    return result


def _fit(counts: Floats, height: Floats, law: Floats) -> Floats:
    """Fit strangers, exp(p0 - p1 h - p2 h²), and one person's pairs, exp(p3 + p4 h), to the counts.

    The most likely Poisson means, p0 to p2 held near the law. Only bins where the law sees a few strangers are used:
    the pairs of one person follow such a line for a short way.
    """
    window = 2 * BINS_PER_SPREAD + 1
    around = np.convolve(np.pad(counts, BINS_PER_SPREAD, mode="edge"), np.full(window, 1 / window), "valid")
    beyond = np.flatnonzero(_strangers(law, height) < FEW_STRANGERS * around)
    end = max(int(beyond[0]) if len(beyond) else len(counts), 3 * BINS_PER_SPREAD)
    counts, height = counts[:end], height[:end]

    def misfit(curves: Floats) -> tuple[float, Floats]:
        strangers, same = _strangers(curves, height), _same(curves, height)
        doubt = (curves[:3] - law) / LAW_DOUBT
        loss = (strangers + same - counts * np.log(strangers + same)).sum() + (doubt**2).sum() / 2
        terms = np.stack([strangers, -strangers * height, -strangers * height**2, same, same * height])
        slope = terms @ (1 - counts / (strangers + same))
        slope[:3] += doubt / LAW_DOUBT
        return float(loss), slope

    last = float(np.log(max(counts[-BINS_PER_SPREAD:].mean(), 0.1)))
    bounds = [(None, None), (0.05, 5), (0, 1), (-12, None), (-0.5, 2)]
    starts = [np.array([*law, last - rise * height[-1], rise]) for rise in (0.0, 0.3)]
    fits = [minimize(misfit, start, jac=True, method="L-BFGS-B", bounds=bounds) for start in starts]
    best: Floats = min(fits, key=lambda fit: float(fit.fun)).x
    return best


def _crossing(curves: Floats, wrong_share: float, harmless: Floats) -> float:
    """Find the height from which strangers are less than their share, or next to none in the whole album.

    Args:
        harmless: float64 (B,), strangers in each bin that share a photo: they are taken off.
    """
    height = np.linspace(0, FARTHEST, 3201)
    strangers = _strangers(curves, height)
    beyond = strangers[::-1].cumsum()[::-1] * height[1] * BINS_PER_SPREAD
    together = np.interp(height, np.arange(len(harmless)) / BINS_PER_SPREAD, harmless[::-1].cumsum()[::-1])
    left = 1 - np.minimum(together / np.maximum(beyond, 1e-300), MOST_HARMLESS)
    strangers, beyond = strangers * left, beyond * left
    few = strangers <= wrong_share * (strangers + _same(curves, height))
    enough = np.flatnonzero(few | (beyond <= wrong_share * NEXT_TO_NONE))
    return float(height[enough[0]]) if len(enough) else FARTHEST
