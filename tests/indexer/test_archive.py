"""An album in memory: only what files still show, and never two models at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from embedder.rows import PhotoRow
from embedder.shards import write_shard
from indexer.album import Album, AlbumError
from indexer.archive import EmptyAlbum, current_index, read_archive, read_archive_even_empty
from indexer.people import PeopleStore


def test_faces_and_photos_belong_together(make_album):
    album = make_album({"a.png": [[1, 0], [0, 1]], "b.png": [[1, 1]]})
    archive = read_archive(album)
    assert [Path(p).name for p in archive.paths] == ["a.png", "a.png", "b.png"]
    assert archive.photo_numbers[0] == archive.photo_numbers[1] != archive.photo_numbers[2]
    np.testing.assert_allclose(np.linalg.norm(archive.embeddings, axis=1), 1, atol=1e-6)
    assert archive.box(1) == [110, 10, 80, 90]
    assert archive.ref(1).face_id == archive.faces.face_ids[1]


def test_named_and_ignored_faces_are_marked(make_album):
    album = make_album({"a.png": [[1, 0], [0, 1]], "b.png": [[1, 1]]})
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(2)], "Ann Lee", add_to_existing=False)
        store.ignore([archive.ref(0)])
    archive = read_archive(album)
    assert archive.ignored.tolist() == [True, False, False]
    assert archive.people.persons[int(archive.persons[2])] == "Ann Lee"
    assert archive.persons[:2].tolist() == [-1, -1]


def test_a_changed_photo_loses_its_old_faces(make_album):
    album: Album = make_album({"a.png": [[1, 0]], "b.png": [[0, 1]]})
    archive = read_archive(album)
    changed = PhotoRow("0" * 32, archive.paths[0], 1, 2, 3, 4, None, "ok", None, 0)
    from embedder.rows import no_faces

    write_shard(album.shards, [changed], no_faces(128), album.fingerprint)
    assert [Path(p).name for p in read_archive(album).paths] == ["b.png"]


def test_an_album_without_faces_says_how_to_fill_it(make_album):
    album = make_album({"a.png": []})
    with pytest.raises(EmptyAlbum, match="holds 1 photos and no face: add photos with `visavis index"):
        read_archive(album)
    assert len(read_archive_even_empty(album).faces) == 0


def test_a_shard_of_another_model_is_refused_by_name(make_album, tmp_path: Path):
    album = make_album({"a.png": [[1, 0]]})
    manifest = album.shards / "000001" / "manifest.json"
    shutil.copytree(album.shards / "000001", album.shards / "000002")
    (album.shards / "000002" / "manifest.json").write_text(manifest.read_text().replace(album.fingerprint, "beef"))
    with pytest.raises(AlbumError, match="000002 holds embeddings of model beef"):
        read_archive(album)


def test_the_index_is_kept_and_built_anew_when_it_no_longer_fits(make_album):
    album = make_album({"a.png": [[1, 0]], "b.png": [[0, 1]]})
    archive = read_archive(album)
    assert current_index(archive)[1] is True
    assert current_index(archive)[1] is False
    index_file = album.index / "faces.faiss"
    index_file.write_bytes(index_file.read_bytes()[:-1])
    index, built = current_index(archive)
    assert built
    assert index.search(archive.embeddings, 1)[1][:, 0].tolist() == [0, 1]
    make_album({"c.png": [[1, 1]]})
    assert current_index(read_archive(album))[1] is True
