"""`visavis evaluate model`: the album's own model and another one on its named people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import indexer.commands.compare
from embedder.encode import Encoded
from embedder.model import ModelSpec, choose_model
from indexer.album import Album
from indexer.archive import read_archive
from indexer.people import PeopleStore


class Guessing:
    """A model whose embedding of a face is chance."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._draw = np.random.default_rng(0)

    def embed_known(self, photos: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]) -> list[Encoded]:
        rows = [self._draw.normal(size=(len(points), 128)).astype(np.float32) for points in landmarks]
        units = [row / np.linalg.norm(row, axis=1, keepdims=True) for row in rows]
        return [Encoded(row, np.ones(len(row)), np.ones(len(row))) for row in units]


@pytest.fixture
def album(make_album, monkeypatch: pytest.MonkeyPatch) -> Album:
    """Thirteen people with three photos each, all named."""
    monkeypatch.setattr(indexer.commands.compare, "load_spec", lambda spec, device: Guessing(spec))
    draw = np.random.default_rng(1)
    centres = draw.normal(size=(13, 20))
    names = {
        f"{person:02d}-{n}.png": [centres[person] + 0.2 * draw.normal(size=20)]
        for person in range(13)
        for n in range(3)
    }
    made: Album = make_album(names)
    archive = read_archive(made)
    with PeopleStore(made.people) as store:
        for person in range(13):
            refs = [archive.ref(r) for r in range(39) if Path(archive.paths[r]).name.startswith(f"{person:02d}-")]
            store.assign(refs, f"Person {person}", add_to_existing=False, kind="name")
    return made


def digest(root: Path) -> str:
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("people.sqlite"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def test_a_model_that_guesses_is_worse_and_the_album_stays(album: Album, run) -> None:
    before = digest(album.root)
    result = run("evaluate", "model", "dlib", "--album", album.root, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["verdict"], found["people"], found["faces"], found["lost_faces"]) == ("worse", 13, 39, 0)
    assert {"name", "before", "after", "spread", "verdict"} == set(found["figures"][0])
    assert digest(album.root) == before
    table = run("evaluate", "model", "dlib", "--album", album.root)
    assert "true pairs found at one false in 100" in table.stdout and "keep the present one" in table.stderr


def test_photos_that_are_gone_are_left_out(album: Album, run) -> None:
    (album.root.parent / "photos" / "00-0.png").unlink()
    found = json.loads(run("evaluate", "model", "dlib", "--album", album.root, "--json").stdout)
    assert (found["faces"], found["lost_faces"]) == (38, 1)


def test_too_few_people_are_refused_with_the_remedy(album: Album, run) -> None:
    result = run("evaluate", "model", "dlib", "--album", album.root, "--held-out", "0.3")
    assert result.exit_code == 1
    assert "of the people who were held out have two photos" in result.stderr and "--held-out 1" in result.stderr


def test_the_share_is_that_of_the_weight_file(tmp_path: Path) -> None:
    from indexer.commands.compare import _share_held_out
    from trainer.networks import NetworkSettings, build_network
    from trainer.weights import Description, save_weights

    settings = NetworkSettings("small", input_size=32, dimension=8, width=8, depths=(1,))
    path = tmp_path / "a.safetensors"
    for recipe, expected in (({"held out": 0.4}, 0.4), ({"epochs": 3}, 0.25), ({}, 1.0)):
        save_weights(path, build_network(settings), Description(settings, "MIT", recipe=recipe))
        assert _share_held_out(choose_model(str(path))) == expected
    assert _share_held_out(choose_model("sface")) == 1.0
