"""What is known for certain, as units and as pairs that stay apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.grouping.face_constraints import Facts, join_units, photo_pairs


def _facts(faces: int, same: object = (), different: object = (), person: dict[int, int] | None = None) -> Facts:
    names = np.full(faces, -1)
    for row, name in (person or {}).items():
        names[row] = name
    same_rows, different_rows = (np.array(pairs, np.int64).reshape(-1, 2) for pairs in (same, different))
    return Facts(np.full(faces, -1), same_rows, different_rows, names)


def test_same_facts_and_names_join_through_each_other() -> None:
    units = join_units(_facts(7, same=[(0, 1), (5, 6)], different=[(2, 3)], person={1: 4, 5: 4}), 7)
    assert len({units.unit[row] for row in (0, 1, 5, 6)}) == 1
    assert len(set(units.unit.tolist())) == 4
    assert units.owner[units.unit[0]] == 4 and (units.owner >= 0).sum() == 1
    assert units.apart.tolist() == [[units.unit[2], units.unit[3]]]


@pytest.mark.parametrize(
    ("facts", "rows"),
    [
        (_facts(3, same=[(0, 1), (1, 2)], different=[(0, 2)]), "0 and 2"),
        (_facts(3, different=[(1, 1)]), "1 and 1"),
        (_facts(4, same=[(0, 3)], person={0: 1, 3: 2}), "0 and 3"),
        (_facts(4, different=[(1, 2)], person={1: 5, 2: 5}), "1 and 2"),
    ],
)
def test_contradictions_name_the_rows(facts: Facts, rows: str) -> None:
    with pytest.raises(ValueError, match=rows):
        join_units(facts, len(facts.person))


@pytest.mark.parametrize(("faces", "facts"), [(2, _facts(3)), (3, _facts(3, same=[(0, 3)])), (3, _facts(3, [(-1, 0)]))])
def test_facts_about_other_faces_are_refused(faces: int, facts: Facts) -> None:
    with pytest.raises(ValueError, match=r"shape|faces"):
        join_units(facts, faces)


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 5)), max_size=16), st.lists(st.integers(0, 1), min_size=6))
def test_photo_pairs_are_all_pairs_of_one_photo_and_region(faces: list[tuple[int, int]], region: list[int]) -> None:
    photo, unit = (np.array([face[i] for face in faces], np.int64) for i in (0, 1))
    expected = {
        frozenset((u, v))
        for (p, u), (q, v) in combinations(faces, 2)
        if p == q >= 0 and u != v and region[u] == region[v]
    }
    found = photo_pairs(photo, unit, np.array(region, np.int64))
    assert {frozenset(pair) for pair in found.tolist()} == expected
    assert (found[:, 0] != found[:, 1]).all()


def test_no_faces() -> None:
    units = join_units(_facts(0), 0)
    assert len(units.unit) == len(units.owner) == len(units.apart) == 0
