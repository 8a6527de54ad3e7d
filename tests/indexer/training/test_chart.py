"""Charts: every number lies where the axes say, gaps stay gaps, and nothing breaks the page."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from indexer.training.chart import Band, Chart, Line, draw_chart, ticks

SVG = "{http://www.w3.org/2000/svg}"


def drawn(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(draw_chart(chart))


def points(element: ElementTree.Element) -> list[tuple[float, float]]:
    return [tuple(float(v) for v in pair.split(",")) for pair in element.attrib["points"].split()]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.13, 0.87, [0.2, 0.4, 0.6, 0.8]),
        (-3, 12, [0, 5, 10]),
        (0, 12_000, [0, 5000, 10_000]),
        (2, 2, [2]),
        (0, 0.00011, [0, 0.00005, 0.0001]),
    ],
)
def test_ticks_are_round_numbers_inside(least: float, most: float, expected: list[float]) -> None:
    assert ticks(least, most) == expected


def test_a_curve_lies_where_the_axes_say() -> None:
    """Read the ticks of both axes back from the drawing, and put the numbers between them."""
    root = drawn(Chart("title", "steps", [Line("", [0, 25, 100], [0.2, 0.6, 0.4])], least=0, most=1))
    found = points(root.findall(f"{SVG}polyline")[0])
    texts = {t.text: (float(t.attrib["x"]), float(t.attrib["y"])) for t in root.findall(f"{SVG}text")}
    left, right = texts["0"], texts["100"]
    low, high = texts["0.2"][1] - 4, texts["0.8"][1] - 4
    for (x, y), (at_x, at_y) in zip(found, [(0, 0.2), (25, 0.6), (100, 0.4)], strict=True):
        assert y == pytest.approx(low + (at_y - 0.2) / 0.6 * (high - low), abs=0.2)
        assert found[0][0] + (right[0] - found[0][0]) * at_x / 100 == pytest.approx(x, abs=0.2)
    assert left is not None


def test_numbers_that_are_none_leave_a_gap() -> None:
    line = Line("", list(range(7)), [1, 2, None, 3, math.nan, 4, 5])
    root = drawn(Chart("title", "steps", [line]))
    assert [len(points(run)) for run in root.findall(f"{SVG}polyline")] == [2, 2], "3 stands alone, as a dot"
    assert len(root.findall(f"{SVG}circle")) == 5


def test_tens_need_numbers_above_zero() -> None:
    root = drawn(Chart("title", "steps", [Line("", [0, 1, 2, 3], [0, 1, 10, 100])], log_y=True))
    run = points(root.findall(f"{SVG}polyline")[0])
    assert len(run) == 3 and run[0][1] - run[1][1] == pytest.approx(run[1][1] - run[2][1], abs=0.2)


def test_many_steps_are_averaged_and_few_are_not() -> None:
    many = drawn(Chart("title", "steps", [Line("", list(range(10_000)), [float(n % 2) for n in range(10_000)])]))
    heights = {y for _, y in points(many.findall(f"{SVG}polyline")[0])}
    assert len(points(many.findall(f"{SVG}polyline")[0])) <= 240 and len(heights) == 1, "every mean is a half"


def test_a_band_goes_there_and_back() -> None:
    root = drawn(Chart("title", "steps", bands=[Band("", [0, 1, 2], [0, None, 0], [1, 1, 1])]))
    assert len(points(root.findall(f"{SVG}polygon")[0])) == 4


def test_nothing_to_draw_says_so() -> None:
    for chart in (Chart("title", "steps"), Chart("title", "steps", [Line("", [1], [None])])):
        assert "no figures" in draw_chart(chart)


def test_texts_are_escaped_and_nothing_is_loaded_from_elsewhere() -> None:
    svg = draw_chart(Chart("<b>", "<x>", [Line("a&b", [0, 1], [0, 1])], marks=[(0.5, "<script>")]))
    ElementTree.fromstring(svg)
    assert "<script>" not in svg and "<b>" not in svg
    assert re.findall(r"(?:href|src|url)\b", svg) == []
