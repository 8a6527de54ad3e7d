"""How faces are looked for: the choice that an album keeps, and the settings that it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from embedder.pretrained import DEFAULT_DETECTOR, WEIGHT_FILES, WeightFile

DEFAULT_LEVEL = "balanced"


@dataclass(frozen=True)
class FurtherSettings:
    """When a photo is looked at again, turned and small, and what counts there. See ``embedder.looks``.

    Attributes:
        tile: pixels of the side of each of the four small copies, which are looked at together.
        sure: a photo that shows an upright face as sure as this is not looked at again.
        turned: a photo counts as turned if it shows an upright face as sure as this once it is turned.
        filling: a face that fills the frame counts from this confidence on.
    """

    tile: int
    sure: float = 0.7
    turned: float = 0.5
    filling: float = 0.4


@dataclass(frozen=True)
class DetectSettings:
    """What decides which faces are found. Part of a model's fingerprint.

    Attributes:
        long_side: photos are shrunk to this long side (pixels) before the detector looks. Smaller
            photos are left as they are.
        min_confidence: a face less sure than this (0–1) is left out.
        max_overlap: of two boxes that overlap more than this (IoU), the surer one is kept.
        second_side: a photo larger than ``long_side`` is looked at once more at this long side; 0: it is not.
            CenterFace only.
        exact: never on bytes, where the processor is fast with them.
        further: how a photo without a sure upright face is looked at again; None: it is not.

    Raises:
        ValueError: if the four copies of a further look are larger together than ``long_side``.
    """

    long_side: int = 640
    min_confidence: float = 0.297
    max_overlap: float = 0.3
    second_side: int = 0
    exact: bool = False
    further: FurtherSettings | None = None

    def __post_init__(self) -> None:
        if self.further is not None and 2 * self.further.tile > self.long_side:
            raise ValueError(f"copies of {self.further.tile} pixels do not fit twice into {self.long_side}")


# Measured on wider-dev: docs/accuracy.md. A confidence is set so that 93 of 100 finds are faces.
_SETTINGS: Mapping[str, Mapping[str, DetectSettings]] = MappingProxyType(
    {
        "centerface": {
            "fast": DetectSettings(long_side=480),
            "balanced": DetectSettings(further=FurtherSettings(240)),
            "thorough": DetectSettings(
                second_side=1024, min_confidence=0.315, exact=True, further=FurtherSettings(320)
            ),
        },
        "yunet": {
            "fast": DetectSettings(min_confidence=0.5),
            "balanced": DetectSettings(long_side=1024, min_confidence=0.52),
            "thorough": DetectSettings(long_side=1536, min_confidence=0.52),
        },
    }
)

DETECTION_LEVELS = tuple(_SETTINGS[DEFAULT_DETECTOR])
"""How closely photos are looked at, from the fastest to the one that finds most."""


@dataclass(frozen=True)
class Detection:
    """How faces are looked for: a detector's name, and one of ``DETECTION_LEVELS``.

    Raises:
        ValueError: if there is no such detector or level.
    """

    detector: str = DEFAULT_DETECTOR
    level: str = DEFAULT_LEVEL

    def __post_init__(self) -> None:
        if self.level not in _SETTINGS.get(self.detector, {}):
            raise ValueError(f"no detector {self.detector} at level {self.level} is known")

    @property
    def weights(self) -> WeightFile:
        """The detector's file."""
        return WEIGHT_FILES[self.detector]

    @property
    def settings(self) -> DetectSettings:
        """How the detector is used."""
        return _SETTINGS[self.detector][self.level]

    def __str__(self) -> str:
        other = "" if self.detector == DEFAULT_DETECTOR else f"--detector {self.detector} "
        return f"{other}--detection {self.level}"
