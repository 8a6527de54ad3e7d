"""How likely faces that were grouped belong together, and groups that were not grouped after all. Opens no file.

Both laws are logistic, and both were fitted at once to lfw-dev with SFace and with dlib's network (12,168 faces each,
grouped without a name at a wrong share of .04, the central faces' folders as the truth; each network weighed by its
number of positives). What makes one law do for both networks is the unit: similarities count in spreads of the album's
background.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WRONG_LAW = (11.15, -13.58, -1.47)
"""Log odds that a face in a group is somebody else: constant, isolation, log(1 + cohesion in spreads). Where it says
below .3, .3 to 1, 1 to 3, 3 to 10 % it is .3, .3, 4, 8 % with SFace; with dlib's network 6 (15 groups only), .9, 1.1, 7
%."""
SAME_LAW = (0.34, 1.31, -4.25)
"""Log odds that two bundles of faces, not grouped with each other, are one person: constant, spreads above the
threshold, log of the smaller one's faces. Where it says 5 to 10, 20 to 40, 60 to 80 % it is 8, 28, 100 % with SFace, 8,
26, 61 % with dlib's network."""
USUAL_SPREADS = 15.0
"""Spreads from the threshold to a cosine of 1, for an album that does not tell its own: 21 with SFace on lfw-dev, 11
with dlib's network."""
REACH = 4.0
"""Spreads below the threshold down to which links are kept: two single faces there are one person in 1 of 130 cases."""


def spread_or_usual(spread: float, threshold: float) -> float:
    """Give the album's spread, or the usual one for a threshold (cosine) if it is unknown (nan, or 0)."""
    return spread if spread > 0 else (1 - threshold) / USUAL_SPREADS


def stepped(threshold: float, wrong_share_factor: float) -> float:
    """Move the threshold (cosine) of an album that tells none: the odds of a wrong pair there change by the factor."""
    return float(np.clip(threshold - np.log(wrong_share_factor) / SAME_LAW[1] * spread_or_usual(0, threshold), -1, 1))


def chance_in_group(isolation: Floats, cohesion: Floats, spread: float) -> Floats:
    """Tell how likely a face of each group is rightly there: (G,), 0 to 1.

    Args:
        isolation, cohesion: (G,), see ``indexer.grouping.cluster.Clustering``.
        spread: of the album's background, cosine, > 0.
    """
    constant, by_isolation, by_cohesion = WRONG_LAW
    return _logistic(-(constant + by_isolation * isolation + by_cohesion * np.log1p(cohesion / spread)))


def chance_same(similarity: Floats, smaller: Floats, threshold: float, spread: float) -> Floats:
    """Tell how likely two bundles are one person, though the clustering kept them apart: (P,), 0 to 1.

    Args:
        similarity: (P,), cosine of their mean faces, less the mean of their backgrounds' offsets.
        smaller: (P,), faces in the smaller of the two, 1 or more.
        threshold: similarity from which faces were linked.
        spread: of the album's background, cosine, > 0.
    """
    constant, by_similarity, by_size = SAME_LAW
    return _logistic(constant + by_similarity * (similarity - threshold) / spread + by_size * np.log(smaller))


def _logistic(odds: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-np.clip(odds, -700, 700)))
    return result
