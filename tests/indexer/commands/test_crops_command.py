"""`visavis crops` as a user meets it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from indexer.archive import read_archive
from indexer.people import PeopleStore
from trainer.crops import UNNAMED, read_crop, read_crops_folder


@pytest.fixture
def people(tmp_path, portraits):
    for name, portrait in (("Eileen", "astronaut"), ("Grace", "hopper")):
        folder = tmp_path / "people" / name
        folder.mkdir(parents=True)
        Image.fromarray(portraits[portrait]).save(folder / "1.png")
        Image.fromarray(portraits[portrait][:, ::-1]).save(folder / "2.png")
    Image.fromarray(np.zeros((200, 200, 3), np.uint8)).save(tmp_path / "people" / "Grace" / "3.png")
    return tmp_path / "people"


def test_folders_become_crops(people, tmp_path, run, weights):
    weights("centerface")
    result = run("crops", people, "--out", tmp_path / "crops", "--network", "dlib", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert "not used" in result.stderr and "3.png: no face" in result.stderr
    assert "4 new crops, 0 photos unchanged, 1 photo not used" in result.stderr
    assert "now holds 4 crops of 2 people" in result.stderr
    assert result.stdout == ""
    folder = read_crops_folder(tmp_path / "crops")
    assert (folder.people, folder.settings.size, folder.settings.margin) == (("Eileen", "Grace"), 150, 19)
    crops = [read_crop(folder.path(row), 188) for row in range(4)]
    # Mirrored photos give mirrored crops, so the faces lie where they should.
    straight, other = (crop[30:-30, 30:-30].astype(float) for crop in crops[:2])
    alike, unlike = (np.corrcoef(straight.ravel(), view.ravel())[0, 1] for view in (other[:, ::-1], other))
    assert alike > 0.8 > unlike
    again = run("crops", people, "--out", tmp_path / "crops", "--network", "dlib", "--json")
    assert "0 new crops, 5 photos unchanged" in again.stderr
    other = run("crops", people, "--out", tmp_path / "crops", "--network", "sface")
    assert other.exit_code == 1
    assert "holds crops of 150 pixels with the template of dlib: choose another --out" in other.stderr


def test_an_albums_named_people_become_crops(make_album, tmp_path, run):
    album = make_album({"a.png": [[1, 0], [0, 0, 1]], "b.png": [[1, 0.2]]})
    nobody = run("crops", "--album", album.root, "--out", tmp_path / "crops")
    assert nobody.exit_code == 1
    assert "nobody has a name in" in nobody.stderr
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0), archive.ref(2)], "Ann Lee", add_to_existing=False)
    result = run("crops", "--album", album.root, "--out", tmp_path / "crops")
    assert result.exit_code == 0, result.stderr
    folder = read_crops_folder(tmp_path / "crops")
    assert folder.people == ("Ann Lee",)
    assert len(folder) == 2
    result = run("crops", "--album", album.root, "--out", tmp_path / "all", "--all-faces")
    folder = read_crops_folder(tmp_path / "all")
    assert sorted(path.split("/")[0] for path in folder.paths) == ["Ann Lee", "Ann Lee", UNNAMED]
    photo = json.loads((tmp_path / "all" / "crops.jsonl").read_text().splitlines()[0])
    assert [crop["person"] for crop in photo["crops"]] == ["Ann Lee", ""]


def test_misuse_says_what_is_right(people, tmp_path, run):
    assert run("crops", "--out", tmp_path / "x").exit_code == 2
    both = run("crops", people, "--album", people, "--out", tmp_path / "x")
    assert (both.exit_code, "say either PEOPLE" in both.stderr) == (2, True)
    assert run("crops", people, "--all-faces", "--out", tmp_path / "x").exit_code == 2
    shutil.rmtree(people / "Eileen"), shutil.rmtree(people / "Grace")
    empty = run("crops", people, "--out", tmp_path / "x")
    assert (empty.exit_code, "holds no folder of a person" in empty.stderr) == (1, True)
    (people / "Ann").mkdir()
    no_photo = run("crops", people, "--out", tmp_path / "x")
    assert (no_photo.exit_code, "holds no photo: expected" in no_photo.stderr) == (1, True)
