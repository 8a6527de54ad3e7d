"""`visavis who`: name the people in photos, or in the whole album."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.options import ANY_PATH, album_option, count, device_option, json_option, print_json, say
from indexer.commands.who_all import name_album, name_files
from indexer.commands.who_photos import NamedPhoto, PhotoNamer, files_below

if TYPE_CHECKING:
    from indexer.named_faces import Line
    from indexer.naming.recognition import Recogniser

_EVIDENCE = 3  # photos that --explain shows for each face


@click.command()
@click.argument("photos", nargs=-1, type=ANY_PATH, metavar="[PHOTO_OR_FOLDER]...")
@album_option
@click.option("--all", "everything", is_flag=True, help="Name every face of the album, from what it holds.")
@click.option(
    "--out",
    type=ANY_PATH,
    metavar="FILE",
    help="Write the answers to a .parquet or .jsonl file; interrupted, the same command goes on.",
)
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
    photos: tuple[Path, ...], album: Path, everything: bool, out: Path | None, false_alarm: float, explain: bool,
    draw: Path | None, device: str, as_json: bool,
) -> None:  # fmt: skip
    """Name the people in PHOTOs, one line for each face, left to right.

    The photos need not be in the archive. A face that is not like enough to anybody is unknown,
    and the line says why. A photo that the album holds is not decoded again, and what was said
    of its faces holds. With --all every face of the album is named.

    \b
    Examples:
      visavis who party.jpg
      visavis who --false-alarm 0.001 --json *.jpg
      visavis who --all --out people.parquet
    """
    from indexer.album import open_album
    from indexer.answers import album_groups
    from indexer.archive import read_archive
    from indexer.kept_recogniser import open_recogniser
    from indexer.naming.identify import IdentifySettings

    _check_use(photos, everything=everything, out=out, look=explain or draw is not None)
    files = files_below(photos) if photos else []
    recogniser = open_recogniser(read_archive(open_album(album)))
    if recogniser.calibration.warning:
        say(f"Warning: {recogniser.calibration.warning}")
    settings = IdentifySettings(false_alarm=false_alarm)
    groups = album_groups(recogniser.archive)
    if everything:
        name_album(recogniser, settings, groups, out=out, as_json=as_json)
        return
    namer = PhotoNamer(recogniser, settings, groups, device)
    if out is not None:
        name_files(recogniser, settings, groups, namer, files, out=out, as_json=as_json)
        return
    if explain:
        _explain(recogniser, false_alarm)
    _answer(namer, files, recogniser if explain else None, draw=draw, as_json=as_json)


def _check_use(photos: Sequence[Path], *, everything: bool, out: Path | None, look: bool) -> None:
    if everything == bool(photos):
        raise click.UsageError("name photos or folders, or every face of the album with --all")
    if (everything or out is not None) and look:
        raise click.UsageError("--explain and --draw are for photos: leave out --all and --out")
    if out is not None and out.suffix not in (".parquet", ".jsonl"):
        raise click.UsageError(f"--out {out} must end in .parquet or .jsonl")


def _answer(
    namer: PhotoNamer, files: list[Path], explained: Recogniser | None, *, draw: Path | None, as_json: bool
) -> None:
    """Print the answers of each file; ``explained`` is None if nobody wants to know why."""
    unreadable = 0
    for photo in namer.name(files):
        if photo.problem is not None:
            say(f"{photo.path}: {photo.problem}")
            unreadable += 1
            continue
        if as_json:
            print_json(photo.lines)
        else:
            _print(photo, explained)
        if draw is not None:
            _draw(photo, draw)
    if unreadable:
        raise click.ClickException(f"{count(unreadable, 'photo')} could not be read")


def _print(photo: NamedPhoto, explained: Recogniser | None) -> None:
    click.echo(f"{photo.path}: {count(len(photo.lines), 'face')}")
    for number, line in zip(photo.numbers, photo.lines, strict=True):
        if line["said"]:
            click.echo(f"  {number}  {line['person']} (named in the album)")
        elif line["person"] is not None:
            click.echo(f"  {number}  {line['person']} (similarity {line['similarity']:.2f})")
        else:
            click.echo(f"  {number}  unknown: {line['reason']}")
        if explained is not None and line["most_like"] is not None and not line["said"]:
            for text in _evidence(line, explained):
                click.echo(f"       {text}")


def _evidence(line: Line, recogniser: Recogniser) -> list[str]:
    """Say how rare such a likeness is among strangers, and which photos it comes from."""
    people = len(recogniser.gallery.people)
    others = "" if people == 1 else f", or like another of the {people:,} people"
    texts = [f"{_rarity(line['probability'])} this much like {line['most_like']}{others}"]
    texts += [f"{near['similarity']:.2f} {near['person']}, {near['photo']}" for near in line["nearest"][:_EVIDENCE]]
    return texts


def _rarity(probability: float) -> str:
    from indexer.naming.calibration import LEAST_RATE

    rate = 1 - probability
    if rate > 0.5:
        return f"{round(100 * rate)} in 100 strangers look"
    return (
        f"1 in {1 / rate:,.0f} strangers looks"
        if rate > 1.5 * LEAST_RATE
        else "fewer than 1 in 1,000,000 strangers look"
    )


def _explain(recogniser: Recogniser, false_alarm: float) -> None:
    calibration, people = recogniser.calibration, len(recogniser.gallery.people)
    say(f"{count(people, 'person', 'people')} with {count(len(recogniser.rows), 'face')} to compare with.")
    if people:
        say(f"False alarms are known from {calibration.source}:")
        for share in sorted({0.1, 0.01, 0.001, false_alarm}, reverse=True):
            chosen = "  <- --false-alarm" if share == false_alarm else ""
            say(f"  {share:g} of strangers reach a similarity of {calibration.threshold(share):.3f}{chosen}")


def _draw(photo: NamedPhoto, folder: Path) -> None:
    from embedder.decode import decode
    from indexer.sheet import annotate, encode_jpeg

    folder.mkdir(parents=True, exist_ok=True)
    boxes, labels = [line["box"] for line in photo.lines], [line["person"] for line in photo.lines]
    target = folder / f"{photo.path.stem}-who.jpg"
    target.write_bytes(encode_jpeg(annotate(decode(photo.path.read_bytes()).pixels, boxes, labels)))
    say(f"Drawn: {target}")
