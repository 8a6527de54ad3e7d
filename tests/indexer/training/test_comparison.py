"""Which of two models is better: told where it is so, and not where it cannot be told."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.training.comparison import (
    Comparison,
    Figure,
    compare_models,
    halves,
    model_figures,
    people_with_two_photos,
)

PEOPLE = np.repeat(np.arange(24), 6)
PHOTOS = np.arange(len(PEOPLE))


def faces(noise: float, seed: int = 0) -> np.ndarray:
    """Embeddings of 24 people with 6 faces each, scattered around their person."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(24, 32))
    rows = centres[PEOPLE] + noise * draw.normal(size=(len(PEOPLE), 32))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_a_sharper_model_is_better_and_the_other_way_round() -> None:
    sharp, blurred = faces(0.5), faces(1.3)
    found = compare_models(blurred, sharp, PEOPLE, PHOTOS, ("old", "new"))
    assert found.word == "better" and "is better" in found.sentence
    assert (found.people, found.faces) == (24, 144)
    back = compare_models(sharp, blurred, PEOPLE, PHOTOS, ("old", "new"))
    assert back.word == "worse" and "keep the present one" in back.sentence
    for one, other in zip(found.figures, back.figures, strict=True):
        assert (one.before, one.after, one.spread) == pytest.approx((other.after, other.before, other.spread))


def test_the_same_model_twice_is_the_same() -> None:
    found = compare_models(faces(1.0), faces(1.0), PEOPLE, PHOTOS, ("old", "new"))
    assert all(figure.after == figure.before and figure.word == "same" for figure in found.figures)
    assert "No difference can be shown" in found.sentence


@pytest.mark.parametrize("seed", range(3))
def test_models_that_differ_by_chance_alone_are_not_called_better_or_worse_in_all(seed: int) -> None:
    found = compare_models(faces(1.0, seed), faces(1.0, seed + 10), PEOPLE, PHOTOS, ("old", "new"))
    assert sum(figure.word == "same" for figure in found.figures) >= len(found.figures) - 2


def test_contradicting_figures_are_no_reason_to_switch() -> None:
    figures = (Figure("a", 0.5, 0.9, 0.01), Figure("b", 0.9, 0.5, 0.01), Figure("c", 0.5, 0.51, 0.01))
    assert [figure.word for figure in figures] == ["better", "worse", "same"]
    found = Comparison(figures, 1, 1)
    assert found.word == "same" and "better in some figures and worse in others" in found.sentence
    assert Comparison(figures[::2], 1, 1).word == "better"


def test_too_few_people_are_refused() -> None:
    few = PEOPLE < 9
    with pytest.raises(ValueError, match="9 people have two photos or more, 10 are needed"):
        compare_models(faces(1)[few], faces(1)[few], PEOPLE[few], PHOTOS[few], ("old", "new"))
    assert people_with_two_photos(np.array([0, 0, 1, 1, 2]), np.array([5, 6, 7, 7, 8])) == 1


def test_faces_of_one_photo_stand_on_one_side() -> None:
    people = np.array([0, 0, 0, 0, 1, 1, 1, 2, 3, 3])
    photos = np.array([4, 1, 4, 2, 8, 9, 7, 5, 6, 6])
    known, probes = halves(people, photos)
    assert known.tolist() == [1, 6] and probes.tolist() == [0, 2, 3, 4, 5]


def test_identification_by_its_definition() -> None:
    """Two photos a person, one known, one asked for; cosines are written out by hand."""
    count = 12
    centre = np.eye(count, 40, dtype=np.float32)
    asked = centre * 0.8
    asked[np.arange(count), np.arange(count) + count] = 0.6
    asked[0] = centre[1] * 0.96 + centre[0] * 0.28  # looks like somebody else
    rows = np.concatenate([centre, asked])
    people, photos = np.tile(np.arange(count), 2), np.arange(2 * count)
    figures = model_figures(rows, people, photos, "new", [0.01])
    assert figures["most similar person is the right one"] == pytest.approx(11 / 12)
    # Of 12 strangers none may be named at 1 %: the threshold lies above .96, the likeness of the first to the second.
    assert figures["right name where 1 % of strangers get one"] == 0
    # Of 264 pairs of two people two may lie above the threshold: .96 and .768. All others are at right angles.
    assert figures["true pairs found at one false in 100"] == 1


def test_the_spread_is_that_of_figures_without_a_fifth_of_the_people() -> None:
    before, after = faces(1.3), faces(1.0)
    found = compare_models(before, after, PEOPLE, PHOTOS, ("old", "new"))
    differences = []
    for left_out in range(5):
        rows = np.flatnonzero(left_out != PEOPLE % 5)  # all have six faces: dealt in their order
        each = [model_figures(e[rows], PEOPLE[rows], PHOTOS[rows], "old", [0.01]) for e in (before, after)]
        name = "true pairs found at one false in 100"
        differences.append(each[1][name] - each[0][name])
    expected = np.sqrt(4 / 5 * np.square(differences - np.mean(differences)).sum())
    assert found.figures[0].name == name and found.figures[0].spread == pytest.approx(expected) and expected > 0
