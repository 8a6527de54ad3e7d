"""Every format comes out as the same upright pixels; what is no photo is refused with a reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

import embedder.decode
from embedder.decode import FORMATS, MAX_PIXELS, DecodeError, decode, turn_upright

# Pillow warns of odd files; that is kept from users, and must not count as a failure here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

# 112 wide, 80 high: a face and stars, so that no turn or mirror image of it is like it.
PHOTO = np.ascontiguousarray(cv2.resize(skimage.data.astronaut()[:366], (112, 80), interpolation=cv2.INTER_AREA))
GREY = cv2.cvtColor(PHOTO, cv2.COLOR_RGB2GRAY)
WIDE_GREY = GREY.astype(np.uint16) * 257


def saved(pixels: np.ndarray | Image.Image, file_format: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def saved_by_opencv(pixels: np.ndarray, suffix: str) -> bytes:
    """For what Pillow cannot write: three channels of 16 bits."""
    done, content = cv2.imencode(suffix, pixels[..., ::-1])
    assert done
    return content.tobytes()


def frames(file_format: str, **options: object) -> bytes:
    """The photo, then others."""
    others = [Image.fromarray(np.ascontiguousarray(frame)) for frame in (PHOTO[::-1], 255 - PHOTO)]
    return saved(PHOTO, file_format, save_all=True, append_images=others, **options)


def with_alpha(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])


# (content, how far a channel of a pixel may be off on average)
COLOUR = {
    "JPEG": (saved(PHOTO, "JPEG", quality=95), 3),
    "JPEG, progressive": (saved(PHOTO, "JPEG", quality=95, progressive=True), 3),
    "JPEG, CMYK": (saved(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=95), 3),
    "PNG": (saved(PHOTO, "PNG"), 0),
    "PNG, alpha": (saved(with_alpha(PHOTO), "PNG"), 0),
    "PNG, palette": (saved(Image.fromarray(PHOTO).quantize(256), "PNG"), 5),
    "PNG, 16 bit": (saved_by_opencv(PHOTO.astype(np.uint16) * 257, ".png"), 1),
    "PNG, animated": (frames("PNG"), 0),
    "WebP": (saved(PHOTO, "WEBP", quality=95), 4),
    "WebP, lossless": (saved(PHOTO, "WEBP", lossless=True), 0),
    "WebP, alpha": (saved(with_alpha(PHOTO), "WEBP", lossless=True), 0),
    "WebP, animated": (frames("WEBP", lossless=True), 0),
    "GIF": (saved(Image.fromarray(PHOTO).quantize(256), "GIF"), 5),
    "GIF, animated": (frames("GIF", duration=100), 8),
    "TIFF": (saved(PHOTO, "TIFF"), 0),
    "TIFF, LZW": (saved(PHOTO, "TIFF", compression="tiff_lzw"), 0),
    "TIFF, JPEG": (saved(PHOTO, "TIFF", compression="jpeg", quality=95), 3),
    "TIFF, 16 bit": (saved_by_opencv(PHOTO.astype(np.uint16) * 257, ".tiff"), 1),
    "TIFF, CMYK": (saved(Image.fromarray(PHOTO).convert("CMYK"), "TIFF"), 1),
    "TIFF, alpha": (saved(with_alpha(PHOTO), "TIFF"), 0),
    "TIFF, pages": (frames("TIFF"), 0),
    "BMP": (saved(PHOTO, "BMP"), 0),
    "MPO": (frames("MPO", quality=95), 3),
    "AVIF": (saved(PHOTO, "AVIF", quality=95), 4),
}
IN_GREY = {
    "JPEG": (saved(GREY, "JPEG", quality=95), 3),
    "PNG": (saved(GREY, "PNG"), 0),
    "PNG, alpha": (saved(Image.fromarray(GREY).convert("LA"), "PNG"), 0),
    "PNG, 16 bit": (saved(Image.fromarray(WIDE_GREY), "PNG"), 1),
    "TIFF": (saved(GREY, "TIFF"), 0),
    "TIFF, 16 bit": (saved(Image.fromarray(WIDE_GREY), "TIFF"), 0),
    "TIFF, 16 bit, big-endian": (saved(Image.fromarray(WIDE_GREY.astype(">u2")), "TIFF"), 0),
    "TIFF, float": (saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"), 0),
    "GIF": (saved(GREY, "GIF"), 0),
    "BMP": (saved(GREY, "BMP"), 0),
}


def assert_is(pixels: np.ndarray, expected: np.ndarray, *, tolerance: float) -> None:
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    assert pixels.flags.c_contiguous
    assert np.abs(pixels.astype(float) - expected).mean() <= tolerance


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("name", COLOUR)
def test_colours_come_out_right(name: str):
    content, tolerance = COLOUR[name]
    assert_is(decode(content).pixels, PHOTO, tolerance=tolerance)


@pytest.mark.parametrize("name", IN_GREY)
def test_grey_comes_out_as_grey(name: str):
    content, tolerance = IN_GREY[name]
    pixels = decode(content).pixels
    assert_is(pixels, np.repeat(GREY[..., None], 3, axis=2), tolerance=tolerance)
    assert (pixels == pixels[..., :1]).all()


def test_every_format_is_tried():
    """All but HEIF, for which nothing here can write a file."""
    names = {name.partition(",")[0].upper() for name in COLOUR}
    assert names - {"MPO"} == set(FORMATS) - {"HEIF"}


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_pure_colours_of_a_jpeg_are_not_swapped_or_inverted(mode: str):
    """OpenCV has blue first, and CMYK is often stored inverted."""
    colours = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255,) * 3, "black": (0,) * 3}
    patches = np.repeat(np.repeat(np.array([list(colours.values())], np.uint8), 32, axis=0), 32, axis=1)
    pixels = decode(saved(Image.fromarray(patches).convert(mode), "JPEG", quality=95)).pixels
    centres = pixels[16, 16::32].astype(int)
    np.testing.assert_allclose(centres, list(colours.values()), rtol=0, atol=8)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_scaled_to_eight(suffix: str):
    """From end to end: black is 0, white 255, and the steps in between are even."""
    ramp = np.linspace(0, 65535, 512).round().astype(np.uint16)[None].repeat(4, axis=0)
    pixels = decode(cv2.imencode(suffix, ramp)[1].tobytes()).pixels
    assert (pixels[0, 0, 0], pixels[0, -1, 0]) == (0, 255)
    np.testing.assert_allclose(pixels[..., 1], ramp / 257, rtol=0, atol=1)


@pytest.mark.filterwarnings("error")
def test_numbers_of_a_tiff_that_are_none_do_no_harm():
    wide = np.full((4, 6), 100, np.float32)
    wide[0, :3] = np.nan, np.inf, -np.inf
    pixels = decode(saved(Image.fromarray(wide), "TIFF")).pixels
    assert pixels[0, :3, 0].tolist() == [0, 255, 0]
    assert (pixels[1:] == 100).all()


def test_real_heic_files(shared_data: Callable[[str, str], Path]):
    """Telephones store the sensor's pixels and how to turn them; the decoder turns them, and we must not again."""
    path = shared_data("odd-files/heic/iphone_13_pro_max.HEIC", "the decoding of a real HEIC file")
    photo = decode(path.read_bytes())
    assert photo.pixels.shape == (4032, 3024, 3)
    assert photo.taken_at is not None and photo.taken_at.replace(tzinfo=None) == datetime(2022, 2, 16, 12, 55, 41)
    assert 20 < photo.pixels[::16, ::16].mean() < 235


