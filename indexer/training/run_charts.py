"""The curves of a training run, each with a line on how to read it. Takes the log, gives text; opens no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from indexer.training.chart import BLUE, GREEN, GREY, ORANGE, RED, Band, Chart, Line

Entry = Mapping[str, Any]

_LOWEST, _LOW, _MIDDLE, _HIGH, _HIGHEST = range(5)  # of trainer.batch_statistics.QUANTILES
# What gets a mark: events, and ends, of which one that was stopped is marked where it goes on.
_TOLD, _ENDS = {"recipe", "collapsing", "resumed"}, {"collapsed", "broken"}


def run_charts(log: Sequence[Entry]) -> Iterator[tuple[Chart, str]]:
    """Yield the charts of a run, each with how to read it.

    Args:
        log: the lines of log.jsonl.
    """
    steps = [entry for entry in log if entry["kind"] == "step"]
    epochs = [entry for entry in log if entry["kind"] == "epoch"]
    marks = [(float(entry["step"]), str(entry["text"])) for entry in log if _is_marked(entry)]
    x = [float(entry["step"]) for entry in steps]

    def of(name: str) -> list[float | None]:
        return [entry.get(name) for entry in steps]

    def chart(title: str, *lines: Line, **more: Any) -> Chart:
        return Chart(title, "steps", lines, marks=marks, **more)

    yield from _held_out(epochs, marks)
    yield from _losses(steps, marks)
    yield (
        chart("Active examples", Line("", x, of("active")), least=0, most=1),
        "The share of what was compared that still has a loss. Near 0 such batches teach nothing more.",
    )
    yield _similarities(steps, x, marks)
    yield (
        chart("Spread of the embeddings", Line("", x, of("spread"), GREEN), least=0),
        "1 minus the mean similarity of two faces: about 1 is healthy, falling towards 0 is collapse.",
    )
    yield (
        chart("Directions in use", Line("", x, of("rank"), GREEN), least=0),
        "The effective rank: how many of the embedding's dimensions the faces of a batch really use.",
    )
    yield (
        chart("Learning rate", Line("", x, of("rate"), GREY), least=0),
        "Warm-up, then a fall. Where the loss jumps while this is high, it is too high.",
    )
    yield (
        chart("Length of the gradient", Line("", x, of("gradient_norm"), GREY), log_y=True),
        "Peaks of a hundred times the usual length are steps that clipping has to catch.",
    )
    if any(value is not None for value in of("distillation")):
        yield (
            chart("Loss of the teacher's term", Line("", x, of("distillation"), ORANGE), least=0),
            ("How far the network is from its teacher's embeddings."),
        )


def _is_marked(entry: Entry) -> bool:
    return (entry["kind"] == "event" and entry["what"] in _TOLD) or (entry["kind"] == "end" and entry["why"] in _ENDS)


def _losses(steps: Sequence[Entry], marks: Sequence[tuple[float, str]]) -> Iterator[tuple[Chart, str]]:
    """Draw each recipe's loss by itself: a classifier's of 40 would leave nothing to see of a triplet loss of .4."""
    recipes = list(dict.fromkeys(entry.get("recipe") for entry in steps)) or [None]
    for recipe in recipes:
        own = [entry for entry in steps if entry.get("recipe") == recipe]
        x = [float(entry["step"]) for entry in own]
        within = [mark for mark in marks if len(recipes) == 1 or x[0] <= mark[0] <= x[-1]]
        title = "Loss" if len(recipes) == 1 else f"Loss of {recipe}"
        yield (
            Chart(title, "steps", [Line("", x, [entry.get("loss") for entry in own])], marks=within, least=0),
            "It should fall and then creep. A triplet loss that stays at its margin means collapse.",
        )


def _similarities(steps: Sequence[Entry], x: Sequence[float], marks: Sequence[tuple[float, str]]) -> tuple[Chart, str]:
    def quantile(name: str, place: int) -> list[float | None]:
        return [entry[name][place] if entry.get(name) else None for entry in steps]

    bands, lines = [], []
    for name, label, colour in (
        ("same_quantiles", "same person", BLUE),
        ("different_quantiles", "different people", ORANGE),
    ):
        bands.append(Band("", x, quantile(name, _LOW), quantile(name, _HIGH), colour))
        lines.append(Line(label, x, quantile(name, _MIDDLE), colour))
    return (
        Chart("Similarities that were compared", "steps", lines, bands, marks),
        "Cosines of the mined pairs: the middle, and what lies between the 10 % and 90 % quantiles. Mining picks the "
        "hard ones, so the two start the wrong way round; training has to part them.",
    )


def _held_out(epochs: Sequence[Entry], marks: Sequence[tuple[float, str]]) -> Iterator[tuple[Chart, str]]:
    known = [entry for entry in epochs if entry.get("held_out")]
    if not known:
        return
    x = [float(entry["step"]) for entry in known]
    best = [(float(entry["step"]), f"best so far: epoch {entry['epoch']}") for entry in known if entry.get("best")]

    def of(read: Callable[[Entry], float | None]) -> list[float | None]:
        return [read(entry["held_out"]) for entry in known]

    colours = (BLUE, GREEN, ORANGE, RED)
    rates = sorted({far for entry in known for far in entry["held_out"].get("tar", {})}, key=float, reverse=True)
    lines = [
        Line(f"FAR {far}", x, of(lambda held, far=far: held["tar"].get(far)), colour)  # type: ignore[misc]
        for far, colour in zip(rates, colours, strict=False)
    ]
    yield (
        Chart("Verification of people it has not seen", "steps", lines, marks=[*best[-1:], *marks], most=1),
        "TAR: the share of true pairs that are found where so many of the false pairs are taken for true.",
    )
    lines = [
        Line("pairs right", x, of(lambda held: held.get("accuracy")), BLUE),
        Line("first guess right", x, of(lambda held: held.get("rank1")), GREEN),
        Line("named, 1 % of strangers too", x, of(lambda held: (held.get("dir") or {}).get("0.01")), ORANGE),
    ]
    shown = [line for line in lines if any(value is not None for value in line.y)]
    yield (
        Chart("Identification of people it has not seen", "steps", shown, marks=marks, most=1),
        "Pairs judged rightly at the best threshold; probes whose most similar person is theirs; probes that are "
        "named rightly where 1 % of the strangers would get a name (DIR).",
    )
