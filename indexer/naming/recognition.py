"""Name faces from what an archive knows: its named faces as the gallery, its own impostors for the calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.archive import Archive
from indexer.naming.assignment import Reason
from indexer.naming.calibration import Calibration, calibrate
from indexer.naming.gallery import Gallery, build_gallery
from indexer.naming.identify import IdentifySettings, Identities, album_impostors, identify, similarity_to


@dataclass(frozen=True)
class Recogniser:
    """What faces are compared with.

    Attributes:
        archive: the album.
        rows: int64 (G,), archive rows of the faces in the gallery, in the gallery's numbering.
        gallery: the named people.
        calibration: how often a stranger looks this much like one of them.
    """

    archive: Archive
    rows: np.ndarray
    gallery: Gallery
    calibration: Calibration

    def name(
        self, embeddings: np.ndarray, photos: np.ndarray, qualities: np.ndarray, settings: IdentifySettings
    ) -> Identities:
        """Name N faces.

        Args:
            embeddings: float32 (N, D), unit rows.
            photos: int64 (N,), faces of one photo have the same number.
            qualities: float (N,), 0–1.
            settings: what decides.
        """
        return identify(self.gallery, self.calibration, embeddings, photos, quality=qualities, settings=settings)

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


def build_recogniser(archive: Archive) -> Recogniser:
    """Prepare an archive for naming faces. With nobody named, every answer will be unknown."""
    rows = np.flatnonzero((archive.persons >= 0) & ~archive.ignored)
    people = archive.persons[rows]
    gallery = build_gallery(archive.embeddings[rows], people, archive.faces.qualities[rows])
    impostors = album_impostors(gallery, _shared_photo_impostors(archive, gallery))
    calibration = calibrate(archive.album.model, gallery.counts, impostors)
    return Recogniser(archive, rows, gallery, calibration)


def _shared_photo_impostors(archive: Archive, gallery: Gallery) -> np.ndarray:
    """Compare unnamed faces with the person who is named elsewhere in their photo: they are somebody else."""
    named = np.flatnonzero((archive.persons >= 0) & ~archive.ignored)
    unnamed = np.flatnonzero((archive.persons < 0) & ~archive.ignored)
    order = named[np.argsort(archive.photo_numbers[named], kind="stable")]
    photos = archive.photo_numbers[order]
    first = np.searchsorted(photos, archive.photo_numbers[unnamed], "left")
    last = np.searchsorted(photos, archive.photo_numbers[unnamed], "right")
    faces = np.repeat(unnamed, last - first)
    others = np.concatenate([order[a:b] for a, b in zip(first, last, strict=True)] or [np.empty(0, np.int64)])
    return similarity_to(gallery, archive.embeddings[faces], archive.persons[others])