# ---------------------------------------------------------------- orientation and time


def stored(orientation: int, upright: np.ndarray) -> np.ndarray:
    """The pixels that a camera held this way stores, after the picture in EXIF's definition of tag 274."""
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    return np.ascontiguousarray(turned[orientation])


def exif(**tags: object) -> bytes:
    result = Image.Exif()
    for name, value in tags.items():
        tag = ExifTags.Base[name]
        if name.startswith(("DateTimeO", "DateTimeD", "Offset")):
            result.get_ifd(ExifTags.IFD.Exif)[tag] = value
        else:
            result[tag] = value
    return result.tobytes()


ORIENTED = {
    "JPEG": ({"quality": 95}, 3),
    "PNG": ({}, 0),
    "WEBP": ({"lossless": True}, 0),
    "TIFF": ({}, 0),
    "AVIF": ({"quality": 95}, 4),
    "MPO": ({"quality": 95}, 3),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ORIENTED)
def test_a_photo_comes_out_upright(file_format: str, orientation: int):
    options, tolerance = ORIENTED[file_format]
    content = saved(stored(orientation, PHOTO), file_format, exif=exif(Orientation=orientation), **options)
    pixels = decode(content).pixels
    assert_is(pixels, PHOTO, tolerance=tolerance)
    theirs = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    assert_is(pixels, np.asarray(theirs), tolerance=1)


