"""Which faces are shown."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.review.looks import halves, shown_faces, typical_first


def _faces(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_the_face_in_the_middle_is_the_most_typical_one() -> None:
    assert typical_first(_faces(-20, 3, 45, 0, 60)).tolist() == [1, 3, 2, 0, 4]
    assert typical_first(np.empty((0, 2), np.float32)).tolist() == []


def test_of_many_faces_the_typical_and_the_odd_ones_are_shown() -> None:
    assert shown_faces(np.arange(100), 6).tolist() == [0, 1, 2, 3, 98, 99]
    assert shown_faces(np.arange(6), 6).tolist() == [0, 1, 2, 3, 4, 5]
    assert shown_faces(np.arange(5), 1).tolist() == [0]


@pytest.mark.parametrize("degrees", [(0, 3, 5, 90, 95), (0, 90), (10, 10, 10), (0, 0, 90)])
def test_halves_have_a_face_each_and_keep_like_with_like(degrees: tuple[float, ...]) -> None:
    part = halves(_faces(*degrees))
    assert part.any() and not part.all()
    if 90 in degrees:
        assert len({bool(p) for p, d in zip(part, degrees, strict=True) if d < 45}) == 1
        assert len({bool(p) for p, d in zip(part, degrees, strict=True) if d > 45}) == 1
