"""The index of an album: answers are those of its faces, and the base is renewed when it pays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from indexer.search import album_index
from indexer.search.album_index import Faces, describe_index, open_index, refresh_index
from indexer.search.face_index import exact_index

ROWS = np.random.default_rng(0).standard_normal((700, 16)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
LIMIT = 100  # faces that need no base here
FLOOR = -2.0  # nobody is below it: only the same face counts


def faces(ids: np.ndarray, fingerprint: str = "f00d") -> Faces:
    return Faces(fingerprint, ids.astype(np.int64), ROWS[ids])


def refresh(folder: Path, some: Faces) -> list[str]:
    return refresh_index(folder, some, None, floor=FLOOR, exact_up_to=LIMIT)


def answers(folder: Path, some: Faces) -> tuple[np.ndarray, list[str]]:
    """The nearest face_id to each of the album's own faces and to some others."""
    index, notes = open_index(folder, some, exact_up_to=LIMIT)
    return some.face_ids[index.search(np.concatenate([some.embeddings, ROWS[600:]]), 1)[1][:, 0]], notes


def right(some: Faces) -> np.ndarray:
    queries = np.concatenate([some.embeddings, ROWS[600:]])
    return some.face_ids[exact_index(some.embeddings).search(queries, 1)[1][:, 0]]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(album_index, "MOST_NEW", 20)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    assert len(refresh(tmp_path, faces(np.arange(400)))) == 1
    return tmp_path


def test_few_faces_need_no_file(tmp_path: Path) -> None:
    few = faces(np.arange(LIMIT))
    assert refresh(tmp_path / "index", few) == []
    assert not (tmp_path / "index").exists()
    np.testing.assert_array_equal(answers(tmp_path / "index", few)[0], right(few))
    assert describe_index(tmp_path, few, exact_up_to=LIMIT) == "exact"


def test_an_album_without_a_face(tmp_path: Path) -> None:
    none = faces(np.empty(0, np.int64))
    assert refresh(tmp_path, none) == []
    index, notes = open_index(tmp_path, none)
    assert len(index) == 0 and notes == [] and (index.search(ROWS[:2], 3)[1] == -1).all()


def test_a_base_is_built_where_it_pays_and_says_so(tmp_path: Path) -> None:
    many = faces(np.arange(400))
    assert describe_index(tmp_path, many, exact_up_to=LIMIT) == "to be built"
    (note,) = refresh(tmp_path, many)
    assert note.startswith("Built the index of 400 faces in ") and "of 400 faces, up to date" in note
    found, notes = answers(tmp_path, many)
    assert notes == [] and (found == right(many)).mean() >= 0.99
    assert "approximate, 40 cells of which" in describe_index(tmp_path, many, exact_up_to=LIMIT)
    assert refresh(tmp_path, many) == []


def test_an_album_that_shrank_keeps_no_base(built: Path) -> None:
    few = faces(np.arange(50))
    assert refresh(built, few) == []
    assert list(built.iterdir()) == []


def test_new_faces_are_found_and_removed_ones_gone_without_a_write(built: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.iterdir()}
    changed = faces(np.concatenate([np.arange(10, 400), [500, 501]]))
    assert refresh(built, changed) == []
    found, notes = answers(built, changed)
    assert notes == [] and not set(found.tolist()) & set(range(10))
    assert found[-202:-200].tolist() != [] and set(found.tolist()) >= {500, 501}
    assert describe_index(built, changed, exact_up_to=LIMIT).endswith(
        "2 new faces compared exactly, 10 gone faces passed over"
    )
    assert before == {path: path.stat().st_mtime_ns for path in built.iterdir()}


def test_many_new_faces_are_sorted_into_the_cells(built: Path) -> None:
    more = faces(np.arange(450))
    assert refresh(built, more) == ["Added 50 new faces to the cells of the index."]
    assert describe_index(built, more, exact_up_to=LIMIT).endswith("up to date")
    assert (answers(built, more)[0] == right(more)).mean() >= 0.98


