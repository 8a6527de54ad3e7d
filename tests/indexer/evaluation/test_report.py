"""Plots and the page."""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image

from indexer.evaluation.report import Curve, Plot, draw, flatten, page


def test_a_plot_is_a_picture_with_both_curves() -> None:
    grid = np.linspace(0.001, 1, 50)
    plot = Plot("T", "x", "y", [Curve("a", grid, grid), Curve("b", grid, grid**2)], log_x=True, mark_x=(0.5, "here"))
    picture = np.asarray(Image.open(io.BytesIO(draw(plot))).convert("RGB"))
    colours = {tuple(c) for c in picture.reshape(-1, 3).tolist()}
    assert (31, 119, 180) in colours and (255, 127, 14) in colours


def test_a_page_needs_no_other_file_and_escapes_what_it_shows() -> None:
    text = page("Verification <1>", {"images": "a&b"}, {"bcubed": {"f": 0.99}}, [b"png"])
    assert "Verification &lt;1&gt;" in text and "a&amp;b" in text
    assert "<th>bcubed f</th><td>0.99</td>" in text
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_flatten_names_nested_figures() -> None:
    assert flatten({"a": 1, "b_c": {"d": {"e": 2}}}) == [("a", 1), ("b c d e", 2)]
