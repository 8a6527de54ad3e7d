"""Faces for albums that need no model: points near a few directions."""

import numpy as np


def near(direction: int, seed: int) -> list[float]:
    """Make a face near a direction, 128 numbers: faces of one direction are one person."""
    face = 0.02 * np.random.default_rng(seed).standard_normal(128)
    face[direction] += 1
    return face.tolist()