@pytest.mark.parametrize("orientation", [0, 9, -1, 65535])
def test_an_orientation_that_is_none_changes_nothing(orientation: int):
    np.testing.assert_array_equal(turn_upright(PHOTO, orientation), PHOTO)


def test_real_photos_in_all_orientations(shared_data: Callable[[str, str], Path]):
    folder = shared_data("odd-files/exif-orientation", "photos in all EXIF orientations, from a camera")
    for scene in ("Landscape", "Portrait"):
        small = []
        for orientation in range(1, 9):
            pixels = decode((folder / f"{scene}_{orientation}.jpg").read_bytes()).pixels
            assert (pixels.shape[1] > pixels.shape[0]) == (scene == "Landscape")
            shape = (90, 60) if scene == "Landscape" else (60, 90)
            small.append(cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA).astype(float))
        for other in small[1:]:
            assert np.abs(other - small[0])[8:-8, 8:-8].mean() < 12  # a number is written in each


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_time_of_the_camera_is_read(file_format: str):
    both = exif(DateTimeOriginal="2019:07:20 20:17:40", DateTime="2020:01:02 03:04:05")
    assert decode(saved(PHOTO, file_format, exif=both)).taken_at == datetime(2019, 7, 20, 20, 17, 40)
    only_changed = exif(DateTime="2020:01:02 03:04:05")
    assert decode(saved(PHOTO, file_format, exif=only_changed)).taken_at == datetime(2020, 1, 2, 3, 4, 5)
    assert decode(saved(PHOTO, file_format)).taken_at is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2019:07:20 20:17:40\0", datetime(2019, 7, 20, 20, 17, 40)),
        ("2019:07:20 20:17:40.25+02:00", datetime(2019, 7, 20, 20, 17, 40)),
        ("0000:00:00 00:00:00", None),
        ("2019:02:30 10:00:00", None),
        ("2019:07:20", None),
        ("    :  :     :  :  ", None),
        ("last summer", None),
        ("", None),
    ],
)
def test_odd_times(written: str, expected: datetime | None):
    assert decode(saved(PHOTO, "JPEG", exif=exif(DateTimeOriginal=written))).taken_at == expected


@pytest.mark.parametrize(
    ("written", "minutes"),
    [
        ("+02:00", 120),
        ("-03:30", -210),
        ("+05:45\0", 345),
        ("Z", 0),
        ("+00:00", 0),
        ("+0200", 120),
        ("   :  ", None),
        ("+19:00", None),
        ("+02:75", None),
        ("summer", None),
        ("", None),
    ],
)
def test_the_zone_of_the_camera_is_read(written: str, minutes: int | None):
    """The local time is the same whether or not a zone stands beside it."""
    tags = {"DateTimeOriginal": "2019:07:20 20:17:40", "OffsetTimeOriginal": written, "OffsetTime": "+09:00"}
    taken_at = decode(saved(PHOTO, "JPEG", exif=exif(**tags))).taken_at
    assert taken_at is not None and taken_at.replace(tzinfo=None) == datetime(2019, 7, 20, 20, 17, 40)
    assert taken_at.utcoffset() == (None if minutes is None else timedelta(minutes=minutes))


def test_each_time_has_a_zone_of_its_own():
    tags = {"DateTimeDigitized": "2019:07:20 20:17:40", "OffsetTimeDigitized": "+01:00", "OffsetTimeOriginal": "+02:00"}
    taken_at = decode(saved(PHOTO, "JPEG", exif=exif(DateTime="2020:01:02 03:04:05", **tags))).taken_at
    assert taken_at == datetime(2019, 7, 20, 20, 17, 40, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    "content", [b"", b"nonsense" * 9, b"II*\0\x08\0\0\0\xff\xff" + bytes(50), b"MM\0*\xff\xff\xff\xff"]
)
def test_broken_exif_counts_as_none(content: bytes):
    photo = decode(saved(PHOTO, "JPEG", quality=95, exif=b"Exif\0\0" + content))
    assert_is(photo.pixels, PHOTO, tolerance=3)
    assert photo.taken_at is None


