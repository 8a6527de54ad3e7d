"""What a human said wins, and bars others; the rest is the recogniser's word."""

from __future__ import annotations

import dataclasses
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from embedder.shards import list_shards, read_faces, read_photos, write_shard
from indexer.archive import read_archive
from indexer.named_faces import AlbumFaces, from_left, name_album_faces
from indexer.naming.identify import IdentifySettings
from indexer.naming.recognition import build_recogniser
from indexer.people import PeopleStore

ANN, BEA = "Ann Lee", "Bea Ito"


@pytest.fixture
def said(make_album):
    """An album in which somebody is named wrongly, somebody is rejected, and somebody stands beside herself."""
    album = make_album(
        {
            "ann.png": [[1, 0]],
            "bea.png": [[0, 1]],
            "wrong.png": [[0, 1, 0.1]],  # looks like Bea, and was said to be Ann
            "not.png": [[1, 0.05]],  # looks like Ann, and was said not to be her
            "beside.png": [[1, 0.1], [1, 0.12]],  # the left one was said to be Ann
            "plain.png": [[0.05, 1]],
            "nobody.png": [[0, 0, 1]],
        }
    )
    archive = read_archive(album)
    row = {Path(path).name: number for number, path in reversed(list(enumerate(archive.paths)))}
    with PeopleStore(album.people) as store:
        for name, person in (("ann.png", ANN), ("bea.png", BEA), ("wrong.png", ANN), ("beside.png", ANN)):
            store.assign([archive.ref(row[name])], person, add_to_existing=True)
        ann = store.state().person_named(ANN)
        store.reject([archive.ref(row["not.png"])], ann)
    return album


def _named(album) -> dict[str, list[dict]]:
    archive = read_archive(album)
    recogniser = build_recogniser(archive)
    rows = np.arange(len(archive.faces))
    lines = name_album_faces(AlbumFaces.of(recogniser, rows, np.zeros(len(rows), np.int64)), IdentifySettings())
    by_photo: dict[str, list[dict]] = {}
    for line in lines:
        by_photo.setdefault(Path(line["photo"]).name, []).append(line)
    return by_photo


def test_who_was_named_has_this_name_whomever_they_look_like(said):
    lines = _named(said)
    for name, person in (("ann.png", ANN), ("bea.png", BEA), ("wrong.png", ANN)):
        line = lines[name][0]
        assert (line["person"], line["said"], line["reason"], line["most_like"]) == (person, True, None, person)
    assert lines["wrong.png"][0]["similarity"] < lines["ann.png"][0]["similarity"]


def test_a_rejected_person_is_not_given_and_the_reason_says_so(said):
    line = _named(said)["not.png"][0]
    assert line["person"] is None and not line["said"]
    assert line["reason"] == f"most like {ANN} ({line['similarity']:.2f}), and was said not to be {ANN}"


def test_the_other_face_of_a_photo_does_not_get_the_name_of_the_first(said):
    left, right = _named(said)["beside.png"]
    assert (left["person"], left["said"]) == (ANN, True)
    assert right["person"] is None and "who is another face of this photo" in right["reason"]


def test_the_rest_is_found(said):
    lines = _named(said)
    plain, nobody = lines["plain.png"][0], lines["nobody.png"][0]
    assert (plain["person"], plain["said"]) == (BEA, False) and plain["probability"] > 0.99
    assert Path(plain["nearest"][0]["photo"]).name == "bea.png"
    assert plain["nearest"][0]["similarity"] == pytest.approx(1 / np.hypot(1, 0.05), abs=1e-3)
    assert nobody["person"] is None and nobody["reason"].startswith("nobody near enough")


def test_a_named_face_takes_no_name_from_another(said):
    """The face that looks like Bea and was said to be Ann does not compete with the real Bea of its photo."""
    archive = read_archive(said)
    album = said
    with PeopleStore(album.people) as store:
        right = next(row for row, path in enumerate(archive.paths) if "beside" in path) + 1
        store.move([archive.ref(right - 1)], store.state().person_named(BEA))  # a likeness of Ann called Bea
    left, right_line = _named(album)["beside.png"]
    assert (left["person"], left["said"]) == (BEA, True)
    assert right_line["person"] == ANN


def test_blocks_give_the_same_answers_as_all_at_once(said):
    archive = read_archive(said)
    recogniser = build_recogniser(archive)
    rows = np.arange(len(archive.faces))
    faces = AlbumFaces.of(recogniser, rows, np.arange(len(rows)))
    at_once = name_album_faces(faces, IdentifySettings())
    cuts = [0, 1, 4, 6, len(rows)]  # not through beside.png, which is 4 and 5
    parts = [name_album_faces(faces.part(a, b), IdentifySettings()) for a, b in pairwise(cuts)]
    assert [line for part in parts for line in part] == at_once
    assert name_album_faces(faces.part(2, 2), IdentifySettings()) == []
    assert [line["group"] for line in at_once] == [None, *range(1, len(rows))]


def test_a_damaged_embedding_is_unknown_and_the_others_are_named(said):
    """NaN and zeros, as a shard may hold them whose writer was faulty, never get a name."""
    shard = list_shards(said.shards)[0]
    photos, faces = read_photos(shard), read_faces(shard)
    embeddings = faces.embeddings.copy()
    embeddings[6] = np.nan  # plain.png
    embeddings[7] = 0  # nobody.png
    shutil.rmtree(shard)
    write_shard(said.shards, photos, dataclasses.replace(faces, embeddings=embeddings), said.fingerprint)
    lines = _named(said)
    for name in ("plain.png", "nobody.png"):
        assert lines[name][0]["person"] is None
        assert lines[name][0]["reason"] == "its embedding is damaged: `visavis verify` finds the shard"
    assert lines["bea.png"][0]["person"] == BEA


def test_with_nobody_named_there_is_a_line_for_each_all_the_same(make_album):
    lines = _named(make_album({"a.png": [[1, 0], [0, 1]], "b.png": [[1, 1]]}))
    assert [line["reason"] for part in lines.values() for line in part] == ["nobody in the album has a name yet"] * 3
    assert lines["b.png"][0]["most_like"] is None and lines["b.png"][0]["nearest"] == []


def test_from_left_goes_by_the_box(make_album):
    archive = read_archive(make_album({"a.png": [[1, 0], [0, 1], [1, 1]]}))
    assert from_left(archive, [2, 0, 1]).tolist() == [0, 1, 2]
    assert from_left(archive, []).shape == (0,)
