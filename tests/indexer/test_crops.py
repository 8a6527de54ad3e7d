import json

import cv2
import numpy as np
import pytest

from embedder.align import crop_faces
from embedder.decode import decode
from embedder.detect import Faces
from embedder.pretrained import NETWORKS
from embedder.scan import scan
from indexer.crops import Face, Job, central, folder_name, make_crops, prepare_folder
from trainer.crops import CropsError, CropsSettings, read_crop, read_crops_folder

TEMPLATE = NETWORKS["sface"].template
SETTINGS = CropsSettings(112, 14, TEMPLATE, "sface")
LANDMARKS = np.array(TEMPLATE, np.float32) * 0.8 + [30, 20]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "people" / "Ann Lee"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        picture = cv2.resize(random.integers(0, 256, (12, 16, 3), dtype=np.uint8), (200, 150))
        cv2.imwrite(str(folder / name), picture)
    (folder / "c.png").write_bytes(b"broken")
    return folder


def one_face(photos):
    return [Faces(np.array([[40, 30, 60, 70]], np.float32), LANDMARKS[None], np.array([0.9], np.float32))] * len(photos)


def made(photos, out, find=one_face, choose=central):
    jobs = [Job(file, "Ann Lee") for file in scan([photos])]
    prepare_folder(out, SETTINGS)
    return make_crops(jobs, out, SETTINGS, find=find, choose=choose, decode=decode, readers=2)


def test_crops_are_the_embedders_with_a_margin(photos, tmp_path):
    report = made(photos, tmp_path / "out")
    assert (report.photos, report.crops) == (3, 2)
    assert [(path[-5:], reason) for path, reason in report.skipped] == [
        ("c.png", "no photo: unknown format or broken header")
    ]
    folder = read_crops_folder(tmp_path / "out")
    assert folder.people == ("Ann Lee",)
    assert folder.paths[0].startswith("Ann Lee/a-")
    photo = decode((photos / "a.png").read_bytes()).pixels
    expected = crop_faces(photo, LANDMARKS[None], TEMPLATE, 112)[0].astype(float)
    found = read_crop(folder.path(0), 140)[14:-14, 14:-14]
    assert np.abs(found - expected).mean() < 3  # JPEG of quality 97
    assert (tmp_path / "out").stat().st_mode & 0o77 == 0


def test_what_is_done_is_not_done_again(photos, tmp_path):
    made(photos, tmp_path / "out")
    looked = []

    def find(pictures):
        looked.extend(pictures)
        return one_face(pictures)

    assert made(photos, tmp_path / "out", find).unchanged == 3
    assert looked == []
    cv2.imwrite(str(photos / "b.png"), np.full((150, 200, 3), 90, np.uint8))  # changed
    cv2.imwrite(str(photos / "d.png"), np.full((150, 200, 3), 70, np.uint8))  # new
    next((tmp_path / "out" / "Ann Lee").glob("a-*")).unlink()  # lost
    report = made(photos, tmp_path / "out", find)
    assert (report.unchanged, report.crops, len(looked)) == (1, 3, 3)
    assert len(read_crops_folder(tmp_path / "out")) == 3


def test_a_line_that_was_cut_off_is_done_again(photos, tmp_path):
    made(photos, tmp_path / "out")
    manifest = tmp_path / "out" / "crops.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[:-1]) + lines[-1][:30])
    report = made(photos, tmp_path / "out")
    assert (report.unchanged, report.photos) == (2, 1)
    assert [json.loads(line)["photo"][-5:] for line in manifest.read_text().splitlines()] == ["a.png", "b.png", "c.png"]


def test_a_photo_of_an_album_gives_a_crop_for_each_face(photos, tmp_path):
    file = next(iter(scan([photos])))
    faces = tuple(Face(name, LANDMARKS + shift, (1, 2, 3, 4), 0.5) for name, shift in (("Bob/Ray", 0), ("", 9)))
    prepare_folder(tmp_path / "out", SETTINGS)

    def none_to_find(pictures):
        assert pictures == []
        return []

    jobs = [Job(file, faces=faces)]
    report = make_crops(
        jobs, tmp_path / "out", SETTINGS, find=none_to_find, choose=central, decode=decode, readers=1
    )  # fmt: skip
    assert report.crops == 2
    folder = read_crops_folder(tmp_path / "out")
    assert folder.people == ("~Bob_Ray-47c26b",)
    assert sorted(folder.labels.tolist()) == [-1, 0]


def test_who_is_meant_is_who_stands_in_the_middle():
    boxes = np.array([[0, 0, 90, 90], [80, 60, 30, 30]], np.float32)
    faces = Faces(boxes, np.zeros((2, 5, 2), np.float32), np.ones(2, np.float32))
    assert central(faces, 200, 150) == (1, None)
    assert central(Faces(boxes[:0], faces.landmarks[:0], faces.confidences[:0]), 200, 150) == (None, "no face")


def test_photos_without_the_face_are_told_of(photos, tmp_path):
    report = made(photos, tmp_path / "out", choose=lambda faces, width, height: (None, "two faces"))
    assert [reason for _, reason in report.skipped[:2]] == ["two faces", "two faces"]
    assert made(photos, tmp_path / "out").unchanged == 3


def test_crops_of_two_kinds_do_not_mix(tmp_path):
    prepare_folder(tmp_path / "out", SETTINGS)
    prepare_folder(tmp_path / "out", SETTINGS)
    with pytest.raises(CropsError, match="crops of 112 pixels with the template of sface: choose another --out"):
        prepare_folder(tmp_path / "out", CropsSettings(150, 14, TEMPLATE, "dlib"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("not ours")
    with pytest.raises(CropsError, match="is not empty and holds no crops"):
        prepare_folder(tmp_path / "other", SETTINGS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ann Lee", "Ann Lee"),
        ("Zoë", "Zoë"),
        ("", "_unnamed"),
        ("_unnamed", "~_unnamed-"),
        ("..", "~..-"),
        ("a/b", "~a_b-"),
    ],
)
def test_any_name_can_be_a_folder(name, expected):
    assert folder_name(name).startswith(expected)
    assert "/" not in folder_name(name)


def test_two_people_never_share_a_folder():
    assert len({folder_name(name) for name in ("a/b", "a_b", "a:b", "~a_b", " a_b")}) == 5