def test_a_wrong_thumbnail_within_a_photo_is_never_shown():
    """Programs that edit a photo often leave the thumbnail of the former one."""
    thumbnail = saved(255 - PHOTO[:40, :60], "JPEG")
    ends = struct.pack("<H", 0)
    first = struct.pack("<HHHIII", 1, 274, 3, 1, 1, 26)  # one tag, orientation 1; then where the next directory is
    tags = ((259, 3, 1, 6), (513, 4, 1, 26 + 2 + 36 + 4), (514, 4, 1, len(thumbnail)))
    second = struct.pack("<H", 3) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    body = b"Exif\0\0II*\0\x08\0\0\0" + first + second + thumbnail + ends
    content = saved(PHOTO, "JPEG", quality=95)
    content = content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]
    assert Image.open(io.BytesIO(content)).getexif().get_ifd(ExifTags.IFD.IFD1)[513] == 68, "it is well formed"
    assert_is(decode(content).pixels, PHOTO, tolerance=3)


# ---------------------------------------------------------------- what is refused


def png_that_claims(width: int, height: int) -> bytes:
    """A valid header, and nothing behind it."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (head, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedder.decode, "_decode_pixels", lambda *_: pytest.fail("was decoded"))
    with pytest.raises(DecodeError, match="20000×20000 pixels are more than the limit of 200 million"):
        decode(png_that_claims(20_000, 20_000))
    assert MAX_PIXELS == 200_000_000


@pytest.mark.parametrize("name", COLOUR)
def test_the_limit_is_exact_in_every_format(name: str):
    content, _ = COLOUR[name]
    assert decode(content, max_pixels=112 * 80).pixels.shape == (80, 112, 3)
    with pytest.raises(DecodeError, match="112×80 pixels are more than the limit"):
        decode(content, max_pixels=112 * 80 - 1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
def test_a_line_of_pixels_is_no_photo(shape: tuple[int, int]):
    with pytest.raises(DecodeError, match="too few"):
        decode(saved(np.zeros((*shape, 3), np.uint8), "PNG"))


@pytest.mark.parametrize(
    "content",
    [b"\0", b"Dear Ann,\n" * 50, b"<svg xmlns='http://www.w3.org/2000/svg'/>", bytes(4096), b"\xff\xd8\xff", b"BM"],
)
def test_what_is_no_photo_is_refused(content: bytes):
    with pytest.raises(DecodeError) as caught:
        decode(content)
    assert "no photo" in str(caught.value) or "broken" in str(caught.value)


def test_an_empty_file_is_called_so():
    with pytest.raises(DecodeError, match=r"^the file is empty$"):
        decode(b"")


@pytest.mark.parametrize("file_format", ["PPM", "ICO", "PCX", "TGA", "EPS", "PDF", "JPEG2000"])
def test_formats_that_are_not_listed_are_never_opened(file_format: str):
    """Some of their decoders start other programs."""
    content = saved(PHOTO, file_format)
    Image.init()  # as another part of the program might have done
    with pytest.raises(DecodeError, match="no photo: unknown format"):
        decode(content)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("name", COLOUR)
def test_what_is_cut_short_is_refused_or_shows_what_is_there(name: str, share: float):
    """A file of several frames may have its first one whole."""
    content, tolerance = COLOUR[name]
    cut = content[: int(len(content) * share)]
    try:
        photo = decode(cut)
    except DecodeError as error:
        assert 5 < len(str(error)) < 200
        assert "\n" not in str(error)
    else:
        assert "animated" in name or name in ("TIFF, pages", "MPO")
        assert_is(photo.pixels, PHOTO, tolerance=tolerance)


SMALL = np.ascontiguousarray(PHOTO[20:52, 30:78])
SAMPLES = {
    "JPEG": saved(SMALL, "JPEG", exif=exif(Orientation=6, DateTimeOriginal="2019:07:20 20:17:40")),
    "JPEG, CMYK": saved(Image.fromarray(SMALL).convert("CMYK"), "JPEG"),
    "PNG": saved(SMALL, "PNG", exif=exif(Orientation=5)),
    "PNG, palette": saved(Image.fromarray(SMALL).quantize(16), "PNG"),
    "WebP": saved(SMALL, "WEBP"),
    "GIF": saved(Image.fromarray(SMALL).quantize(16), "GIF"),
    "TIFF": saved(SMALL, "TIFF", compression="tiff_lzw", exif=exif(Orientation=3)),
    "TIFF, 16 bit": saved(Image.fromarray(WIDE_GREY[:20, :20]), "TIFF"),
    "BMP": saved(SMALL, "BMP"),
    "AVIF": saved(SMALL, "AVIF"),
}


@settings(max_examples=250, deadline=None)
@given(
    name=st.sampled_from(sorted(SAMPLES)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    near_the_start=st.booleans(),
    length=st.floats(0, 1) | st.just(1.0),
)
def test_altered_files_decode_or_are_refused(
    name: str, changes: list[tuple[float, int]], near_the_start: bool, length: float
):
    """Nothing else is raised, whichever bytes are altered."""
    content = bytearray(SAMPLES[name])
    reach = min(len(content), 200) if near_the_start else len(content)
    for place, value in changes:
        content[int(place * reach)] = value
    content = content[: round(length * len(content))]
    try:
        pixels = decode(bytes(content), max_pixels=1_000_000).pixels
    except DecodeError as error:
        assert str(error)
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert min(pixels.shape[:2]) >= 2


def test_strange_files_from_elsewhere_decode_or_are_refused(shared_data: Callable[[str, str], Path]):
    folder = shared_data("odd-files", "150 broken or strange files")
    paths = sorted(path for name in ("broken", "misc") for path in (folder / name).iterdir())
    refused = {}
    for path in paths:
        try:
            decode(path.read_bytes())
        except DecodeError as error:
            refused[path.name] = str(error)
    assert len(paths) > 100
    assert "66601 pixels are more" in refused["decompression_bomb.gif"]
    assert refused["8bit-sRGB.jxl"] == "no photo: unknown format or broken header"
    assert "truncated" in refused["truncated_jpeg.jpg"]
    assert len(refused) < len(paths) / 2


def test_pillow_keeps_quiet_about_odd_files():
    """Its warnings would stand between the lines of a progress bar."""
    script = """
