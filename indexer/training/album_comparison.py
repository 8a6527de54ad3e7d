"""Compare the model of an album with another one on its named people, whose faces are cut out and embedded again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from embedder.decode import Decode, decode
from embedder.model import FaceModel
from embedder.paths import file_path
from embedder.pipeline import EmbedSettings
from embedder.reembed import embed_faces_of, paths_by_content
from indexer.archive import Archive
from indexer.training.comparison import LEAST_PEOPLE, Comparison, compare_models, people_with_two_photos


class ComparisonError(Exception):
    """An album with too few named people to compare two models on."""


@dataclass(frozen=True)
class AlbumComparison:
    """What came out.

    Attributes:
        comparison: the figures.
        lost: faces that were left out, as no file shows them any more.
    """

    comparison: Comparison
    lost: int


def people_to_compare(archive: Archive, held_out: Callable[[str], bool] | None) -> int:
    """Count the people of an album on whom two models can be compared: ``LEAST_PEOPLE`` are needed.

    Args:
        archive, held_out: as for ``faces_to_compare``.
    """
    rows = _named_faces(archive, held_out)
    return people_with_two_photos(archive.persons[rows], archive.photo_numbers[rows])


def _named_faces(archive: Archive, held_out: Callable[[str], bool] | None) -> np.ndarray:
    names = archive.people.persons
    chosen = [person for person, name in names.items() if held_out is None or held_out(name)]
    return np.flatnonzero(np.isin(archive.persons, chosen) & ~archive.ignored)


def faces_to_compare(archive: Archive, held_out: Callable[[str], bool] | None) -> np.ndarray:
    """Choose the named faces of an album on which two models are compared.

    Args:
        archive: the album.
        held_out: whether a person, by name, was left out of training; None takes everybody.
    Returns:
        int64 (M,), rows.
    Raises:
        ComparisonError: if they are of too few people.
    """
    people = people_to_compare(archive, held_out)
    if people < LEAST_PEOPLE:
        which = "people" if held_out is None else "of the people who were held out"
        raise ComparisonError(
            f"{archive.album.root}: {people} {which} have two photos with their name or more; {LEAST_PEOPLE} are "
            "needed to compare two models. Name more faces, or say --held-out 1 if the model was not trained here"
        )
    return _named_faces(archive, held_out)


def compare_on_album(
    archive: Archive,
    rows: np.ndarray,
    model: FaceModel,
    on_progress: Callable[[int, int], None] = lambda photos, faces: None,
    *,
    settings: EmbedSettings,
    decode: Decode = decode,
) -> AlbumComparison:
    """Measure the album's own model and another one on its named faces.

    Args:
        archive: the album.
        rows: from ``faces_to_compare``.
        model: the other one, with the same detector.
        on_progress: called with photos and faces so far.
        settings, decode: as for ``embedder.reembed.reembed_shards``.
    Raises:
        ComparisonError: if too few photos are still there.
    """
    paths = {name: [file_path(text) for text in texts] for name, texts in paths_by_content(archive.tables).items()}
    ids = archive.tables.contents.column("photo_id").to_pylist()
    names = [ids[content] for content in archive.faces.contents[rows].tolist()]
    after = embed_faces_of(
        names, archive.faces.landmarks[rows], model, paths, on_progress, settings=settings, decode=decode
    )
    there = np.flatnonzero(after.any(axis=1))
    kept = rows[there]
    try:
        found = compare_models(
            np.asarray(archive.embeddings[kept]),
            after[there],
            archive.persons[kept],
            _by_time(archive, kept),
            (archive.album.model, model.spec.name),
        )
    except ValueError as error:
        raise ComparisonError(f"{archive.album.root}: {error}") from error
    return AlbumComparison(found, len(rows) - len(kept))


def _by_time(archive: Archive, rows: np.ndarray) -> np.ndarray:
    """Number the photos of faces in the order in which they were taken, those without a time last: int64 (M,)."""
    times = archive.taken_at[rows].astype(np.int64)
    times[np.isnat(archive.taken_at[rows])] = np.iinfo(np.int64).max
    photos = archive.photo_numbers[rows]
    order = np.unique(np.stack([times, photos], axis=1), axis=0)
    place = {int(photo): number for number, photo in enumerate(order[:, 1])}
    return np.array([place[int(photo)] for photo in photos], np.int64)
