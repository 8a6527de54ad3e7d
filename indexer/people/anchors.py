"""Find a face again by its place: photo and box. Ids change with the detector, places hardly do. Opens no file."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Box = tuple[int, int, int, int]
"""x, y, width, height in whole pixels of the upright photo."""

SAME_PLACE_IOU = 0.5
"""Two boxes of one photo show one face from this share of common area on: PASCAL VOC's rule (Everingham 2010)."""


@dataclass(frozen=True)
class FaceRef:
    """A face that something is said about, named so that it can be found in another album too.

    Args:
        face_id: int64, 1 or more.
        photo_id: content hash of the photo.
        box: x, y, width, height in pixels of the upright photo; may reach over the photo's edge.
    Raises:
        ValueError: if the id is not an int64 from 1 on, the photo has no id or the box no area.
    """

    face_id: int
    photo_id: str
    box: Box

    def __post_init__(self) -> None:
        if not 0 < self.face_id < 2**63:
            raise ValueError(f"face_id is {self.face_id}, not an int64 from 1 on")
        if not self.photo_id:
            raise ValueError(f"face {self.face_id} has an empty photo_id")
        if len(self.box) != 4 or min(self.box[2:]) < 1 or max(map(abs, self.box)) >= 2**31:
            raise ValueError(f"face {self.face_id} has the box {self.box}, not (x, y, w, h) with an area, in int32")


def box_iou(a: Box, b: Box) -> float:
    """Divide the area that two boxes share by the area that they cover together: 0 apart, 1 equal."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def by_id(faces: Sequence[FaceRef]) -> dict[int, FaceRef]:
    """Sort faces by their id.

    Raises:
        ValueError: if there is none, or one id stands for two places.
    """
    if not faces:
        raise ValueError("nothing is said of any face: faces is empty")
    refs = {face.face_id: face for face in faces}
    if len(refs) < len(set(faces)):
        raise ValueError("one face_id stands for two places in faces")
    return refs


def by_photo(faces: Iterable[FaceRef]) -> dict[str, list[FaceRef]]:
    """Sort faces by their photo: photo_id -> its faces, in the order given."""
    faces_of: defaultdict[str, list[FaceRef]] = defaultdict(list)
    for face in faces:
        faces_of[face.photo_id].append(face)
    return dict(faces_of)


def reanchor(refs: Iterable[FaceRef], present: Mapping[str, Sequence[FaceRef]]) -> dict[int, int]:
    """Find faces again among those that a detector shows now.

    Photo by photo, the two boxes that overlap most belong together, then the next two: a face is matched at
    most once on either side. Among equals the one with the same id goes first, then the lower id.

    Args:
        refs: the faces to find again.
        present: photo_id -> the faces that this photo has now.
    Returns:
        face_id of ``refs`` -> face_id of ``present``. A face with no box of IoU >= ``SAME_PLACE_IOU`` is left out.
    """
    found: dict[int, int] = {}
    for photo_id, olds in by_photo(refs).items():
        news = present.get(photo_id, ())
        overlaps = ((box_iou(old.box, new.box), old.face_id, new.face_id) for old in olds for new in news)
        near = [pair for pair in overlaps if pair[0] >= SAME_PLACE_IOU]
        near.sort(key=lambda pair: (-pair[0], pair[1] != pair[2], pair[1], pair[2]))
        taken: set[int] = set()
        for _, old_id, new_id in near:
            if old_id not in found and new_id not in taken:
                found[old_id] = new_id
                taken.add(new_id)
    return found
