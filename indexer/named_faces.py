"""Who faces are, as `visavis who` tells it: what a human said first, else what the recogniser finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.archive import Archive
from indexer.naming.assignment import Reason
from indexer.naming.barred import barred_people
from indexer.naming.identify import UNKNOWN, IdentifySettings, Identities, similarity_to
from indexer.naming.recognition import Recogniser

if TYPE_CHECKING:
    from embedder.model import EmbeddedFaces

Line = dict[str, Any]
_DAMAGED = "its embedding is damaged: `visavis verify` finds the shard"
_UNIT_TOLERANCE = 0.01  # float16 rows of unit length are within 0.001


@dataclass(frozen=True)
class AlbumFaces:
    """Faces of the album that are to be named, with what must not be asked twice for a million of them.

    Attributes:
        recogniser: what they are compared with.
        rows: int64 (N,), archive rows, each once, the faces of one photo side by side.
        barred: int64 (B, 2), pairs of a position in ``rows`` and a person that the face is not; by position.
        groups: int64 (N,), the group of each, 0 for none.
    """

    recogniser: Recogniser
    rows: np.ndarray
    barred: np.ndarray
    groups: np.ndarray

    @staticmethod
    def of(recogniser: Recogniser, rows: np.ndarray, groups: np.ndarray) -> AlbumFaces:
        """Look up what was said about the faces at ``rows``; ``groups`` is that of each face of the archive."""
        return AlbumFaces(recogniser, rows, barred_people(recogniser.archive, rows), groups[rows])

    def part(self, start: int, stop: int) -> AlbumFaces:
        """Give the faces from position ``start`` up to ``stop``."""
        first, last = np.searchsorted(self.barred[:, 0], [start, stop])
        barred = self.barred[first:last] - [start, 0]
        return AlbumFaces(self.recogniser, self.rows[start:stop], barred, self.groups[start:stop])


def name_album_faces(faces: AlbumFaces, settings: IdentifySettings) -> list[Line]:
    """Name faces of the album: a line for each, in their order.

    A face that a human named has that name and ``said``; its similarity is that with the person it was said to
    be. No other face of its photo is given this name, nor one that was said not to be this person.
    """
    recogniser, rows = faces.recogniser, faces.rows
    archive = recogniser.archive
    embeddings = archive.embeddings[rows]
    whole = np.abs(np.linalg.norm(embeddings, axis=1) - 1) <= _UNIT_TOLERANCE  # False for what is no number
    persons = archive.persons[rows]
    said = persons >= 0
    # Whoever has a name takes part in no choice, so each is a photo of its own.
    photos = np.where(said, -1 - np.arange(len(rows)), archive.photo_numbers[rows])
    asked = np.flatnonzero(whole)
    place = np.full(len(rows), -1)
    place[asked] = np.arange(len(asked))
    barred = faces.barred[whole[faces.barred[:, 0]]]
    barred = np.stack([place[barred[:, 0]], barred[:, 1]], axis=1)
    qualities = archive.faces.qualities[rows]
    found = recogniser.name(embeddings[asked], photos[asked], qualities[asked], settings, barred=barred)
    evidence = _evidence(recogniser, found, embeddings[asked])
    lines = []
    for position, row in enumerate(rows.tolist()):
        about: Line = {"photo": archive.paths[row], "box": archive.box(row)}
        about["confidence"] = round(float(archive.faces.confidences[row]), 4)
        if whole[position]:
            line: Line = about | _answer(recogniser, found, int(place[position]), evidence[place[position]])
            if line["person"] is None:
                line["reason"] = _said_not(recogniser, row, found, int(place[position])) or line["reason"]
        else:
            line = about | _no_answer(_DAMAGED)
        line["face_id"], line["group"] = int(archive.faces.face_ids[row]), int(faces.groups[position]) or None
        lines.append(line)
    _put_what_was_said(recogniser, lines, persons, embeddings, np.flatnonzero(said & whole))
    return lines


def name_new_faces(recogniser: Recogniser, photo: str, faces: EmbeddedFaces, settings: IdentifySettings) -> list[Line]:
    """Name the faces of a photo that the album does not hold: a line for each, from left to right."""
    one_photo = np.zeros(len(faces), np.int64)
    found = recogniser.name(faces.embeddings, one_photo, faces.qualities, settings)
    evidence = _evidence(recogniser, found, faces.embeddings)
    return [
        {
            "photo": photo,
            "box": [int(v) for v in faces.boxes_xywh[face]],
            "confidence": round(float(faces.confidences[face]), 4),
            **_answer(recogniser, found, face, evidence[face]),
        }
        for face in sorted(range(len(faces)), key=lambda face: faces.boxes_xywh[face].tolist())
    ]


def from_left(archive: Archive, rows: Sequence[int]) -> np.ndarray:
    """Sort the faces of a photo from left to right: int64."""
    return np.array(sorted(rows, key=lambda row: (archive.box(row), int(archive.faces.face_ids[row]))), np.int64)


def _evidence(recogniser: Recogniser, found: Identities, embeddings: np.ndarray) -> np.ndarray:
    """Give the cosine of each of N faces with each of its k nearest named ones: float32 (N, k)."""
    if not len(recogniser.rows):
        return np.zeros(found.nearest.shape, np.float32)
    rows = recogniser.rows[found.nearest]  # −1 stands for none; what it gives is not told
    near = recogniser.archive.embeddings[rows.ravel()].reshape(*rows.shape, embeddings.shape[1])
    return np.asarray(np.einsum("nkd,nd->nk", near, embeddings))


def _answer(recogniser: Recogniser, found: Identities, face: int, alike: np.ndarray) -> Line:
    """Tell what was found for face number ``face``; who it is most like is told of an unknown one too."""
    archive = recogniser.archive
    names = archive.people.persons
    nearest = found.nearest[face]
    evidence = zip(recogniser.rows[nearest[nearest >= 0]].tolist(), alike.tolist(), strict=False)
    return {
        "person": names.get(int(found.person[face])),
        "said": False,
        "most_like": names.get(int(found.best_person[face])),
        "similarity": round(float(found.similarity[face]), 4),
        "probability": round(float(found.probability[face]), 6),
        "reason": recogniser.explain(found, face),
        "nearest": [
            {
                "photo": archive.paths[row],
                "box": archive.box(row),
                "person": names.get(int(archive.persons[row])),
                "similarity": round(similarity, 4),
            }
            for row, similarity in evidence
        ],
        "face_id": None,
        "group": None,
    }


def _no_answer(reason: str) -> Line:
    unknown = {"person": None, "said": False, "most_like": None, "similarity": -1.0, "probability": 0.0}
    return {**unknown, "reason": reason, "nearest": [], "face_id": None, "group": None}


def _said_not(recogniser: Recogniser, row: int, found: Identities, face: int) -> str | None:
    """Give the reason for no name if the face was said not to be the person whom it is most like."""
    archive, best = recogniser.archive, int(found.best_person[face])
    if found.reason[face] != Reason.TAKEN or best == UNKNOWN:
        return None
    if (int(archive.heads[row]), best) not in archive.people.not_whose:
        return None
    name = archive.people.persons[best]
    return f"most like {name} ({float(found.similarity[face]):.2f}), and was said not to be {name}"


def _put_what_was_said(
    recogniser: Recogniser, lines: list[Line], persons: np.ndarray, embeddings: np.ndarray, said: np.ndarray
) -> None:
    names = recogniser.archive.people.persons
    similarity = np.clip(similarity_to(recogniser.gallery, embeddings[said], persons[said]), -1, 1)
    probability = recogniser.calibration.probability(similarity)
    for position, alike, sure in zip(said.tolist(), similarity.tolist(), probability.tolist(), strict=True):
        name = names[int(persons[position])]
        lines[position] |= {
            "person": name,
            "said": True,
            "most_like": name,
            "similarity": round(alike, 4),
            "probability": round(sure, 6),
            "reason": None,
            "nearest": [],
        }
