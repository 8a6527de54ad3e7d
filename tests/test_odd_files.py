"""A folder full of traps: the run ends, and each file is a photo, a row with the reason, or left alone."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from embedder.catalogue import read_catalogue
from embedder.decode_pool import DecodeLimits
from embedder.paths import path_text
from indexer.demo import DemoPhotos, make_photos

pytestmark = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="no FIFOs on this system: left out the folder of traps"
)
BOMB_SIDE = 20_000


def bomb(side: int) -> bytes:
    """A whole, valid PNG: a few kilobytes for every hundred megabytes of black pixels."""
    squeezing = zlib.compressobj(1)
    line = bytes(1 + 3 * side)
    body = b"".join(squeezing.compress(line) for _ in range(side)) + squeezing.flush()
    parts = [b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), b"IDAT" + body, b"IEND"]
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoPhotos:
    return make_photos(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def traps(tmp_path: Path, demo: DemoPhotos) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = demo.group.read_bytes()
    (folder / "bomb.png").write_bytes(bomb(BOMB_SIDE))
    (folder / "empty.jpg").write_bytes(b"")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "around").symlink_to(folder)
    (folder / "nowhere.jpg").symlink_to(tmp_path / "nowhere")
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(photo)
    (folder / "new\nline.jpg").write_bytes(photo + b"1")
    (folder / f"{'n' * 250}.jpg").write_bytes(photo + b"2")
    (folder / "jpeg.png").write_bytes(photo + b"3")
    (folder / "no suffix").write_bytes(photo + b"4")
    (folder / "text.jpg").write_text("Dear Ann,\n")
    (folder / "program.jpg").write_bytes(Path(sys.executable).read_bytes()[:100_000])
    (folder / "half.jpg").write_bytes(photo[: len(photo) // 2])
    with (folder / "sparse.tif").open("wb") as file:
        file.truncate(5 << 30)
    (folder / ".hidden.jpg").write_bytes(photo)
    (folder / "photo.xmp").write_text("<x:xmpmeta/>")
    return folder


# Runs a command and writes the largest memory that a process below it took, in ru_maxrss's unit, to the file named
# first. A process of its own: a child's peak begins at its parent's, and pytest's is large.
MEASURE = """import pathlib, resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
pathlib.Path(sys.argv[1]).write_text(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)"""


def index(album: Path, folder: Path) -> tuple[dict[str, int], str, int]:
    """Run it as a user does, with real decoders: (its summary, stderr, the largest process in bytes)."""
    peak = album.with_name("peak")
    command = [sys.executable, "-c", MEASURE, str(peak)]
    command += [sys.executable, "-c", "from indexer.cli import cli; cli()", "index", "--json"]
    done = subprocess.run(
        [*command, "--album", str(album), str(folder)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    return json.loads(done.stdout), done.stderr, int(peak.read_text()) * unit


def test_every_trap_is_a_photo_or_has_its_reason(traps: Path, tmp_path: Path, weights: Callable[[str], Path]):
    weights("centerface"), weights("sface")
    summary, said, _ = index(tmp_path / "album", traps)
    rows = read_catalogue(tmp_path / "album" / "shards").photos
    expected = {path_text(p) for p in traps.iterdir() if p.name not in (".hidden.jpg", "photo.xmp", "around")}
    assert set(rows) == expected
    reasons = {Path(path).name: row.reason for path, row in rows.items() if row.status != "ok"}
    assert reasons == {
        "bomb.png": "20000×20000 pixels are more than the limit of 200 million",
        "empty.jpg": "the file is empty",
        "pipe.jpg": "not a regular file",
        "loop.jpg": "cannot be read: Too many levels of symbolic links",
        "nowhere.jpg": "cannot be read: No such file or directory",
        "text.jpg": "no photo: unknown format or broken header",
        "program.jpg": "no photo: unknown format or broken header",
        "half.jpg": reasons["half.jpg"],
        "sparse.tif": "5.4 GB are more than the limit of 2.1 GB",
    }
    assert reasons["half.jpg"].startswith("broken JPEG: image file is truncated")
    assert (summary["new"], summary["newly_unreadable"], summary["new_faces"]) == (5, 9, 10)
    assert "Corrupt JPEG" not in said and "libpng" not in said, "what decoders mutter is kept from users"
    again, _, _ = index(tmp_path / "album", traps)
    assert (again["unchanged"], again["new"], again["newly_unreadable"]) == (14, 0, 0)


def test_odd_files_from_elsewhere(
    shared_data: Callable[[str, str], Path], tmp_path: Path, weights: Callable[[str], Path]
):
    """And no decoder took more than its limit, though some of the files ask for it."""
    weights("centerface"), weights("sface")
    folder = Path(shutil.copytree(shared_data("odd-files", "207 odd files"), tmp_path / "photos"))
    summary, said, largest = index(tmp_path / "album", folder)
    rows = read_catalogue(tmp_path / "album" / "shards").photos
    assert summary["photos"] == len(rows) > 150
    assert all(row.reason if row.status == "unreadable" else row.width >= 2 for row in rows.values())
    assert not any(word in said for word in ("Corrupt JPEG", "libpng", "TIFF", "Traceback"))
    assert largest < DecodeLimits().memory
