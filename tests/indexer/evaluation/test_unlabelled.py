"""The false alarm curve of an archive without labels."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.archive import read_archive
from indexer.evaluation.central_faces import EvaluationError
from indexer.evaluation.unlabelled import measure_album
from indexer.people import PeopleStore


def _album(make_album, likeness: float):
    """Twelve photos of five people each, who share one direction as much as ``likeness`` says."""
    random = np.random.default_rng(0)
    common = random.standard_normal(128)
    photos = {
        f"{i:02d}.png": [likeness * common + (1 - likeness) * random.standard_normal(128) for _ in range(5)]
        for i in range(12)
    }
    return make_album(photos)


def test_strangers_who_look_alike_bring_a_warning(make_album) -> None:
    figures, impostors, _ = measure_album(read_archive(_album(make_album, 0.6)))
    assert figures["impostor_pairs"] == len(impostors) == 12 * 10
    assert figures["warnings"] and figures["false_alarm"]["0.01"]["default_is_wrong"]


def test_strangers_who_do_not_bring_none(make_album) -> None:
    figures, _, genuine = measure_album(read_archive(_album(make_album, 0.0)))
    assert figures["warnings"] == [] and not figures["false_alarm"]["0.1"]["default_is_wrong"]
    assert len(genuine) == 0 and figures["false_alarm"]["0.1"]["genuine_found"] is None


def test_named_people_give_the_genuine_ones_and_what_was_said_to_be_one_person_is_no_impostor(make_album) -> None:
    album = _album(make_album, 0.6)
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0), archive.ref(5), archive.ref(10)], "Ann Lee", add_to_existing=False)
        store.same(archive.ref(1), archive.ref(2))
    _, impostors, genuine = measure_album(read_archive(album))
    assert len(genuine) == 3 and len(impostors) == 12 * 10 - 1
    expected = archive.embeddings[[0, 0, 5]] * archive.embeddings[[5, 10, 10]]
    np.testing.assert_allclose(np.sort(genuine), np.sort(expected.sum(axis=1)), atol=1e-6)


def test_too_few_shared_photos_are_refused(make_album) -> None:
    with pytest.raises(EvaluationError, match="only 1 pairs of faces share a photo"):
        measure_album(read_archive(make_album({"a.png": [[1, 0], [0, 1]]})))
