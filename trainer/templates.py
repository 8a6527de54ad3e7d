"""Where eyes, nose and corners of the mouth lie on the crops of the networks that exist with their weights.

A template is five points (x, y), in pixels of the crop: that of a larger crop is the same one, scaled.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Template = tuple[tuple[float, float], ...]

# SFace's, on crops of 112 pixels: the ArcFace template (Deng et al. 2019, arXiv 1801.07698).
ARCFACE_TEMPLATE: Template = ((38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20))
# Where CenterFace's points lie on the chips of 150 pixels that dlib cuts itself: the mean over 2,369 photos of
# lfw-dev, and 2 % larger, which is best there of -2, 0, 2 and 4 %.
DLIB_TEMPLATE: Template = ((46.71, 46.09), (103.33, 45.28), (73.86, 78.76), (51.13, 105.82), (97.90, 105.04))
# YuNet's points, likewise.
DLIB_YUNET_TEMPLATE: Template = ((47.40, 45.18), (103.47, 45.99), (75.45, 77.60), (51.59, 101.46), (99.24, 101.97))

# What `visavis crops --network` can cut: the size of the crop by default, pixels, and the template.
NAMED: Mapping[str, tuple[int, Template]] = MappingProxyType(
    {"sface": (112, ARCFACE_TEMPLATE), "dlib": (150, DLIB_TEMPLATE)}
)
# So far apart two templates' points may lie, pixels, and still be the same one.
_SAME = 0.1


def scaled(template: Template, factor: float) -> Template:
    """Give the template of a crop that is ``factor`` times as large."""
    return tuple((x * factor, y * factor) for x, y in template)


def is_same(one: Template, other: Template) -> bool:
    """Whether two templates of crops of one size are the same, but for rounding."""
    pairs = zip(one, other, strict=True)
    return all(abs(x - u) <= _SAME and abs(y - v) <= _SAME for (x, y), (u, v) in pairs)


def name_of(template: Template, size: int) -> str | None:
    """Name the template of a crop of ``size`` pixels as `visavis crops --network` does; None if it cannot cut it."""
    fitting = (name for name, (own, known) in NAMED.items() if is_same(scaled(known, size / own), template))
    return next(fitting, None)
