"""A gallery and its calibration as plain arrays, to be kept until the album changes. Arrays in, arrays out.

The embeddings are not among them: they are the album's own, and nine tenths of it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.naming.calibration import Calibration
from indexer.naming.gallery import Gallery, unit_rows

FORMAT = 2
"""To be raised by whoever changes how a gallery or a calibration is made: what was stored before is then not used."""

_GALLERY = tuple(field.name for field in fields(Gallery) if field.name not in ("embeddings", "usual"))
_CONTENTS, _NUMBERS, _WORDS = "contents", "numbers", "words"


def pack(gallery: Gallery, calibration: Calibration, contents: str) -> dict[str, NDArray[Any]]:
    """Give arrays from which ``unpack`` makes the same again.

    Args:
        contents: a name for what they were made from.
    """
    return {name: getattr(gallery, name) for name in _GALLERY} | {
        "similarities": calibration.similarities,
        "rates": calibration.rates,
        _NUMBERS: np.array([gallery.usual, calibration.min_margin]),
        _WORDS: np.array([calibration.source, calibration.warning or ""]),
        _CONTENTS: np.array([contents]),
    }


def unpack(
    arrays: Mapping[str, NDArray[Any]], contents: str, embeddings: NDArray[np.floating]
) -> tuple[Gallery, Calibration] | None:
    """Make a gallery and its calibration from what was stored; None if it was made from something else.

    Args:
        contents: the name of what they are to be made from.
        embeddings: (G, D) unit rows, as ``build_gallery`` would be given them.
    Raises:
        ValueError: if an embedding is not a unit vector of numbers.
    """
    if _CONTENTS not in arrays or arrays[_CONTENTS].tolist() != [contents]:
        return None
    rows = unit_rows(embeddings, "gallery face")[arrays["rows"]]
    usual, min_margin = arrays[_NUMBERS].tolist()
    source, warning = arrays[_WORDS].tolist()
    gallery = Gallery(embeddings=rows, usual=usual, **{name: arrays[name] for name in _GALLERY})
    return gallery, Calibration(arrays["similarities"], arrays["rates"], min_margin, source, warning or None)
