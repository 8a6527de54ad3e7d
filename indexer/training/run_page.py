"""One page that shows a training run: figures, curves, the hardest triplets, suspected labels. Needs no other file."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from indexer.training.chart import draw_chart
from indexer.training.run_charts import run_charts
from indexer.training.run_pictures import CropPictures

_TRIPLETS, _SUSPECTS = 24, 40  # shown
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}p{max-width:46rem}
table{border-collapse:collapse}td,th{padding:.15rem .9rem .15rem 0;text-align:left;border-bottom:1px solid #e2e2e2}
td{font-variant-numeric:tabular-nums}tr.best td,tr.best th{font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(27rem,1fr));gap:1.2rem}
figure{margin:0}figcaption{font-size:.85rem;color:#555}
.sheet{display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));gap:.9rem}
.row{display:flex;gap:.35rem;font-size:.8rem}.row div{width:96px;overflow-wrap:anywhere;line-height:1.25}
img,.none{width:96px;height:96px;display:block;background:#e1e1e1;border-radius:4px}
.bad{border-left:4px solid #c03a32;padding-left:.8rem}.good{border-left:4px solid #3a8f3a;padding-left:.8rem}
"""


@dataclass(frozen=True)
class Run:
    """What a run's folder says.

    Attributes:
        name: of the run, for the title.
        settings: of settings.json.
        log: the lines of log.jsonl.
        triplets: epoch → its hardest triplets.
        suspects: crops that are probably filed under a wrong name.
    """

    name: str
    settings: Mapping[str, Any]
    log: Sequence[Mapping[str, Any]]
    triplets: Mapping[int, Sequence[Mapping[str, Any]]]
    suspects: Sequence[Mapping[str, Any]]


def run_page(run: Run, pictures: CropPictures) -> str:
    """Write the page of a run, finished or not."""
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(run.name)}</title>',
        f"<style>{_STYLE}</style><h1>{_text(run.name)}</h1>",
        *_state(run.log),
        *_epochs(run.log),
        *_measures(run.log),
        '<h2>Curves</h2><p>Red upright lines mark events; rest the pointer on their dots.</p><div class="charts">',
        *(
            f"<figure>{draw_chart(chart)}<figcaption>{_text(note)}</figcaption></figure>"
            for chart, note in run_charts(run.log)
        ),
        "</div>",
        *_triplets(run.triplets, pictures),
        *_suspects(run.suspects, pictures),
        *_settings(run.settings),
        "</html>\n",
    ]
    return "".join(parts)


