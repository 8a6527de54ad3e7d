"""How likely faces belong together: what must hold for the laws, whatever their numbers are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.grouping.likelihoods import (
    SAME_LAW,
    USUAL_SPREADS,
    chance_in_group,
    chance_same,
    spread_or_usual,
    stepped,
)


def test_compact_and_isolated_groups_are_surer() -> None:
    isolation, cohesion = np.array([1.0, 1.0, 0.9, 0.5]), np.array([0.2, 0.02, 0.2, 0.2])
    chance = chance_in_group(isolation, cohesion, spread=0.02)
    assert chance[0] > chance[1] > 0.9 and chance[0] > chance[2] > chance[3]
    assert len(chance_in_group(np.empty(0), np.empty(0), 0.02)) == 0


def test_alike_bundles_are_likelier_the_same_and_large_ones_less() -> None:
    similarity, smaller = np.array([0.5, 0.45, 0.5]), np.array([1.0, 1.0, 9.0])
    chance = chance_same(similarity, smaller, threshold=0.5, spread=0.02)
    assert chance[0] > chance[1] and chance[0] > chance[2]
    assert chance[0] == pytest.approx(1 / (1 + np.exp(-SAME_LAW[0])))


@given(st.floats(-1e6, 1e6), st.floats(1, 1e6), st.floats(1e-6, 1))
def test_chances_are_chances(similarity: float, smaller: float, spread: float) -> None:
    chance = chance_same(np.array([similarity]), np.array([smaller]), 0.5, spread)
    assert 0 <= chance[0] <= 1


def test_an_unknown_spread_is_the_usual_one() -> None:
    for unknown in (float("nan"), 0.0):
        assert spread_or_usual(unknown, 0.4) == pytest.approx(0.6 / USUAL_SPREADS)
    assert spread_or_usual(0.01, 0.4) == 0.01


def test_a_step_changes_the_odds_of_a_pair_at_the_threshold_by_the_factor() -> None:
    spread = spread_or_usual(0, 0.5)
    for factor in (0.25, 0.5, 1.0, 2.0):
        moved = np.array([stepped(0.5, factor)])
        chance = chance_same(moved, np.ones(1), 0.5, spread)[0]
        usual = 1 / (1 + np.exp(-SAME_LAW[0]))
        assert (1 - chance) / chance == pytest.approx(factor * (1 - usual) / usual)
