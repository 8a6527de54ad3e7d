"""Turn the bytes of a photo file into upright RGB pixels."""

from __future__ import annotations

import importlib
import io
import re
import struct
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Protocol

import cv2
import numpy as np
import pi_heif
from PIL import ExifTags, Image, UnidentifiedImageError

from embedder.raw import RawError, is_raw, read_preview

# The only decoders that ever see a file, by what its first bytes say. JPEG opens MPO as well.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF")
# OpenCV reads these in half of Pillow's time (12 MP JPEG: 70 against 133 ms).
_OPENCV_FORMATS = frozenset(("JPEG", "MPO", "PNG", "WEBP", "BMP"))
_WIDE_MODES = {"I;16": 1 / 257, "I;16B": 1 / 257, "I;16L": 1 / 257, "I": 1 / 257, "F": 1.0}
MAX_PIXELS = 200_000_000
_LYING = frozenset((5, 6, 7, 8))  # EXIF orientations that exchange width and height
_REDUCED = {1: 0, 2: 16, 4: 32, 8: 64}  # by what sides are divided: the bit that cv2.IMREAD_REDUCED_* sets for it
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)|Z")

# What decoders are known to raise on broken files; anything else is a bug and shall be seen.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError,
    ArithmeticError, MemoryError, RuntimeError, struct.error, cv2.error,
)  # fmt: skip

for _plugin in ("Jpeg", "Png", "WebP", "Gif", "Tiff", "Bmp", "Avif"):
    importlib.import_module(f"PIL.{_plugin}ImagePlugin")  # Pillow knows no format before
pi_heif.register_heif_opener()
Image.MAX_IMAGE_PIXELS = None  # the header is checked here, with a limit that can be chosen
warnings.filterwarnings("ignore", module=r"PIL\.")  # the reason of a DecodeError says what matters
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class DecodeError(ValueError):
    """A photo that cannot be shown. The message is the reason, for people."""


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes:
        pixels: uint8 RGB (height, width, 3), upright: EXIF's orientation is applied.
        taken_at: when the camera says it was taken, its local time; with a zone if it says that too. None if it
            does not.
        size: (width, height) of the whole upright photo; ``pixels`` may be a half, a quarter or an eighth of it.
    """

    pixels: np.ndarray
    taken_at: datetime | None
    size: tuple[int, int]

    @property
    def reduced(self) -> bool:
        """Whether there are fewer pixels than the photo has."""
        return self.size != self.pixels.shape[1::-1]


class Decode(Protocol):
    """Decodes as ``decode`` does; perhaps in another process, see ``embedder.decode_pool``."""

    def __call__(self, content: bytes, *, at_least: int | None = None) -> Photo: ...


def decode(content: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Photo:
    """Decode a photo; of an animation the first frame.

    Args:
        content: the whole file.
        max_pixels: a photo whose header claims more is refused before anything is decoded.
        at_least: pixels that will do for the longer side. A JPEG with twice as many or more is decoded at a half, a
            quarter or an eighth of its size, which takes less than half the time. None: at its full size.
    Raises:
        DecodeError: with the reason, if there is no photo to be had from ``content``.
    """
    if not content:
        raise DecodeError("the file is empty")
    if is_raw(content):
        return _decode_raw(content, max_pixels, at_least)
    try:
        header = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise DecodeError("no photo: unknown format or broken header") from error
    except _BROKEN as error:
        raise DecodeError(f"broken header: {_one_line(error)}") from error
    width, height = header.size
    if width * height > max_pixels:
        raise DecodeError(f"{width}×{height} pixels are more than the limit of {max_pixels / 1e6:.0f} million")
    orientation, taken_at = _read_exif(header)
    if header.format == "TIFF":  # Pillow turns these while it decodes them, and only these
        orientation = 1
    reduction = _reduction(header, at_least)
    pixels = turn_upright(_decode_pixels(header, content, reduction), orientation)
    if pixels.shape[0] < 2 or pixels.shape[1] < 2:
        raise DecodeError(f"{width}×{height} pixels are too few")
    size = pixels.shape[1], pixels.shape[0]
    if pixels.shape[0] * pixels.shape[1] < width * height:
        size = (height, width) if orientation in _LYING else (width, height)
    return Photo(np.ascontiguousarray(pixels), taken_at, size)


def _decode_raw(content: bytes, max_pixels: int, at_least: int | None) -> Photo:
    """Decode the preview of a camera's RAW file."""
    try:
        preview = read_preview(content)
    except RawError as error:
        raise DecodeError(str(error)) from error
    taken_at, turned = None, False
    if preview.jpeg is not None:
        photo = decode(preview.jpeg, max_pixels=max_pixels, at_least=at_least)
        pixels, size = photo.pixels, photo.size
        taken_at, turned = photo.taken_at, _says_how_it_was_held(preview.jpeg)
    else:
        assert preview.pixels is not None
        pixels = preview.pixels
        size = pixels.shape[1], pixels.shape[0]
    if not turned:
        pixels = np.ascontiguousarray(turn_upright(pixels, preview.orientation))
        size = size[::-1] if preview.orientation in _LYING else size
    return Photo(pixels, taken_at or _time_of_tiff(content), size)


