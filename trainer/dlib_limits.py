"""What the maps of dlib's network are cut off at. By benchmarks/fit_dlib_limits.py.

One number in ten thousand lies above: odd faces, whose embeddings are then less odd (docs/accuracy.md).
"""

LIMITS = (
    6.321,
    4.597,
    6.824,
    4.322,
    8.249,
    4.035,
    10.68,
    4.183,
    7.619,
    3.795,
    8.404,
    3.733,
    10.87,
    3.865,
    11.79,
    4.268,
    6.739,
    3.512,
    6.355,
    4.45,
    6.333,
    4.914,
    5.681,
    3.313,
    6.217,
    3.017,
    6.375,
    4.925,
)
