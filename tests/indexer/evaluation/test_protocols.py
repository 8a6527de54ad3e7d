"""The protocols: who is compared with whom, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from indexer.evaluation.central_faces import CentralFaces, EvaluationError, people_of
from indexer.evaluation.clustering import measure_clustering
from indexer.evaluation.detection import read_boxes
from indexer.evaluation.identification import measure_identification, split_people
from indexer.evaluation.verification import read_pairs, verify_all_pairs, verify_pairs


def _faces(root: Path, photos: dict[str, int], spread: float = 0.0, seed: int = 0) -> CentralFaces:
    """Make people at directions of their own, with some spread: {name: number of photos}."""
    random = np.random.default_rng(seed)
    paths, rows = [], []
    for name, count in sorted(photos.items()):
        centre = random.standard_normal(64)
        for number in range(1, count + 1):
            paths.append(str(root / name / f"{name}_{number:04d}.jpg"))
            rows.append(centre + spread * random.standard_normal(64))
    embeddings = np.array(rows, np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return CentralFaces(paths, embeddings, np.ones(len(paths), np.float32), [], [])


def test_pairs_of_one_fold_and_of_several(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("1\nAnn\t1\t2\nAnn\t1\tBob\t3\n")
    pairs = read_pairs(tmp_path / "one.txt")
    assert (pairs.first, pairs.second) == (["Ann/Ann_0001", "Ann/Ann_0001"], ["Ann/Ann_0002", "Bob/Bob_0003"])
    assert pairs.same.tolist() == [True, False] and pairs.folds.tolist() == [0, 0]
    (tmp_path / "two.txt").write_text("2\t1\nA\t1\t2\nA\t1\tB\t3\nC\t1\t2\nC\t1\tB\t3\n")
    assert read_pairs(tmp_path / "two.txt").folds.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1"),
        ("many\n", "line 1"),
        ("2\nAnn\t1\t2\n", "promises 4 pairs, there are 1"),
        ("1\nAnn\t1\t2\nAnn\tone\tBob\t1\n", "line 3: expected NAME n m or NAME n OTHER m"),
    ],
)
def test_a_list_of_another_form_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "pairs.txt").write_text(content)
    with pytest.raises(EvaluationError, match=message):
        read_pairs(tmp_path / "pairs.txt")


def test_perfect_embeddings_are_perfect(tmp_path: Path) -> None:
    faces = _faces(tmp_path, {"Ann": 2, "Bob": 2, "Cid": 2, "Dee": 2})
    lines = [f"{n}\t1\t2" for n in ("Ann", "Bob", "Cid", "Dee")]
    lines += [f"{a}\t1\t{b}\t2" for a, b in (("Ann", "Bob"), ("Bob", "Cid"), ("Cid", "Dee"), ("Dee", "Ann"))]
    (tmp_path / "pairs.txt").write_text("\n".join(["4", *lines]))
    figures, _ = verify_pairs(faces, tmp_path, read_pairs(tmp_path / "pairs.txt"))
    assert (figures["accuracy"], figures["auc"], figures["pairs"]) == (1.0, 1.0, 8)
    figures, _ = verify_all_pairs(faces)
    assert figures["pairs"] == 28 and figures["genuine_pairs"] == 4
    assert set(figures["tar_at_far"].values()) == {1.0}


def test_a_pair_that_names_a_missing_photo_is_named(tmp_path: Path) -> None:
    faces = _faces(tmp_path, {"Ann": 2, "Bob": 1})
    (tmp_path / "pairs.txt").write_text("1\nAnn\t1\t2\nAnn\t1\tBob\t7\n")
    with pytest.raises(EvaluationError, match=r"Bob_0007\.\* is not there"):
        verify_pairs(faces, tmp_path, read_pairs(tmp_path / "pairs.txt"))


def test_one_person_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"one person only \(Ann\)"):
        people_of(["/x/Ann/1.jpg", "/x/Ann/2.jpg"])


def test_the_open_set_split_follows_the_definition() -> None:
    people = np.random.default_rng(0).permutation(np.repeat(np.arange(9), [1, 2, 3, 4, 5, 1, 8, 1, 4]))
    split = split_people(people)
    for person in range(9):
        photos = np.flatnonzero(people == person).tolist()
        parts = (split.gallery, split.probes, split.strangers)
        ours = [[p for p in part.tolist() if people[p] == person] for part in parts]
        expected = [photos[:2], photos[2:], []] if len(photos) >= 4 else [[], [], photos if len(photos) == 1 else []]
        assert ours == expected


def test_a_folder_without_strangers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="people with one photo \\(here 0\\)"):
        measure_identification(_faces(tmp_path, {"Ann": 5, "Bob": 4}), "sface")


def test_identification_of_people_far_apart(tmp_path: Path) -> None:
    photos = {f"known{i}": 5 for i in range(30)} | {f"stranger{i}": 1 for i in range(200)}
    figures, _ = measure_identification(_faces(tmp_path, photos, spread=0.3), "sface")
    assert figures["rank1"] == 1.0 and figures["dir_at_far"]["0.01"] == 1.0
    assert (figures["gallery_people"], figures["probes"], figures["strangers"]) == (30, 90, 200)
    assert set(figures["calibration"]) == {"0.001", "0.01", "0.1"}
    assert figures["fnir_at_fpir"]["0.01"] == 0.0


def test_the_same_figures_come_out_twice_and_labels_do_not_matter(tmp_path: Path) -> None:
    photos = {f"p{i:03d}": 1 + i % 5 for i in range(120)}
    faces = _faces(tmp_path, photos, spread=0.6)
    first, _ = measure_clustering(faces, "sface")
    renamed = CentralFaces([p.replace("/p", "/q") for p in faces.paths], faces.embeddings, faces.qualities, [], [])
    second, _ = measure_clustering(renamed, "sface")
    first.pop("seconds"), second.pop("seconds")
    assert first == second
    assert first["bcubed"]["f"] > 0.9 and first["people"] == 120


@pytest.mark.parametrize(
    ("content", "message"),
    [("{}", "holds no box"), ('{"a.jpg": []}', "holds no box"), ("[1]", "not of the form"), ("{", "not of the form"),
     ('{"a.jpg": [{"x": 1}]}', "is not of the form"), ('{"a.jpg": [{"box": [1, 2]}]}', "is not of the form"),
     ('{"b.jpg": [{"box": [1, 2, 3, 4]}]}', "which is not there")],
)  # fmt: skip
def test_boxes_of_another_form_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "boxes.json").write_text(content)
    with pytest.raises(EvaluationError, match=message):
        read_boxes(tmp_path / "boxes.json", tmp_path)


def test_boxes_are_read_with_what_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "boxes.json").write_text(
        json.dumps({"a.jpg": [{"box": [1, 2, 3, 4], "invalid": 1}, {"box": [5, 6, 7, 8]}]})
    )
    photo = read_boxes(tmp_path / "boxes.json", tmp_path)[0]
    assert photo.boxes_xywh.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]] and photo.invalid.tolist() == [True, False]
