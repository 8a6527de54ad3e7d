"""A folder of aligned crops by person: what lies in it, who is held out, and how a crop is read.

    CROPS/crops.json        size, template, margin, which people are held out
    CROPS/Ann Lee/1.png     RGB, square, side = size + 2 · margin

This module and ``trainer.augment`` are the only ones of the trainer that use OpenCV: a crop is a small
picture, not a photo, and torch has no decoder for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SETTINGS_FILE = "crops.json"
# Faces whose person nobody said lie here: they are distilled, and never trained on or measured by name.
UNNAMED = "_unnamed"
_SUFFIXES = (".png", ".jpg", ".jpeg")
_VERSION = 1


class CropsError(Exception):
    """A folder of crops, or a crop, that cannot be used. The message names it and the remedy."""


@dataclass(frozen=True)
class CropsSettings:
    """How the crops of a folder were cut.

    Attributes:
        size: side of what a network sees, pixels.
        margin: pixels around it on each side, from which shifts and turns take what they bring in.
        template: (x, y) of the eyes, the nose and the corners of the mouth, in pixels of the inner part.
        network: whose template it is, for the reader.
        held_out: share of the people that are not trained on.
        source: where the photos came from, for the reader.
    """

    size: int
    margin: int
    template: tuple[tuple[float, float], ...]
    network: str
    held_out: float = 0.25
    source: str = ""

    def __post_init__(self) -> None:
        if self.size < 32 or self.margin < 0 or len(self.template) != 5:
            raise ValueError(f"crops need a size of at least 32, a margin and five points: {self}")
        if not 0 <= self.held_out < 1:
            raise ValueError(f"the share of people held out lies between 0 and 1, not {self.held_out}")

    @property
    def side(self) -> int:
        """Side of a stored crop, pixels."""
        return self.size + 2 * self.margin


class Names:
    """Many names in one piece of memory: a million strings of their own would take ten times as much."""

    def __init__(self, names: Iterable[str]) -> None:
        content, ends = bytearray(), array("q")
        for name in names:
            content += os.fsencode(name)
            ends.append(len(content))
        self._content, self._ends = content, np.frombuffer(ends, np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self._ends):
            raise IndexError(f"there is no name {number} among {len(self._ends)}")
        start = int(self._ends[number - 1]) if number else 0
        return os.fsdecode(bytes(self._content[start : int(self._ends[number])]))

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))


@dataclass(frozen=True)
class CropsFolder:
    """What lies in a folder of crops.

    Attributes:
        root: where it is.
        settings: how its crops were cut.
        paths: of the N crops, below ``root``, by person.
        labels: int64 (N,), the person of each, a place in ``people``; -1 for a face without a name.
        people: their names, in order.
    """

    root: Path
    settings: CropsSettings
    paths: Names
    labels: NDArray[np.int64]
    people: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def held_out(self, share: float | None = None) -> NDArray[np.bool_]:
        """Tell which crops are of people who are held out: bool (N,).

        Args:
            share: of the people; None for that of the folder's settings.
        """
        chosen = self.settings.held_out if share is None else share
        out = np.array([is_held_out(person, chosen) for person in self.people] + [False], np.bool_)
        return np.asarray(out[self.labels])

    def path(self, row: int) -> Path:
        """Give the file of a crop."""
        return self.root / self.paths[row]


def is_held_out(person: str, share: float) -> bool:
    """Whether a person is held out, by a hash of the name: whoever joins later moves nobody."""
    digest = hashlib.sha256(unicodedata.normalize("NFC", person).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def write_crops_settings(root: Path, settings: CropsSettings) -> None:
    """Write ``crops.json``, whole or not at all."""
    content = json.dumps({"version": _VERSION, **asdict(settings)}, indent=1, ensure_ascii=False)
    temporary = root / f".{SETTINGS_FILE}"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(root / SETTINGS_FILE)


def read_crops_settings(root: Path) -> CropsSettings:
    """Read ``crops.json``.

    Raises:
        CropsError: if it is not there or does not say what it must.
    """
    path = root / SETTINGS_FILE
    if not path.is_file():
        raise CropsError(
            f"{root} is no folder of crops: it has no {SETTINGS_FILE}. "
            f"Make one with `visavis crops PEOPLE --out {root}`"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            raise CropsError(f"{path} has version {content['version']}, but this visavis reads {_VERSION}: update it")
        content["template"] = tuple((float(x), float(y)) for x, y in content["template"])
        return CropsSettings(**{entry.name: content[entry.name] for entry in fields(CropsSettings)})
    except (ValueError, KeyError, TypeError) as error:
        raise CropsError(f"{path} cannot be read ({error!r}): make the crops again with `visavis crops`") from error


def read_crops_folder(root: Path) -> CropsFolder:
    """List a folder of crops. No picture is opened.

    Raises:
        CropsError: if it is no folder of crops, or holds no crop.
    """
    settings = read_crops_settings(root)
    labels = array("q")
    people: list[str] = []

    def names() -> Iterator[str]:
        for person in sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] != "."):
            files = sorted(e.name for e in os.scandir(root / person) if e.name.lower().endswith(_SUFFIXES))
            files = [name for name in files if not name.startswith(".")]
            if files and person != UNNAMED:
                people.append(person)
            labels.extend([-1 if person == UNNAMED else len(people) - 1] * len(files))
            yield from (f"{person}/{name}" for name in files)

    paths = Names(names())
    if not len(paths):
        raise CropsError(
            f"{root} holds no crop: expected {root}/NAME/CROP.png. Fill it with `visavis crops PEOPLE --out {root}`"
        )
    return CropsFolder(root, settings, paths, np.array(labels, np.int64), tuple(people))


def read_crop(path: Path, side: int) -> NDArray[np.uint8]:
    """Read a crop: uint8 RGB (side, side, 3), margin included.

    Raises:
        CropsError: if it cannot be decoded or has another size.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise CropsError(f"{path} cannot be read: {error.strerror}") from error
    pixels = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB) if len(content) else None
    if pixels is None:
        raise CropsError(
            f"{path} is no picture or is cut short: put it back, or delete it and let `visavis crops` make it again"
        )
    if pixels.shape[:2] != (side, side):
        raise CropsError(
            f"{path} is {pixels.shape[1]}×{pixels.shape[0]} pixels, but the crops of this folder are {side}×{side} "
            "(size and margin of crops.json): delete it and let `visavis crops` make it again"
        )
    return pixels.astype(np.uint8, copy=False)


def inner(crop: NDArray[np.uint8], settings: CropsSettings) -> NDArray[np.uint8]:
    """Take the margin off: uint8 (size, size, 3)."""
    return crop[settings.margin : settings.margin + settings.size, settings.margin : settings.margin + settings.size]
