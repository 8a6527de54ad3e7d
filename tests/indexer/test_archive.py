"""An album in memory: only what files still show, and never two models at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedder.model import choose_model
from embedder.rows import FaceRows, PhotoRow, face_id
from embedder.shards import write_shard
from indexer.album import Album, AlbumError, open_or_create
from indexer.archive import EmptyAlbum, read_archive, read_archive_even_empty
from indexer.lookalikes import find_lookalikes
from indexer.naming.identify import IdentifySettings
from indexer.naming.recognition import build_recogniser
from indexer.people import FaceRef, PeopleStore
from indexer.search.album_index import current_index

BOX = (10, 10, 80, 90)


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


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(1, 7)))
def test_the_order_of_shards_changes_no_answer(tmp_path_factory, order: list[int]):
    """Shards from several workers are merged by their names alone."""
    album = _album_of_six_shards(tmp_path_factory)
    expected = _answers(read_archive(album))
    for new, old in enumerate(order, 1):
        (album.shards / f"{old:06d}").rename(album.shards / f".moved-{new:06d}")
    for moved in album.shards.glob(".moved-*"):
        moved.rename(album.shards / moved.name.removeprefix(".moved-"))
    assert _answers(read_archive(album)) == expected


def _album_of_six_shards(tmp_path_factory) -> Album:
    """People 0, 1 and 2 with six photos each, of which three have a name; each shard shows all three."""
    root = tmp_path_factory.mktemp("six")
    spec = choose_model("sface")
    album = open_or_create(root / "album", spec.name, spec.fingerprint())
    rng = np.random.default_rng(5)
    refs: dict[int, list[FaceRef]] = {0: [], 1: [], 2: []}
    for shard in range(6):
        names = [f"{10 * shard + person:032x}" for person in refs]
        vectors = np.eye(128)[:3] + 0.07 * rng.standard_normal((3, 128))
        faces = FaceRows(
            np.array([face_id(name, BOX) for name in names]),
            names,
            np.array([BOX] * 3, np.int32),
            np.zeros((3, 5, 2), np.float32),
            np.ones(3, np.float32),
            np.ones(3, np.float32),
            (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16),
        )
        photos = [PhotoRow(name, f"/{name}.jpg", 1, 1, 100, 100, None, "ok", None, 1) for name in names]
        write_shard(album.shards, photos, faces, album.fingerprint)
        for person, (name, number) in enumerate(zip(names, faces.face_ids.tolist(), strict=True)):
            refs[person].append(FaceRef(number, name, BOX))
    with PeopleStore(album.people) as store:
        for person, name in enumerate(("Ann", "Bea", "Cat")):
            store.assign(refs[person][:3], name, add_to_existing=False)
    return album


def _answers(archive) -> tuple[dict[int, tuple[int, int, float]], list[int]]:
    """Who each face is, why and how surely, by its number; and what a search for the first one finds."""
    rows, faces = np.asarray(archive.embeddings), archive.faces.face_ids
    found = build_recogniser(archive).name(rows, archive.photo_numbers, np.ones(len(rows)), IdentifySettings())
    assert len(set(found.person.tolist())) == 3
    named = zip(found.person.tolist(), found.reason.tolist(), found.similarity.round(5).tolist(), strict=True)
    first = int(np.flatnonzero(faces == faces.min())[0])
    nobody = np.zeros(len(rows), bool)
    alike = find_lookalikes(archive, current_index(archive)[0], rows[first], unlike=nobody, least=0.5, most=9)
    return dict(zip(faces.tolist(), named, strict=True)), faces[alike.rows].tolist()


def test_photos_are_known_by_their_content(make_album):
    archive = read_archive(make_album({"a.png": [[1, 0]], "b.png": []}))
    held = archive.tables.contents.column("photo_id").to_pylist()
    assert archive.held_among([*held, "f" * 32]) == set(held) and len(held) == 2
    assert archive.held_among([]) == set()
