"""`visavis who`: name the people in photos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.commands.embedding import load_model
from indexer.commands.options import ANY_PATH, album_option, count, device_option, json_option, print_json, say

if TYPE_CHECKING:
    import numpy as np

    from embedder.model import EmbeddedFaces, FaceModel
    from indexer.naming.identify import IdentifySettings, Identities
    from indexer.naming.recognition import Recogniser


@dataclass(frozen=True)
class Asked:
    """A photo that was asked about, with its faces from left to right and their answers."""

    path: Path
    pixels: np.ndarray
    faces: EmbeddedFaces
    order: list[int]
    found: Identities


@click.command()
@click.argument("photos", nargs=-1, required=True, type=ANY_PATH, metavar="PHOTO...")
@album_option
@click.option(
    "--false-alarm",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Of people who are not in the album, the share that may be given a name.",
)
@click.option("--explain", is_flag=True, help="Say what the answers rest on, and how rare such a likeness is.")
@click.option("--draw", type=ANY_PATH, metavar="FOLDER", help="Write the photos with the names drawn in.")
@device_option
@json_option
def who(
    photos: tuple[Path, ...], album: Path, false_alarm: float, explain: bool, draw: Path | None, device: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Name the people in PHOTOs, one line for each face, left to right.

    The photos need not be in the archive. A face that is not like enough to anybody is unknown,
    and the line says why.

    \b
    Examples:
      visavis who party.jpg
      visavis who --false-alarm 0.001 --json *.jpg
    """
    from indexer.album import open_album
    from indexer.archive import read_archive
    from indexer.naming.identify import IdentifySettings
    from indexer.naming.recognition import build_recogniser

    recogniser = build_recogniser(read_archive(open_album(album)))
    model = load_model(recogniser.archive.album, device)
    if recogniser.calibration.warning:
        say(f"Warning: {recogniser.calibration.warning}")
    if explain:
        _explain(recogniser, false_alarm)
    unreadable = 0
    for path in photos:
        asked = _ask(path, model, recogniser, IdentifySettings(false_alarm=false_alarm))
        if asked is None:
            unreadable += 1
            continue
        _answer(asked, recogniser, as_json=as_json, explain=explain)
        if draw is not None:
            _draw(asked, recogniser, draw)
    if unreadable:
        raise click.ClickException(f"{count(unreadable, 'photo')} could not be read")


def _ask(path: Path, model: FaceModel, recogniser: Recogniser, settings: IdentifySettings) -> Asked | None:
    import numpy as np

    from embedder.decode import DecodeError, decode

    try:
        pixels = decode(path.read_bytes()).pixels
    except (OSError, DecodeError) as error:
        say(f"{path}: {error.strerror if isinstance(error, OSError) else error}")
        return None
    faces = model.find([pixels])[0]
    order = sorted(range(len(faces)), key=lambda face: int(faces.boxes_xywh[face, 0]))
    one_photo = np.zeros(len(faces), np.int64)
    found = recogniser.name(faces.embeddings, one_photo, faces.qualities, settings)
    return Asked(path, pixels, faces, order, found)


def _answer(asked: Asked, recogniser: Recogniser, *, as_json: bool, explain: bool) -> None:
    if as_json:
        print_json(_lines(asked, recogniser))
        return
    click.echo(f"{asked.path}: {count(len(asked.faces), 'face')}")
    for number, line in enumerate(_lines(asked, recogniser), 1):
        if line["person"] is None:
            click.echo(f"  {number}  unknown: {line['reason']}")
        else:
            click.echo(f"  {number}  {line['person']} (similarity {line['similarity']:.2f})")
        if explain and line["probability"] > 0:
            click.echo(f"       {_rarity(line['probability'])} strangers looks this much like somebody in the album")


def _rarity(probability: float) -> str:
    from indexer.naming.calibration import LEAST_RATE

    rate = 1 - probability
    return f"1 in {1 / rate:,.0f}" if rate > LEAST_RATE else f"fewer than 1 in {1 / LEAST_RATE:,.0f}"


def _lines(asked: Asked, recogniser: Recogniser) -> Iterator[dict[str, Any]]:
    archive, found = recogniser.archive, asked.found
    names = archive.people.persons
    for face in asked.order:
        rows = [int(recogniser.rows[row]) for row in found.nearest[face] if row >= 0]
        yield {
            "photo": str(asked.path),
            "box": [int(v) for v in asked.faces.boxes_xywh[face]],
            "confidence": round(float(asked.faces.confidences[face]), 4),
            "person": names.get(int(found.person[face])),
            "similarity": round(float(found.similarity[face]), 4),
            "probability": round(float(found.probability[face]), 6),
            "reason": recogniser.explain(found, face),
            "nearest": [
                {
                    "photo": archive.paths[row],
                    "box": archive.box(row),
                    "person": names.get(int(archive.persons[row])),
                    "similarity": round(float(archive.embeddings[row] @ asked.faces.embeddings[face]), 4),
                }
                for row in rows
            ],
        }


def _explain(recogniser: Recogniser, false_alarm: float) -> None:
    calibration, people = recogniser.calibration, len(recogniser.gallery.people)
    say(f"{count(people, 'person', 'people')} with {count(len(recogniser.rows), 'face')} to compare with.")
    if people:
        say(f"False alarms are known from {calibration.source}:")
        for share in sorted({0.1, 0.01, 0.001, false_alarm}, reverse=True):
            chosen = "  <- --false-alarm" if share == false_alarm else ""
            say(f"  {share:g} of strangers reach a similarity of {calibration.threshold(share):.3f}{chosen}")


def _draw(asked: Asked, recogniser: Recogniser, folder: Path) -> None:
    from indexer.sheet import annotate, encode_jpeg

    names = recogniser.archive.people.persons
    folder.mkdir(parents=True, exist_ok=True)
    labels = [names.get(int(person)) for person in asked.found.person]
    target = folder / f"{asked.path.stem}-who.jpg"
    target.write_bytes(encode_jpeg(annotate(asked.pixels, asked.faces.boxes_xywh.tolist(), labels)))
    say(f"Drawn: {target}")
