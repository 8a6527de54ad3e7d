"""Options and manners that the commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from embedder.detection import DEFAULT_LEVEL, DETECTION_LEVELS
from embedder.model_records import FILE_SUFFIXES, is_model_file
from embedder.pretrained import DEFAULT_DETECTOR, DEFAULT_NETWORK, DETECTORS, NETWORKS
from indexer.album import default_album

Command = TypeVar("Command", bound=Callable[..., Any])

ANY_PATH = click.Path(path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def album_option(command: Command) -> Command:
    """Add ``--album``; the command gets ``album: Path``."""
    return click.option(
        "--album",
        type=ANY_PATH,
        default=default_album,
        show_default="$VISAVIS_ALBUM, else a folder of the user's data",
        help="Folder that holds all visavis knows about an archive.",
    )(command)


def model_option(command: Command) -> Command:
    """Add ``--model``; the command gets ``model: str | None``, as ``embedder.model.choose_model`` takes it."""
    return click.option(
        "--model",
        metavar=f"[{'|'.join(sorted(NETWORKS))}|FILE]",
        callback=check_model,
        help="Network that embeds the faces: a name, a weight file (.safetensors) or an ONNX file. "
        f"[default: the album's; {DEFAULT_NETWORK} for a new album]",
    )(command)


def detection_options(command: Command) -> Command:
    """Add ``--detection`` and ``--detector``; the command gets ``detection`` and ``detector``: str | None."""
    for option in (
        click.option(
            "--detector",
            type=click.Choice(sorted(DETECTORS)),
            help=f"What looks for faces. [default: the album's; {DEFAULT_DETECTOR} for a new album]",
        ),
        click.option(
            "--detection",
            type=click.Choice(DETECTION_LEVELS),
            help="How closely photos are looked at for faces: fast finds fewer of the small ones and looks for none in "
            "photos that lie on their side; thorough finds more and "
            f"takes six times as long for it. [default: the album's; {DEFAULT_LEVEL} for a new album]",
        ),
    ):
        command = option(command)
    return command


def check_model(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Pass the name of a model in the table, or give the absolute path of a file."""
    if value is None or value in NETWORKS:
        return value
    if not is_model_file(value):
        known, suffixes = ", ".join(sorted(NETWORKS)), " or ".join(FILE_SUFFIXES)
        raise click.BadParameter(f"{value!r} is neither one of {known} nor a file {suffixes}")
    if not Path(value).is_file():
        raise click.BadParameter(f"there is no file {value}")
    return str(Path(value).resolve())


def device_option(command: Command) -> Command:
    """Add ``--device``; the command gets ``device: str``."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda[:N]",
        help="Where to compute. auto takes CUDA where there is one.",
    )(command)


def json_option(command: Command) -> Command:
    """Add ``--json``; the command gets ``as_json: bool``."""
    return click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout, nothing else there.")(command)


def say(text: str) -> None:
    """Tell the user something that is no result: it goes to stderr."""
    click.echo(text, err=True)


def print_json(rows: Iterable[dict[str, Any]]) -> None:
    """Print one JSON object a line."""
    for row in rows:
        click.echo(json.dumps(row, ensure_ascii=False))


def print_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print rows in columns; columns whose header ends in a space are aligned to the right."""
    cells = [tuple(h.strip() for h in header), *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        line = [
            cell.rjust(width) if head.endswith(" ") else cell.ljust(width)
            for cell, width, head in zip(row, widths, header, strict=True)
        ]
        click.echo("  ".join(line).rstrip())


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Write "1 face", "2,300 faces"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def is_terminal() -> bool:
    """Whether stderr is looked at by a person."""
    return sys.stderr.isatty()
