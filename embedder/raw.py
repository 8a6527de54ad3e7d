"""Camera RAW: recognise it by content, and get at the JPEG that the camera put into it.

The preview is what the photographer saw: developed, mostly of full size, and read in a hundredth of the time that
developing takes. LibRaw finds it, through rawpy (MIT; LibRaw: LGPL 2.1 or CDDL), which is an extra: visavis[raw].
"""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Files that are no TIFF, by their first bytes: Fuji, Olympus, Panasonic, Canon CRW and CR3, Sigma, Minolta.
_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"II\x1a\0\0\0HEAPCCDR", b"FOVb", b"\0MRM")
_CR3 = b"ftypcrx "
_PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 262, 330, 50706
_SENSOR = (32803, 34892)  # the pixels are those of a colour filter array, or linear raw
_TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_WHOLE_NUMBERS = {3: ("H", 2), 4: ("I", 4), 13: ("I", 4)}  # TIFF's type → struct's, bytes
_MOST_IFDS, _MOST_ENTRIES = 16, 1024
_ORIENTATION_OF_FLIP = {0: 1, 3: 3, 5: 8, 6: 6}  # LibRaw's number → EXIF's


class RawError(ValueError):
    """A RAW file of which there is no preview to be had. The message is the reason, for people."""


@dataclass(frozen=True)
class RawPreview:
    """What the camera put beside the sensor's pixels.

    Attributes:
        jpeg: a JPEG file, or None if the preview is stored as pixels.
        pixels: uint8 RGB (H, W, 3), as the camera was held, or None.
        orientation: EXIF tag 274 of the RAW file, 1 to 8.
    """

    jpeg: bytes | None
    pixels: np.ndarray | None
    orientation: int


def is_raw(content: bytes) -> bool:
    """Whether a file holds the pixels of a camera's sensor. Many such files are TIFFs with a thumbnail in front."""
    if content.startswith(_STARTS) or content[4:12] == _CR3:
        return True
    order = _TIFF_ORDERS.get(content[:4])
    if order is None:
        return False
    try:
        return content[8:10] == b"CR" or any(_is_sensor(tags) for tags in _ifds(content, order))
    except struct.error:  # cut short, or no TIFF at all: that is for its decoder to tell
        return False


def read_preview(content: bytes) -> RawPreview:
    """Get the largest preview of a RAW file.

    Raises:
        RawError: if there is none, the file is broken or of a camera that LibRaw does not know, or rawpy is not here.
    """
    if importlib.util.find_spec("rawpy") is None:
        raise RawError(
            "camera RAW: to read it, run `pip install 'visavis[raw]'`, then `visavis index --retry-unreadable`"
        )
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            preview = raw.extract_thumb()
            orientation = _ORIENTATION_OF_FLIP.get(raw.sizes.flip, 1)
    except (rawpy.LibRawError, OSError) as error:
        why = error.args[0] if error.args else error
        why = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
        raise RawError(f"camera RAW without a preview that can be read: {why}") from error
    if preview.format == rawpy.ThumbFormat.JPEG:
        return RawPreview(bytes(preview.data), None, orientation)
    return RawPreview(None, np.ascontiguousarray(preview.data, np.uint8), orientation)


def _is_sensor(tags: dict[int, tuple[int, ...]]) -> bool:
    return _DNG_VERSION in tags or tags.get(_PHOTOMETRIC, (0,))[0] in _SENSOR


def _ifds(content: bytes, order: str) -> Iterator[dict[int, tuple[int, ...]]]:
    """Yield the directories of a TIFF, each as tag → its first whole numbers, (0,) if there are none."""
    waiting = [struct.unpack_from(f"{order}I", content, 4)[0]]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_IFDS:
        at = waiting.pop(0)
        if at == 0 or at in seen:
            continue
        seen.add(at)
        tags: dict[int, tuple[int, ...]] = {}
        entries = min(struct.unpack_from(f"{order}H", content, at)[0], _MOST_ENTRIES)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", content, entry)
            tags[tag] = _numbers(content, order, entry + 8, kind, count)
        waiting += tags.get(_SUB_IFDS, ())
        waiting += struct.unpack_from(f"{order}I", content, at + 2 + 12 * entries)
        yield tags


def _numbers(content: bytes, order: str, at: int, kind: int, count: int) -> tuple[int, ...]:
    """Read the first numbers of an entry, if it has any and they are of 16 or 32 bits."""
    if kind not in _WHOLE_NUMBERS or count == 0:
        return (0,)
    code, size = _WHOLE_NUMBERS[kind]
    count = min(count, _MOST_IFDS)
    if count * size > 4:  # they lie elsewhere
        at = struct.unpack_from(f"{order}I", content, at)[0]
    return struct.unpack_from(f"{order}{count}{code}", content, at)
