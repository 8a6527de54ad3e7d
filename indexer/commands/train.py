"""`visavis train`: make a network, or a better one, from crops by person."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embedder.pretrained import NETWORKS, locate
from indexer.commands.compare import comparison_as_dict, print_comparison
from indexer.commands.options import ANY_PATH, FOLDER, device_option, json_option, print_json, say
from indexer.commands.steps import steps_progress
from indexer.commands.train_album import compare_run, crops_of_album
from indexer.commands.train_options import training_options

if TYPE_CHECKING:
    from indexer.training.album_comparison import AlbumComparison
    from trainer.endings import Trained
    from trainer.settings import TrainSettings

# Of SFace's maps for a new slim network: after 60 steps the error on people held out was .387 with it, .403 with 1.
_HINTS = 5.0


@click.command()
@click.argument("crops", type=FOLDER, required=False)
@click.option("--album", type=FOLDER, help="Train on the named people of this album; its model is where it begins.")
@click.option("--out", type=ANY_PATH, required=True, help="Folder of the run. If a run is there, it goes on.")
@training_options
@click.option("--readers", type=click.IntRange(1), default=2, show_default=True, help="Threads that read crops.")
@click.option("--threads", type=click.IntRange(0), default=0, help="Of a step on the CPU. [default: torch's choice]")
@click.option("--fresh", is_flag=True, help="Begin again where a run is there already.")
@device_option
@json_option
def train(
    crops: Path | None, album: Path | None, out: Path, device: str, as_json: bool, fresh: bool, readers: int,
    threads: int, **options: Any,
) -> None:  # fmt: skip
    """Train a network on CROPS, a folder made by `visavis crops`, or on the people named in an album.

    OUT/best.safetensors is the network of the best epoch by the people who are held out; `visavis
    index --model` takes it. Ctrl-C saves; the same command goes on. Under torchrun several processes
    share each batch. OUT/report.html shows curves, hardest triplets and suspected labels.

    With --album the faces are cut out into OUT/crops, and in the end the network is compared with the
    album's own on the people who were held out. The album stays as it is.

    \b
    Examples:
      visavis crops known/ --out crops/ --network dlib
      visavis train crops/ --out run/ --init dlib --epochs 8
      visavis train --album family/ --out run/
      visavis train crops/ --out run/ --teacher sface --network small
      torchrun --nproc-per-node 4 --no-python visavis train crops/ --out run/ --network iresnet
    """
    from indexer.training.run_report import write_report
    from trainer.reporter import Listener
    from trainer.settings import Machine
    from trainer.tensorboard_files import tensorboard_is_there
    from trainer.train import train as run_training

    if (crops is None) == (album is None):
        raise click.UsageError("say either CROPS, a folder of crops, or --album")
    _refuse_folder_of_crops(out)
    if album is not None:
        crops = crops_of_album(album, out, options, device=device)
    assert crops is not None
    people = options["people"]
    settings = _settings(options)
    if people is None:
        settings = replace(settings, people=_people(crops, None if fresh else out, settings))
    machine = Machine(device, readers, threads)
    first = os.environ.get("RANK", "0") == "0"
    if first and not tensorboard_is_there():
        say("No TensorBoard files: they need the package tensorboard (`pip install visavis[train]`).")
    with _stopping() as stop, steps_progress() as tell:
        found = run_training(crops, out, settings, machine, Listener(tell, say, stop), fresh=fresh)
    if first:
        write_report(out, crops)
        compared = None if album is None else compare_run(album, out, found, device=device)
        _answer(found, compared, as_json)


def _refuse_folder_of_crops(out: Path) -> None:
    """Refuse a run's folder in which the run's pictures would count as crops of a person."""
    from trainer.crops import SETTINGS_FILE

    place = out.resolve()
    for folder in (place, *place.parents):
        if (folder / SETTINGS_FILE).exists():
            raise click.UsageError(
                f"--out {out} is or lies in a folder of crops, {folder}, where its files would count as people: "
                "choose a folder beside it"
            )


def _settings(options: dict[str, Any]) -> TrainSettings:
    """Make settings of the options.

    Raises:
        click.UsageError: if they do not go together.
    """
    from trainer.augment import Augmentation
    from trainer.settings import TrainSettings
    from trainer.start import read_network

    init, teacher = (_weights(options.pop(name)) for name in ("init", "teacher"))
    kind = options.pop("network")
    if init is not None:
        begun = read_network(Path(init)).settings
        kind = kind or begun.kind
        options |= {"dimension": begun.dimension, "width": begun.width}
    freeze_norm = options.pop("freeze_norm")
    recipe, loss, depths = options.pop("recipe"), options.pop("loss"), options.pop("depths")
    if options["rate"] is None:
        options["rate"] = 1e-3 if init is None else 3e-5
    changes = {name: options.pop(name) for name in ("turn", "shift", "zoom", "light", "spoil")}
    if options["hint_weight"] is None:
        options["hint_weight"] = _HINTS if kind == "slim" and teacher is not None and init is None else 0.0
    if options["then"] is None:
        options["switch_after"] = 0
    if options["people"] is None:
        options.pop("people")
    try:
        return TrainSettings(
            recipe=recipe or (None if teacher else "batch-hard"),
            loss=dict(_pair(text) for text in loss),
            teacher=teacher,
            kind=kind or "small",
            init=init,
            depths=_numbers(depths),
            crops=options.pop("crops_each"),
            freeze_norm=init is not None if freeze_norm is None else freeze_norm,
            augmentation=Augmentation(**changes),
            **options,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _people(crops: Path, run: Path | None, settings: TrainSettings) -> int:
    """Choose how many people stand in a batch: as in the run that goes on, else as usual or as many as there are."""
    from trainer.crops import read_crops_folder
    from trainer.material import fitting_people
    from trainer.run_folder import CHECKPOINT, read_settings

    if run is not None and (run / CHECKPOINT).exists():
        return int(read_settings(run)["settings"]["people"])
    people = fitting_people(read_crops_folder(crops), settings, int(os.environ.get("WORLD_SIZE", "1")))
    if people < settings.people and os.environ.get("RANK", "0") == "0":
        what, each = ("people", 1) if settings.recipe else ("crops", settings.crops)
        say(
            f"A batch has {each * people} {what}, as there are no more to train on; {each * settings.people} are usual."
        )
    return people


def _weights(name: str | None) -> str | None:
    """Give the path of a weight file by its name in the table, or as the user wrote it."""
    if name is None or name == "none":
        return None
    return str((locate(NETWORKS[name].weights) if name in NETWORKS else Path(name)).resolve())


def _numbers(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise click.UsageError(f"--depths {text}: expected whole numbers, as in 1,2,2") from error


def _pair(text: str) -> tuple[str, float | str | None]:
    name, sign, value = text.partition("=")
    if not sign:
        raise click.UsageError(f"--loss {text}: expected NAME=VALUE, as in margin=0.3")
    if value == "none":
        return name, None
    try:
        return name, float(value)
    except ValueError:
        return name, value


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C, or a request to terminate, save after the step; a second one ends at once."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        say("Saving after this step; once more ends at once.")

    former = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _answer(found: Trained, compared: AlbumComparison | None, as_json: bool) -> None:
    if as_json:
        held_out = None if found.held_out is None else found.held_out.as_dict()
        best = None if found.best is None else str(found.best)
        line = {
            "why": found.why,
            "best": best,
            "best_epoch": found.best_epoch,
            "held_out": held_out,
            "text": found.text,
        }
        if compared is not None:
            line["comparison"] = comparison_as_dict(compared, "best.safetensors")
        print_json([line])
    elif found.best is not None:
        click.echo(found.best)
        if compared is not None:
            print_comparison(compared)
    if found.text:
        say(found.text)
    if found.why == "interrupted":
        raise click.exceptions.Exit(130)
    if found.why != "done":
        raise click.exceptions.Exit(1)
