"""`status` says how the album is searched."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

from indexer.archive import read_archive
from indexer.search import album_index
from indexer.search.album_index import Faces, describe_index, refresh_index


@pytest.fixture
def album(make_album):
    directions = np.random.default_rng(0).standard_normal((60, 8))
    return make_album({f"{i}.png": directions[3 * i : 3 * i + 3].tolist() for i in range(20)})


def _index_line(run, album) -> str:
    result = run("status", "--album", album.root, "--json")
    assert result.exit_code == 0, result.output
    return str(json.loads(result.stdout)["index"])


def test_a_small_album_is_searched_exactly(run, album):
    assert _index_line(run, album) == "exact"
    assert "index            exact\n" in run("status", "--album", album.root).stdout


def test_a_large_album_shows_how_well_its_index_does(run, album, monkeypatch):
    monkeypatch.setattr(album_index, "describe_index", functools.partial(describe_index, exact_up_to=10))
    assert _index_line(run, album) == "to be built"
    archive = read_archive(album)
    faces = Faces(album.fingerprint, archive.faces.face_ids, archive.embeddings)
    refresh_index(album.index, faces, None, floor=-2.0, exact_up_to=10)
    line = _index_line(run, album)
    assert line.startswith("approximate, 15 cells of which ")
    assert "first neighbour's identity as in exact search for 100.00 % of 60 faces, up to date" in line
    path = next(album.index.glob("cells-*.faiss"))
    path.write_bytes(path.read_bytes()[:-1])
    assert _index_line(run, album) == f"to be built: {path} is not what was written"
