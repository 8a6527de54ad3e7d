"""What was said of faces that the album does not have: for photos that were to come, or of another detector's boxes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from indexer.archive import Archive
from indexer.people import Action, FaceRef, PeopleState, PeopleStore


@dataclass(frozen=True)
class CarriedOver:
    """What became of facts that waited.

    Attributes:
        action: that carried them over; None if none could be.
        moved: faces of which something was said, and which were found under another id.
        lost: faces of which something was said, and which the album still does not have.
    """

    action: Action | None
    moved: int
    lost: int


def carry_over(archive: Archive) -> CarriedOver:
    """Let what was said of faces that are not in the album hold for those that stand in the same places.

    Only photos that the album has, and faces of which nothing was said, can take it. The rest goes on waiting.
    """
    waiting = _without_face(archive, archive.people)
    if not waiting:
        return CarriedOver(None, 0, 0)
    with PeopleStore(archive.album.people) as store:
        present = faces_now(archive, {face.photo_id for face in store.faces(waiting).values()})
        action = store.reanchor(present) if present else None
        left = waiting if action is None else _without_face(archive, store.state())
    return CarriedOver(action, len(set(waiting).difference(left)), len(left))


def faces_now(archive: Archive, photo_ids: Iterable[str]) -> dict[str, list[FaceRef]]:
    """Give the faces that photos have in this album; photos without any are left out."""
    rows_of = {photo_id: archive.rows_of_photo(photo_id) for photo_id in photo_ids}
    return {photo_id: [archive.ref(row) for row in rows] for photo_id, rows in rows_of.items() if rows}


def _without_face(archive: Archive, people: PeopleState) -> list[int]:
    """List the faces that something holds for, and that the album does not have."""
    faces = sorted(people.faces())
    rows = archive.rows_of_faces(faces)
    return [face for face, row in zip(faces, rows.tolist(), strict=True) if row < 0]
