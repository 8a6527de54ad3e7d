"""Where two faces are linked with a network of which nobody has measured it: from how alike the album's faces are.

Two faces drawn at random are strangers, nearly always. With z = artanh(cosine) their similarities are about normal
(Fisher 1915). On lfw-dev the thresholds that were fitted to SFace and to dlib's network, .52 and .945, both lie at 5.9
deviations above the middle. Pairs of one person must not widen that: only faces are asked that are unlike most others,
so not those of somebody who is on half of the photos, and only what lies below the middle gives the deviation.
"""

from __future__ import annotations

import numpy as np

from embedder.vectors import UnitRows

_DEVIATIONS = 6.0
_ASKED, _OTHERS = 400, 800  # faces
_UNLIKE = 0.25  # of those asked, that are least like the others
_BELOW, _DEVIATIONS_BELOW = 0.2, 0.8416  # this share of a normal distribution lies so many deviations below its middle
_FEW = 20  # faces with which nothing can be said


def link_threshold_of(embeddings: np.ndarray | UnitRows, usual: float) -> float:
    """Estimate the cosine from which on two faces of an album are linked.

    Args:
        embeddings: float32 (N, D), unit rows.
        usual: what to take for very few faces.
    """
    count = len(embeddings)
    if count < _FEW:
        return usual
    draw = np.random.default_rng(0)
    asked, others = (draw.permutation(count)[:most] for most in (_ASKED, _OTHERS))
    z = np.arctanh(np.clip((embeddings[asked] @ embeddings[others].T).astype(np.float64), -0.9999, 0.9999))
    z[asked[:, None] == others] = np.nan
    middles = np.nanmedian(z, axis=1)
    unlike = z[middles <= np.quantile(middles, _UNLIKE)]
    below, middle = np.nanquantile(unlike, [_BELOW, 0.5])
    return float(np.tanh(middle + _DEVIATIONS * (middle - below) / _DEVIATIONS_BELOW))