import io, sys
from PIL import Image
from embedder.decode import decode
file = io.BytesIO()
Image.new("RGB", (9, 9)).save(file, "JPEG", exif=bytes.fromhex(sys.argv[1]))
print(decode(file.getvalue()).taken_at)
"""
    corrupt = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x32\x01\x02\0\x14\0\0\0\xff\0\0\0"
    done = subprocess.run([sys.executable, "-c", script, corrupt.hex()], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("None\n", "")


# ---------------------------------------------------------------- a part of the pixels


def smooth(width: int, height: int) -> np.ndarray:
    down, across = np.mgrid[:height, :width]
    return np.stack([across * 255 // width, down * 255 // height, 0 * down + 90], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(("at_least", "divided"), [(None, 1), (401, 1), (400, 2), (201, 2), (200, 4), (100, 8), (3, 8)])
def test_a_jpeg_is_decoded_at_the_smallest_size_that_will_do(at_least: int | None, divided: int):
    content = saved(smooth(800, 600), "JPEG", quality=95)
    photo = decode(content, at_least=at_least)
    assert photo.pixels.shape == (600 // divided, 800 // divided, 3)
    assert photo.size == (800, 600) and photo.reduced == (divided > 1)
    expected = cv2.resize(decode(content).pixels, None, fx=1 / divided, fy=1 / divided, interpolation=cv2.INTER_AREA)
    assert np.abs(photo.pixels.astype(int) - expected).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_upright_photo(orientation: int):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = saved(smooth(401, 302), "JPEG", exif=exif)
    whole, part = decode(content), decode(content, at_least=150)
    assert whole.size == part.size == whole.pixels.shape[1::-1]
    assert part.pixels.shape[:2] == tuple(-(-side // 2) for side in whole.pixels.shape[:2])
    small = cv2.resize(whole.pixels, part.pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(part.pixels.astype(int) - small).mean() < 3


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "TIFF"])
def test_other_formats_are_decoded_whole(form: str):
    photo = decode(saved(smooth(80, 60), form), at_least=10)
    assert photo.pixels.shape == (60, 80, 3) and not photo.reduced
