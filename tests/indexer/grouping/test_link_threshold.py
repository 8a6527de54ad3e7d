"""The threshold that an album gives itself, on albums whose strangers are known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from indexer.grouping.link_threshold import Evidence, choose_threshold, stranger_law
from indexer.grouping.neighbour_graph import Background, excess_histogram, measure_background, no_background

PRIOR = 0.5


@cache
def _album(people: int, photos: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Background]:
    """Make faces of people at random, with their lists of 40: (neighbours, similarities, who, background)."""
    random = np.random.default_rng(people)
    who = np.repeat(np.arange(people), photos)
    rows = random.standard_normal((people, 128))[who] + 0.8 * random.standard_normal((len(who), 128))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    similarity = (rows @ rows.T).astype(np.float32)
    np.fill_diagonal(similarity, -2)
    neighbours = np.argsort(-similarity, axis=1)[:, : min(40, len(who) - 1)]
    similarities = np.take_along_axis(similarity, neighbours, axis=1)
    return neighbours, similarities, who, measure_background(neighbours, similarities, who)


def test_the_stranger_law_counts_strangers() -> None:
    neighbours, similarities, who, background = _album(1200, 1)
    edges = np.arange(13) / 3
    counts = excess_histogram(neighbours, similarities, background, edges)
    law, height = stranger_law(len(who), len(who)), (edges[1:] + edges[:-1]) / 2
    expected = np.exp(law[0] - law[1] * height - law[2] * height**2)
    assert counts.sum() == pytest.approx(expected.sum(), rel=0.25)
    assert counts[6:].sum() == pytest.approx(expected[6:].sum(), rel=0.4)


@pytest.mark.parametrize(("people", "photos"), [(60, 3), (400, 3), (200, 8)])
def test_the_threshold_lies_between_strangers_and_one_person(people: int, photos: int) -> None:
    neighbours, similarities, who, background = _album(people, photos)
    chosen = choose_threshold(neighbours, similarities, background, prior=PRIOR)
    corrected = similarities - (background.offset[:, None] + background.offset[neighbours]) / 2
    same = who[neighbours] == who[:, None]
    assert chosen.evidence is Evidence.ALBUM and chosen.wrong_share == 0.06
    assert (corrected[~same] > chosen.similarity).sum() < 0.02 * same.sum()
    assert (corrected[same] > chosen.similarity).mean() > 0.95


def test_a_smaller_share_is_stricter() -> None:
    neighbours, similarities, _, background = _album(400, 3)
    shares = (0.16, 0.08, 0.04, 0.02, 0.01)
    chosen = [choose_threshold(neighbours, similarities, background, prior=PRIOR, wrong_share=s) for s in shares]
    assert (np.diff([threshold.similarity for threshold in chosen]) > 0).all()


def test_strangers_who_share_a_photo_do_not_raise_the_threshold() -> None:
    """Siblings who look alike and stand in one photo never link, so a lower threshold does no harm."""
    random = np.random.default_rng(0)
    directions = random.standard_normal((400, 128))
    directions[1::2] = 0.75 * directions[::2] + 0.66 * directions[1::2]
    who = np.repeat(np.arange(400), 3)
    rows = directions[who] + random.standard_normal((1200, 128))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    similarity = (rows @ rows.T).astype(np.float32)
    np.fill_diagonal(similarity, -2)
    neighbours = np.argsort(-similarity, axis=1)[:, :40]
    similarities = np.take_along_axis(similarity, neighbours, axis=1)
    background = measure_background(neighbours, similarities, who)
    unknown = choose_threshold(neighbours, similarities, background, prior=PRIOR)
    nobody = np.full(1200, -1)
    assert choose_threshold(neighbours, similarities, background, prior=PRIOR, photo=nobody) == unknown
    photo = who // 2 * 3 + np.arange(1200) % 3
    known = choose_threshold(neighbours, similarities, background, prior=PRIOR, photo=photo)
    assert known.similarity < unknown.similarity - 0.02


def test_without_strangers_the_prior_holds() -> None:
    neighbours, similarities, who, _ = _album(60, 3)
    chosen = choose_threshold(neighbours, similarities, no_background(len(who)), prior=PRIOR)
    assert chosen.similarity == PRIOR and chosen.evidence is Evidence.PRIOR and np.isnan(chosen.wrong_share)


def test_the_album_moves_the_prior_half_way_to_one_at_most() -> None:
    neighbours, similarities, _, background = _album(400, 3)
    assert choose_threshold(neighbours, similarities, background, prior=0.9).similarity == pytest.approx(0.85)


@pytest.mark.parametrize(("prior", "share"), [(1.0, 0.04), (np.nan, 0.04), (0.5, 0.0), (0.5, 1.0)])
def test_settings_that_cannot_be_are_refused(prior: float, share: float) -> None:
    neighbours, similarities, _, background = _album(60, 3)
    with pytest.raises(ValueError, match="not"):
        choose_threshold(neighbours, similarities, background, prior=prior, wrong_share=share)
