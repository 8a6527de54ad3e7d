"""Name faces from what an archive knows: its named faces as the gallery, its own impostors for the calibration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from indexer.archive import Archive
from indexer.naming.assignment import Reason
from indexer.naming.barred import beside
from indexer.naming.calibration import Calibration, calibrate
from indexer.naming.gallery import Gallery, build_gallery
from indexer.naming.identify import (
    IdentifySettings,
    Identities,
    album_impostors,
    identify,
    impostor_limit,
    similarity_to,
)
from indexer.naming.stored import FORMAT, pack, unpack


@dataclass(frozen=True)
class Recogniser:
    """What faces are compared with.

    Attributes:
        archive: the album.
        rows: int64 (G,), archive rows of the faces in the gallery, in the gallery's numbering.
        gallery: the named people.
        calibration: how often a stranger looks this much like one of them.
        contents: what both were made from, as ``contents`` names it.
    """

    archive: Archive
    rows: np.ndarray
    gallery: Gallery
    calibration: Calibration
    contents: str

    def arrays(self) -> dict[str, np.ndarray]:
        """Give what is dear to compute, to be stored and given to ``build_recogniser`` another time."""
        return pack(self.gallery, self.calibration, self.contents)

    def name(
        self,
        embeddings: np.ndarray,
        photos: np.ndarray,
        qualities: np.ndarray,
        settings: IdentifySettings,
        *,
        barred: np.ndarray | None = None,
    ) -> Identities:
        """Name N faces.

        Args:
            embeddings: float32 (N, D), unit rows.
            photos: int64 (N,), faces of one photo have the same number.
            qualities: float (N,), 0–1.
            settings: what decides.
            barred: int64 (B, 2), pairs of a face and a person who it is not; for faces of the album
                ``indexer.naming.barred.barred_people`` gives them.
        """
        return identify(
            self.gallery, self.calibration, embeddings, photos, quality=qualities, barred=barred, settings=settings
        )

    def explain(self, found: Identities, face: int) -> str | None:
        """Say why face number ``face`` has no name; None if it has one."""
        names = self.archive.people.persons
        reason = Reason(int(found.reason[face]))
        best, second = (names.get(int(p[face]), "nobody") for p in (found.best_person, found.second_person))
        similarity = float(found.similarity[face])
        if reason is Reason.NAMED:
            return None
        if not len(self.gallery.people):
            return "nobody in the album has a name yet"
        if reason is Reason.AMBIGUOUS:
            return f"between {best} ({similarity:.2f}) and {second} ({similarity - float(found.margin[face]):.2f})"
        if reason is Reason.POOR_FACE:
            return f"too small or blurred to tell; nearest is {best} ({similarity:.2f})"
        if reason is Reason.TAKEN:
            return f"most like {best} ({similarity:.2f}), who is another face of this photo"
        return f"nobody near enough; nearest is {best} ({similarity:.2f})"


def build_recogniser(archive: Archive, stored: Mapping[str, np.ndarray] | None = None) -> Recogniser:
    """Prepare an archive for naming faces. With nobody named, every answer will be unknown.

    Args:
        stored: what ``Recogniser.arrays`` gave some time ago. It is used if the album is what it was then.
    """
    rows = np.flatnonzero((archive.persons >= 0) & ~archive.ignored)
    now = contents(archive)
    known = None if stored is None else unpack(stored, now, archive.embeddings[rows])
    if known is not None:
        return Recogniser(archive, rows, *known, now)
    gallery = build_gallery(archive.embeddings[rows], archive.persons[rows], archive.faces.qualities[rows])
    impostors = album_impostors(gallery, _shared_photo_impostors(archive, gallery))
    return Recogniser(archive, rows, gallery, calibrate(archive.album.model, gallery.counts, impostors), now)


def contents(archive: Archive) -> str:
    """Name everything that a gallery and its calibration are made from: 32 hex digits.

    The embeddings are left out: a face_id and the model's fingerprint say what they are.
    """
    album = archive.album
    digest = hashlib.blake2b(f"{FORMAT} {album.model} {album.fingerprint}".encode(), digest_size=16)
    for column in (archive.faces.face_ids, archive.photo_numbers, archive.persons, archive.ignored):
        digest.update(np.ascontiguousarray(column).data)
    digest.update(np.ascontiguousarray(archive.faces.qualities, np.float32).data)
    return digest.hexdigest()


def _shared_photo_impostors(archive: Archive, gallery: Gallery) -> np.ndarray:
    """Compare unnamed faces with the person who is named elsewhere in their photo: they are somebody else."""
    unnamed = np.flatnonzero((archive.persons < 0) & ~archive.ignored)
    pairs = beside(unnamed, archive.photo_numbers, archive.persons)
    limit = impostor_limit(gallery)
    if len(pairs) > limit:
        pairs = pairs[np.linspace(0, len(pairs) - 1, limit).astype(np.int64)]
    return similarity_to(gallery, archive.embeddings[unnamed[pairs[:, 0]]], pairs[:, 1])
