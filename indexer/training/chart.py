"""Line charts as SVG text: no script, no font file, nothing from elsewhere."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Numbers = Sequence[float | None]

BLUE, ORANGE, GREEN, RED, GREY = "#1f6fb4", "#d9760f", "#3a8f3a", "#c03a32", "#767676"

_WIDTH, _HEIGHT = 470, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 34, 40  # margins around the field of the curves
_POINTS = 240  # more are averaged: nobody sees single steps among thousands
_DOTS = 40  # a curve with fewer points shows them


@dataclass(frozen=True)
class Line:
    """One curve; None and numbers that are none leave a gap.

    Attributes:
        label: for the legend; "" leaves it out there.
        x, y: as many of each, x rising.
        colour: as SVG writes it.
        dashed: drawn so.
    """

    label: str
    x: Sequence[float]
    y: Numbers
    colour: str = BLUE
    dashed: bool = False


@dataclass(frozen=True)
class Band:
    """What lies between two curves, as between two quantiles."""

    label: str
    x: Sequence[float]
    low: Numbers
    high: Numbers
    colour: str = BLUE


@dataclass(frozen=True)
class Chart:
    """What is drawn.

    Attributes:
        title, x_label: texts.
        lines, bands: bands lie below.
        marks: (x, text) of what happened: an upright line, the text when the pointer rests on it.
        least, most: of the y axis, where it shall not follow from the curves.
        log_y: tens, not units; values of 0 and less leave a gap.
    """

    title: str
    x_label: str
    lines: Sequence[Line] = ()
    bands: Sequence[Band] = ()
    marks: Sequence[tuple[float, str]] = ()
    least: float | None = None
    most: float | None = None
    log_y: bool = False


def draw_chart(chart: Chart) -> str:
    """Draw a chart as an ``<svg>`` element; one without a single number says so."""
    lines = [_thinned(line) for line in chart.lines]
    bands = [_thinned_band(band) for band in chart.bands]
    xs = [x for line in lines for x in line.x] + [x for band in bands for x in band.x] + [x for x, _ in chart.marks]
    values = [y for line in lines for y in _seen(line.y, chart.log_y)]
    values += [y for band in bands for side in (band.low, band.high) for y in _seen(side, chart.log_y)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{html.escape(chart.title)}" font-family="system-ui,sans-serif" font-size="11">'
        f'<text x="{_LEFT}" y="15" font-size="13" font-weight="600">{html.escape(chart.title)}</text>'
    )
    if not values or not xs:
        return f'{head}<text x="{_LEFT}" y="{_HEIGHT // 2}" fill="{GREY}">no figures</text></svg>'
    frame = _Frame.around(xs, values, chart)
    parts = [head, *frame.axes(chart.x_label)]
    parts += [frame.mark(x, text) for x, text in chart.marks]
    parts += [frame.area(band) for band in bands]
    parts += [frame.curve(line) for line in lines]
    return "".join([*parts, *_legend(chart), "</svg>"])


def ticks(least: float, most: float, wanted: int = 5) -> list[float]:
    """Give round numbers from ``least`` to ``most``: 1, 2 or 5 times a power of ten apart."""
    rough = (most - least) / max(1, wanted)
    if not rough > 0:
        return [least]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(least / step - 1e-9), math.floor(most / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


@dataclass(frozen=True)
class _Frame:
    """The field of the curves: which numbers lie at which pixels."""

    x_least: float
    x_most: float
    y_least: float
    y_most: float
    log_y: bool

    @staticmethod
    def around(xs: Sequence[float], values: Sequence[float], chart: Chart) -> _Frame:
        least = min(values) if chart.least is None else chart.least
        most = max(values) if chart.most is None else chart.most
        if chart.log_y:
            least, most = math.floor(math.log10(least)), math.ceil(math.log10(most))
        if least == most:
            least, most = least - 0.5, most + 0.5
        room = 0 if chart.log_y else (most - least) * 0.05
        least -= room if chart.least is None else 0
        most += room if chart.most is None else 0
        x_least, x_most = min(xs), max(xs)
        return _Frame(x_least, x_most if x_most > x_least else x_least + 1, least, most, chart.log_y)

    def left(self, x: float) -> float:
        return _LEFT + (x - self.x_least) / (self.x_most - self.x_least) * (_WIDTH - _LEFT - _RIGHT)

    def top(self, y: float) -> float:
        y = math.log10(y) if self.log_y else y
        share = (y - self.y_least) / (self.y_most - self.y_least)
        return _HEIGHT - _BOTTOM - min(max(share, 0.0), 1.0) * (_HEIGHT - _TOP - _BOTTOM)

    def point(self, x: float, y: float) -> str:
        return f"{self.left(x):.1f},{self.top(y):.1f}"

    def axes(self, x_label: str) -> Iterator[str]:
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        powers = [10.0**power for power in range(round(self.y_least), round(self.y_most) + 1)] if self.log_y else []
        for value in powers or ticks(self.y_least, self.y_most):
            y = self.top(value)
            yield f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#e4e4e4"/>'
            yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{GREY}">{value:g}</text>'
        for value in ticks(self.x_least, self.x_most):
            x = self.left(value)
            yield f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle" fill="{GREY}">{value:g}</text>'
        yield f'<path d="M{_LEFT} {bottom}H{right}" stroke="{GREY}"/>'
        label = html.escape(x_label)
        yield f'<text x="{right}" y="{_HEIGHT - 8}" text-anchor="end" fill="{GREY}">{label}</text>'

    def mark(self, x: float, text: str) -> str:
        at = self.left(x)
        return (
            f'<g><title>{html.escape(text)}</title><path d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="{RED}" '
            f'stroke-dasharray="2 3"/><circle cx="{at:.1f}" cy="{_TOP}" r="3" fill="{RED}"/></g>'
        )

    def area(self, band: Band) -> str:
        sides = zip(band.x, band.low, band.high, strict=True)
        rows = [(x, low, high) for x, low, high in sides if _is_seen(low, self.log_y) and _is_seen(high, self.log_y)]
        if not rows:
            return ""
        there = [self.point(x, high) for x, _, high in rows if high is not None]
        back = [self.point(x, low) for x, low, _ in reversed(rows) if low is not None]
        return f'<polygon points="{" ".join(there + back)}" fill="{band.colour}" fill-opacity=".18"/>'

    def curve(self, line: Line) -> str:
        runs: list[list[str]] = [[]]
        for x, y in zip(line.x, line.y, strict=True):
            if y is not None and _is_seen(y, self.log_y):
                runs[-1].append(self.point(x, y))
            elif runs[-1]:
                runs.append([])
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        drawn = "".join(
            f'<polyline points="{" ".join(run)}" fill="none" stroke="{line.colour}" stroke-width="1.7"{dash}/>'
            for run in runs
            if len(run) > 1
        )
        points = [point for run in runs for point in run]
        if len(points) <= _DOTS:
            for point in points:
                left, top = point.split(",")
                drawn += f'<circle cx="{left}" cy="{top}" r="2.4" fill="{line.colour}"/>'
        return drawn


def _legend(chart: Chart) -> Iterator[str]:
    left = float(_LEFT)
    shown = [(line.label, line.colour, False) for line in chart.lines if line.label]
    shown += [(band.label, band.colour, True) for band in chart.bands if band.label]
    for label, colour, wide in shown:
        mark = (
            f'<rect x="{left:.0f}" y="20" width="14" height="9" fill="{colour}" fill-opacity=".25"/>'
            if wide
            else f'<path d="M{left:.0f} 25h14" stroke="{colour}" stroke-width="2.5"/>'
        )
        yield f'{mark}<text x="{left + 18:.0f}" y="29">{html.escape(label)}</text>'
        left += 30 + 6.2 * len(label)


def _is_seen(value: float | None, log_y: bool) -> bool:
    return value is not None and math.isfinite(value) and (value > 0 or not log_y)


def _seen(values: Numbers, log_y: bool) -> list[float]:
    return [value for value in values if value is not None and _is_seen(value, log_y)]


def _thinned(line: Line) -> Line:
    x, (y,) = _averaged(line.x, [line.y])
    return Line(line.label, x, y, line.colour, line.dashed)


def _thinned_band(band: Band) -> Band:
    x, (low, high) = _averaged(band.x, [band.low, band.high])
    return Band(band.label, x, low, high, band.colour)


def _averaged(x: Sequence[float], columns: Sequence[Numbers]) -> tuple[Sequence[float], Sequence[Numbers]]:
    """Average neighbours until there are at most ``_POINTS``; what is no number does not count."""
    size = -(-len(x) // _POINTS)
    if size <= 1:
        return x, columns
    starts = range(0, len(x), size)

    def mean(values: Numbers) -> float | None:
        there = _seen(values, False)
        return sum(there) / len(there) if there else None

    places = [mean(x[start : start + size]) or 0.0 for start in starts]
    return places, [[mean(column[start : start + size]) for start in starts] for column in columns]