def _state(log: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    start = next((entry for entry in log if entry["kind"] == "start"), None)
    end = next((entry for entry in reversed(log) if entry["kind"] in ("end", "start")), None)
    if end is not None and end["kind"] == "end":
        mood = "good" if end["why"] == "done" else "bad"
        yield f'<p class="{mood}"><b>{_text(end["why"])}</b> after {_count(end["step"], "step")}: {_text(end["text"])}'
        yield f" Best epoch: {_text(end['best_epoch'])}.</p>" if end.get("best_epoch") is not None else "</p>"
    else:
        yield '<p class="bad">The run has not ended: it goes on, or was killed. The same command resumes it.</p>'
    if start is not None:
        trained, held_out = _count(start["people"], "person", "people"), start["held_out_people"]
        yield (
            f"<p>{_count(start['crops'], 'crop')} of {trained} to train on; {_count(held_out, 'person', 'people')} "
            f"with {_count(start['held_out_crops'], 'crop')} held out, whom the network never sees. "
            f"{_count(start['parameters'], 'parameter')}, {_text(start['device'])}.</p>"
        )
    for entry in log:
        if entry["kind"] == "event":
            yield f"<p>Step {entry['step']:,}, {_text(entry['what'])}: {_text(entry['text'])}</p>"


def _epochs(log: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    epochs = [entry for entry in log if entry["kind"] == "epoch"]
    rates = sorted(
        {far for entry in epochs for far in (entry.get("held_out") or {}).get("tar", {})}, key=float, reverse=True
    )
    if not epochs:
        return
    heads = ["epoch", "step", "loss", "active", "spread", *(f"TAR at FAR {far}" for far in rates)]
    heads += ["pairs right", "rank 1", "DIR at 1 %", "suspects"]
    yield "<h2>Epochs</h2><p>Held-out figures; epoch 0 is before training. The best epoch so far is bold.</p>"
    yield "<table><tr>" + "".join(f"<th>{_text(head)}</th>" for head in heads) + "</tr>"
    best = max((entry["epoch"] for entry in epochs if entry.get("best")), default=None)
    for entry in epochs:
        held = entry.get("held_out") or {}
        cells = [entry["epoch"], entry["step"], entry["loss"], entry["active"], entry["spread"]]
        cells += [held.get("tar", {}).get(far) for far in rates]
        cells += [held.get("accuracy"), held.get("rank1"), (held.get("dir") or {}).get("0.01"), entry.get("suspects")]
        row = "".join(f"<td>{_figure(cell)}</td>" for cell in cells)
        yield f'<tr class="best">{row}</tr>' if entry["epoch"] == best else f"<tr>{row}</tr>"
    yield "</table>"


def _measures(log: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Show DeepFace's own ways of comparing two faces, which only its recipe's log has."""
    found = next((entry for entry in reversed(log) if entry["kind"] == "measures"), None)
    if found is None:
        return
    yield (
        "<h2>Measures</h2><p>How many pairs of people held out each way of comparing two faces judges rightly, with "
        "the network of the last epoch. DeepFace's weighted chi-squared and Siamese measures were fitted to those who "
        "were trained on; <code>visavis</code> compares by cosine.</p><table>"
    )
    for name, accuracy in found.items():
        if name not in ("kind", "step", "epoch"):
            yield f"<tr><th>{_text(name)}</th><td>{_figure(accuracy)}</td></tr>"
    yield "</table>"


def _triplets(triplets: Mapping[int, Sequence[Mapping[str, Any]]], pictures: CropPictures) -> Iterator[str]:
    if not triplets:
        return
    yield (
        "<h2>The hardest triplets</h2><p>A face, the least similar other face of the same person in its batch, and the "
        "most similar face of somebody else, with their cosines. Early on they are plain mistakes. What remains in "
        "the end should be hard for you, too: if two names are one person, or a face is filed under a wrong name, "
        "mend it in the material.</p>"
    )
    for epoch in sorted({min(triplets), max(triplets)}):
        yield f'<h3>Epoch {epoch}</h3><div class="sheet">'
        for triplet in triplets[epoch][:_TRIPLETS]:
            yield '<div class="row">'
            yield _picture(triplet["anchor"], _text(triplet["person"]), pictures)
            yield _picture(triplet["positive"], f"same person, {triplet['same']:.2f}", pictures)
            yield _picture(triplet["negative"], f"{_text(triplet['other'])}, {triplet['different']:.2f}", pictures)
            yield "</div>"
        yield "</div>"


def _suspects(suspects: Sequence[Mapping[str, Any]], pictures: CropPictures) -> Iterator[str]:
    if not suspects:
        return
    yield (
        f"<h2>Suspected labels</h2><p>{_count(len(suspects), 'crop')} again and again nearer to one and the same other "
        "person than to any crop of their own: filed under a wrong name, or two names for one person. "
        "The crop, others of its person, then of the person that it looks like.</p>"
    )
    for suspect in suspects[:_SUSPECTS]:
        person, other = suspect["person"], suspect["looks_like"]
        caption = f"{_text(suspect['crop'])}: {suspect['times']} of {suspect['seen']} times nearer to {_text(other)}"
        yield f'<p>{caption}</p><div class="row">{_picture(suspect["crop"], "suspected", pictures)}'
        for name in (person, other):
            for crop in pictures.others_of(name, suspect["crop"]):
                yield _picture(crop, _text(name), pictures)
        yield "</div>"


def _settings(settings: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>Settings</h2><details><summary>All of them</summary><table>"
    for name, value in settings.items():
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        for part, entry in parts:
            yield f"<tr><th>{_text(f'{name} {part}'.strip())}</th><td>{_text(entry)}</td></tr>"
    yield "</table></details>"


def _picture(crop: str, caption: str, pictures: CropPictures) -> str:
    url = pictures.as_url(crop)
    shown = f'<img alt="{_text(crop)}" src="{url}">' if url else '<span class="none"></span>'
    return f'<div title="{_text(crop)}">{shown}{caption}</div>'


def _figure(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _count(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _text(value: object) -> str:
    return html.escape(str(value))
