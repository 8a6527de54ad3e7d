"""Camera RAW is told from other TIFFs by its content, and its preview comes out upright."""

from __future__ import annotations

import importlib.util
import io
import struct
from datetime import datetime

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import embedder.raw
from embedder.decode import DecodeError, decode
from embedder.raw import is_raw

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
needs_rawpy = pytest.mark.skipif(
    importlib.util.find_spec("rawpy") is None, reason="no rawpy: left out reading previews"
)

PHOTO = np.ascontiguousarray(cv2.resize(skimage.data.astronaut()[:366], (224, 160), interpolation=cv2.INTER_AREA))


def jpeg(pixels: np.ndarray, exif: Image.Exif | None = None) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG", quality=95, **({} if exif is None else {"exif": exif}))
    return sink.getvalue()


def dng(preview: bytes | None, *, orientation: int = 1, width: int = 224, height: int = 160) -> bytes:
    """A DNG as Adobe's specification wants it: a preview in front, the sensor's pixels in a directory below."""
    taken = b"2019:07:20 20:17:40\0"
    model = b"visavis test\0"
    matrix = struct.pack("<18i", *[value for n in range(9) for value in (int(n % 4 == 0), 1)])
    neutral = struct.pack("<6I", *(1, 1) * 3)
    sensor = np.full((32, 32), 1000, "<u2").tobytes()
    blob = bytearray(b"II*\0\0\0\0\0")

    def put(part: bytes) -> int:
        blob.extend(b"\0" * (len(blob) % 2))
        blob.extend(part)
        return len(blob) - len(part)

    def directory(entries: list[tuple[int, int, int, int | bytes]]) -> int:
        packed = b""
        for tag, kind, count, value in sorted(entries, key=lambda entry: entry[0]):
            if isinstance(value, bytes):
                value = int.from_bytes(value, "little") if len(value) <= 4 else put(value)
            packed += struct.pack("<HHII", tag, kind, count, value)
        return put(struct.pack("<H", len(entries)) + packed + bytes(4))

    raw = directory(
        [
            (254, 4, 1, 0), (256, 4, 1, 32), (257, 4, 1, 32), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 32803),
            (273, 4, 1, put(sensor)), (277, 3, 1, 1), (278, 4, 1, 32), (279, 4, 1, len(sensor)),
            (33421, 3, 2, struct.pack("<2H", 2, 2)), (33422, 1, 4, bytes([0, 1, 1, 2])), (50717, 4, 1, 65535),
        ]
    )  # fmt: skip
    first: list[tuple[int, int, int, int | bytes]] = [
        (271, 2, 8, b"visavis\0"), (272, 2, len(model), model), (274, 3, 1, orientation), (306, 2, 20, taken),
        (330, 4, 1, raw), (50706, 1, 4, bytes([1, 4, 0, 0])), (50708, 2, len(model), model),
        (50721, 10, 9, matrix), (50728, 5, 3, neutral), (50778, 3, 1, 21),
    ]  # fmt: skip
    if preview is not None:
        first += [
            (254, 4, 1, 1), (256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, struct.pack("<3H", 8, 8, 8)),
            (259, 3, 1, 7), (262, 3, 1, 6), (273, 4, 1, put(preview)), (277, 3, 1, 3), (278, 4, 1, height),
            (279, 4, 1, len(preview)),
        ]  # fmt: skip
    struct.pack_into("<I", blob, 4, directory(first))
    return bytes(blob)


WHOLE = dng(jpeg(PHOTO[:40, :40]), width=40, height=40)


def is_photo(pixels: np.ndarray, expected: np.ndarray) -> bool:
    return pixels.shape == expected.shape and bool(np.abs(pixels.astype(float) - expected).mean() < 4)


@pytest.mark.parametrize(
    "content",
    [
        dng(None),
        dng(jpeg(PHOTO)),
        b"FUJIFILMCCD-RAW 0201",
        b"IIRO\x08\0\0\0",
        b"IIU\0\x18\0\0\0",
        b"\0\0\0\x18ftypcrx \0\0\0\1",
        b"II*\0\x10\0\0\0CR\2\0",
    ],
)
def test_raw_is_told_by_its_content(content: bytes):
    assert is_raw(content)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}])
def test_other_tiffs_are_none(options: dict[str, str]):
    sink = io.BytesIO()
    Image.fromarray(PHOTO).save(sink, "TIFF", **options)
    assert not is_raw(sink.getvalue())


@pytest.mark.parametrize(
    "content", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", jpeg(PHOTO), b"MM\0*" + bytes(90), b"CR" * 9]
)
def test_nothing_else_is_one(content: bytes):
    assert not is_raw(content)


@pytest.mark.parametrize("tag", [262, 330, 50706])
def test_an_entry_without_numbers_is_none(tag: int):
    entry = struct.pack("<HHII", tag, 3, 0, 0)
    assert is_raw(b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)) == (tag == 50706)


def test_directories_that_lead_in_a_circle_end():
    entry = struct.pack("<HHII", 330, 4, 1, 8)
    assert not is_raw(b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + struct.pack("<I", 8))


@needs_rawpy
def test_the_preview_of_a_raw_file_is_decoded():
    photo = decode(dng(jpeg(PHOTO)))
    assert is_photo(photo.pixels, PHOTO)
    assert photo.taken_at == datetime(2019, 7, 20, 20, 17, 40)


@needs_rawpy
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_preview_is_turned_as_the_camera_was_held(orientation: int, turns: int):
    assert is_photo(decode(dng(jpeg(PHOTO), orientation=orientation)).pixels, np.rot90(PHOTO, turns))


@needs_rawpy
def test_a_preview_that_says_how_it_was_held_is_not_turned_twice():
    exif = Image.Exif()
    exif[274] = 6
    assert is_photo(decode(dng(jpeg(PHOTO, exif), orientation=6)).pixels, np.rot90(PHOTO, 3))


@needs_rawpy
def test_raw_without_a_preview_says_so():
    with pytest.raises(DecodeError, match="camera RAW without a preview that can be read: "):
        decode(dng(None))
    with pytest.raises(DecodeError, match="camera RAW without a preview that can be read: "):
        decode(b"FUJIFILMCCD-RAW 0201" + bytes(500))


@needs_rawpy
def test_the_limit_of_pixels_holds_for_previews():
    with pytest.raises(DecodeError, match="more than the limit"):
        decode(dng(jpeg(PHOTO)), max_pixels=1000)


@needs_rawpy
@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6), st.floats(0.05, 1))
def test_altered_raw_files_decode_or_are_refused(changes: list[tuple[float, int]], length: float):
    content = bytearray(WHOLE)
    for place, value in changes:
        content[int(place * len(content))] = value
    try:
        pixels = decode(bytes(content[: round(length * len(content))]), max_pixels=1_000_000).pixels
    except DecodeError as error:
        assert str(error)
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3


def test_without_rawpy_the_reason_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedder.raw.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DecodeError, match=r"pip install 'visavis\[raw\]'`, then `visavis index --retry-unreadable`"):
        decode(dng(jpeg(PHOTO)))
