"""A network that nobody has measured: linked is what no two strangers of the album reach."""

from __future__ import annotations

import numpy as np
import pytest

from embedder.vectors import UnitRows, Vectors
from indexer.grouping.archive_groups import settings_for
from indexer.grouping.unknown_network import link_threshold_of


def album(offset: float, sizes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Faces of people; an ``offset`` common to all makes strangers alike, as dlib's network does."""
    draw = np.random.default_rng(seed)
    people = np.repeat(np.arange(len(sizes)), sizes)
    centres = draw.normal(size=(len(sizes), 128))
    centres[:, 0] += offset
    rows = centres[people] + 0.35 * draw.normal(size=(len(people), 128))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), people


@pytest.mark.parametrize("offset", [0, 10, 25])
@pytest.mark.parametrize("sizes", [[6] * 60, [8] * 8, [400] + [5] * 40], ids=["many", "few", "one on most photos"])
def test_it_parts_people_however_alike_strangers_are(offset: float, sizes: list[int]) -> None:
    embeddings, people = album(offset, sizes)
    threshold = link_threshold_of(embeddings, 0.5)
    similarities = embeddings @ embeddings.T
    same = people[:, None] == people
    np.fill_diagonal(same, False)
    assert (similarities[same] > threshold).mean() > 0.99
    # Of eight people two may be near each other; of sixty hardly a pair is.
    assert (similarities[people[:, None] != people] > threshold).mean() < (0.02 if len(sizes) < 10 else 2e-3)


def test_few_faces_say_nothing() -> None:
    assert link_threshold_of(np.empty((0, 128), np.float32), 0.5) == 0.5
    assert link_threshold_of(album(25, [1] * 19)[0], 0.5) == 0.5 != link_threshold_of(album(25, [1] * 20)[0], 0.5)


def test_only_networks_without_a_threshold_of_their_own_are_judged_by_the_album() -> None:
    embeddings = album(25, [6] * 20)[0]
    assert settings_for("sface", embeddings=embeddings) == settings_for("sface")
    assert settings_for("mine-1234").prior == 0.5
    assert settings_for("mine-1234", embeddings=embeddings).prior == link_threshold_of(embeddings, 0.5) > 0.8


def test_stored_embeddings_give_nearly_the_same() -> None:
    embeddings = album(10, [6] * 60)[0]
    stored = UnitRows(Vectors([embeddings.astype(np.float16)], 128))
    assert link_threshold_of(stored, 0.5) == pytest.approx(link_threshold_of(embeddings, 0.5), abs=1e-3)
