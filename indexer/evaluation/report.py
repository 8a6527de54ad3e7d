"""Plots of a measurement, and one page that holds everything. Needs matplotlib (the extra `plots`)."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Curve:
    """One curve of a plot.

    Attributes:
        label: its name.
        x, y: float (N,).
    """

    label: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Plot:
    """What a plot shows.

    Attributes:
        title, x_label, y_label: texts.
        curves: at least one.
        log_x, log_y: logarithmic axes.
        mark_x: a vertical line with its label, as at a chosen threshold.
    """

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    log_x: bool = False
    log_y: bool = False
    mark_x: tuple[float, str] | None = None


class PlotsUnavailable(Exception):
    """matplotlib is not installed."""


def draw(plot: Plot) -> bytes:
    """Draw a plot as PNG.

    Raises:
        PlotsUnavailable: without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotsUnavailable("plots need matplotlib: pip install 'visavis[plots]'") from error
    figure = Figure(figsize=(7, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    for curve in plot.curves:
        axes.plot(curve.x, curve.y, label=curve.label, linewidth=1.8)
    if plot.log_x:
        axes.set_xscale("log")
    if plot.log_y:
        axes.set_yscale("log")
    if plot.mark_x is not None:
        axes.axvline(plot.mark_x[0], color="0.4", linestyle="--", label=plot.mark_x[1])
    axes.grid(alpha=0.3)
    axes.legend()
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def page(title: str, about: Mapping[str, Any], figures: Mapping[str, Any], plots: Sequence[bytes]) -> str:
    """Write a page that needs no other file: what was measured, the figures, the plots (PNG)."""
    pictures = "".join(
        f'<img alt="plot {i}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        for i, png in enumerate(plots, 1)
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;"
        "border-bottom:1px solid #ddd}td{font-variant-numeric:tabular-nums}img{max-width:100%}</style>"
        f"<h1>{html.escape(title)}</h1>{_table(about)}<h2>Figures</h2>{_table(dict(flatten(figures)))}{pictures}</html>\n"
    )


def flatten(figures: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Give nested figures as rows: ("bcubed f", .99)."""
    rows: list[tuple[str, Any]] = []
    for key, value in figures.items():
        name = f"{above} {key}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            rows.extend(flatten(value, name))
        else:
            rows.append((name, value))
    return rows


def _table(rows: Mapping[str, Any]) -> str:
    cells = "".join(f"<tr><th>{html.escape(str(k))}</th><td>{html.escape(str(v))}</td></tr>" for k, v in rows.items())
    return f"<table>{cells}</table>"