def test_a_base_that_grew_by_much_is_built_anew(built: Path) -> None:
    notes = refresh(built, faces(np.arange(600)))
    assert notes[0] == "The index was tuned to 400 faces, and 200 are new."
    assert notes[1].startswith("Built the index of 600 faces")


def test_a_base_of_which_much_is_gone_is_built_anew(built: Path) -> None:
    notes = refresh(built, faces(np.arange(100, 400)))
    assert notes[0] == "100 of the 400 faces of the index are gone."
    assert notes[1].startswith("Built the index of 300 faces")


@pytest.mark.parametrize("kind", ["base.json", "cells-*.faiss", "faces-*.npy"])
@pytest.mark.parametrize("fault", ["cut", "flipped"])
def test_a_damaged_base_is_told_searched_around_and_rebuilt(built: Path, kind: str, fault: str) -> None:
    path = next(built.glob(kind))
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 4
    path.write_bytes(body if fault == "flipped" else body[: len(body) // 2])
    many = faces(np.arange(400))
    found, notes = answers(built, many)
    np.testing.assert_array_equal(found, right(many))
    assert len(notes) == 1 and path.name in notes[0] and "Searching exactly" in notes[0]
    assert describe_index(built, many, exact_up_to=LIMIT).startswith("to be built: ")
    notes = refresh(built, many)
    assert path.name in notes[0] and notes[1].startswith("Built the index of 400 faces")
    assert answers(built, many)[1] == []


def test_a_base_of_another_model_is_told_and_rebuilt(built: Path) -> None:
    other = faces(np.arange(400), "beef")
    found, notes = answers(built, other)
    np.testing.assert_array_equal(found, right(other))
    assert "holds an index of model f00d, the album is of beef" in notes[0]
    assert "holds an index of model f00d" in refresh(built, other)[0]
    assert answers(built, other)[1] == []


def test_without_a_base_search_is_exact_and_says_what_to_do(tmp_path: Path) -> None:
    many = faces(np.arange(400))
    found, notes = answers(tmp_path, many)
    np.testing.assert_array_equal(found, right(many))
    assert "`visavis index` builds it" in notes[0]


def test_labels_are_asked_for_only_when_a_base_is_built(built: Path) -> None:
    def never() -> np.ndarray:
        raise AssertionError("nothing is to be tuned")

    assert refresh_index(built, faces(np.arange(400)), never, floor=FLOOR, exact_up_to=LIMIT) == []
    with pytest.raises(AssertionError):
        refresh_index(built, faces(np.arange(600)), never, floor=FLOOR, exact_up_to=LIMIT)


def test_labels_let_another_face_of_the_person_count(tmp_path: Path) -> None:
    """All are one person: whoever is found is right, so that the fewest cells will do."""
    refresh_index(tmp_path, faces(np.arange(400)), lambda: np.zeros(400, np.int64), floor=FLOOR, exact_up_to=LIMIT)
    assert "40 cells of which 1 are searched" in describe_index(tmp_path, faces(np.arange(400)), exact_up_to=LIMIT)


@pytest.mark.parametrize("count", [450, 600])  # the base is extended, and built anew
def test_a_row_that_is_no_number_is_refused(built: Path, count: int) -> None:
    poisoned = faces(np.arange(count))
    poisoned.embeddings[430] = np.nan
    with pytest.raises(ValueError, match="are not numbers"):
        refresh(built, poisoned)
    assert answers(built, faces(np.arange(400)))[1] == []  # the former base is still there


def test_gpus_search_exactly_and_need_no_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.search.faiss_calls.gpu_count", lambda: 1)
    monkeypatch.setattr("indexer.search.exact.rows_on_gpus", lambda rows, gpus, float16: None)
    monkeypatch.setattr("indexer.search.face_index.rows_on_gpus", lambda rows, gpus, float16: None)
    many, few = faces(np.arange(400)), faces(np.arange(9))
    for some, device, expected in (
        (many, "auto", "exact, on 1 GPU"),
        (few, "auto", "exact"),
        (few, "cuda", "exact, on 1 GPU"),
    ):
        index, notes = open_index(tmp_path, some, device=device, exact_up_to=LIMIT)
        assert (index.description, notes) == (expected, [])