def _says_how_it_was_held(jpeg: bytes) -> bool:
    return ExifTags.Base.Orientation in Image.open(io.BytesIO(jpeg), formats=("JPEG",)).getexif()


def _time_of_tiff(content: bytes) -> datetime | None:
    """Read when a RAW file was taken, if it is a TIFF."""
    try:
        return _read_exif(Image.open(io.BytesIO(content), formats=("TIFF",)))[1]
    except _BROKEN:
        return None


def turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo how the camera was held.

    Args:
        pixels: (H, W, 3).
        orientation: EXIF tag 274, 1 to 8; anything else leaves the pixels as they are.
    """
    if orientation in _LYING:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _reduction(header: Image.Image, at_least: int | None) -> int:
    """Give by how much the sides of a photo may be divided in decoding: 1, 2, 4 or 8."""
    if at_least is None or header.format not in ("JPEG", "MPO"):
        return 1
    return max(factor for factor in _REDUCED if factor == 1 or max(header.size) >= factor * at_least)


def _decode_pixels(header: Image.Image, content: bytes, reduction: int) -> np.ndarray:
    if header.format in _OPENCV_FORMATS and header.mode != "CMYK":
        try:
            flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | _REDUCED[reduction]
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        except cv2.error:
            pixels = None
        if pixels is not None:
            return pixels
    try:
        if header.mode in _WIDE_MODES:
            wide = np.asarray(header, dtype=np.float32) * _WIDE_MODES[header.mode]
            grey = np.rint(np.clip(np.nan_to_num(wide), 0, 255)).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.asarray(header.convert("RGB"))
    except _BROKEN as error:
        raise DecodeError(f"broken {header.format}: {_one_line(error)}") from error


def _read_exif(header: Image.Image) -> tuple[int, datetime | None]:
    """Read (orientation, taken at); EXIF that makes no sense counts as none."""
    try:
        exif = header.getexif()
        orientation = exif.get(ExifTags.Base.Orientation, 1)
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        moments = [
            _parse_moment(inner.get(ExifTags.Base.DateTimeOriginal), inner.get(ExifTags.Base.OffsetTimeOriginal)),
            _parse_moment(inner.get(ExifTags.Base.DateTimeDigitized), inner.get(ExifTags.Base.OffsetTimeDigitized)),
            _parse_moment(exif.get(ExifTags.Base.DateTime), inner.get(ExifTags.Base.OffsetTime)),
        ]
    except _BROKEN:
        return 1, None
    return orientation if isinstance(orientation, int) else 1, next(filter(None, moments), None)


def _parse_moment(moment: object, offset: object) -> datetime | None:
    """Read a time, and the zone beside it: one that makes no sense counts as none."""
    try:
        local = datetime.strptime(str(moment).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    zone = _OFFSET.fullmatch(str(offset).strip("\0 "))
    if zone is None:
        return local
    hours, minutes = int(zone[2] or 0), int(zone[3] or 0)
    if hours > 14 or minutes > 59:  # no place on earth
        return local
    ahead = timedelta(hours=hours, minutes=minutes)
    return local.replace(tzinfo=timezone(-ahead if zone[1] == "-" else ahead))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
