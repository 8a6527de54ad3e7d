"""The command line `visavis`."""

from __future__ import annotations

import sqlite3
import warnings
from typing import Any

import click

from embedder.cli import models
from indexer.commands.cluster import cluster
from indexer.commands.corrections import different, ignore, move, reject, rename, retract, same
from indexer.commands.crops import crops
from indexer.commands.demo import demo
from indexer.commands.enroll import enroll
from indexer.commands.evaluate import evaluate
from indexer.commands.facts import facts, history, undo
from indexer.commands.index import index
from indexer.commands.merge import merge
from indexer.commands.name import name
from indexer.commands.people import people, show
from indexer.commands.remove import compact, remove
from indexer.commands.review import review
from indexer.commands.search import search
from indexer.commands.split import split
from indexer.commands.status import status, verify
from indexer.commands.train import train
from indexer.commands.who import who


class _ExplainingGroup(click.Group):
    """Turns the errors that visavis raises itself into one line and exit code 1; others are bugs."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `visavis people | head`: click ends without a word
            raise
        except _own_errors() as error:  # evaluated only when something was raised
            raise click.ClickException(str(error)) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order in which one needs them


def _own_errors() -> tuple[type[Exception], ...]:
    from embedder.device import DeviceError
    from embedder.model import UnknownModel
    from embedder.pretrained import WeightsError
    from embedder.shards import ShardError
    from indexer.album import AlbumError
    from indexer.bulk import PartsError
    from indexer.evaluation.central_faces import EvaluationError
    from indexer.evaluation.report import PlotsUnavailable
    from indexer.grouping.groups import GroupsError
    from indexer.people import PeopleError
    from indexer.removal import RemovalError
    from trainer.checkpoint import CheckpointError
    from trainer.crops import CropsError
    from trainer.dlib_network import DlibFileError
    from trainer.onnx_graph import OnnxError
    from trainer.processes import MachineError
    from trainer.run_folder import RunError
    from trainer.settings import SettingsError
    from trainer.sface_network import SFaceFileError
    from trainer.start import StartError
    from trainer.weights import WeightFileError

    return (
        AlbumError, CheckpointError, CropsError, DeviceError, DlibFileError, EvaluationError, GroupsError,
        MachineError, OnnxError, PartsError, PeopleError, PlotsUnavailable, RemovalError, RunError, SFaceFileError,
        SettingsError, ShardError, StartError, UnknownModel, WeightFileError, WeightsError, OSError,
        sqlite3.OperationalError,
    )  # fmt: skip


@click.group(cls=_ExplainingGroup)
@click.version_option(package_name="visavis")
def cli() -> None:
    """Know who is in a photo archive.

    \b
    Start with:
      visavis models pull           fetch the two default models, once
      visavis index ~/Pictures      find and embed every face
      visavis cluster               group them into people
      visavis name 1 "Ann Lee"      say who the first group is
      visavis who photo.jpg         ask who is in a photo
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")  # broken EXIF is no news to the user


for command in (
    index,
    enroll,
    who,
    search,
    cluster,
    people,
    name,
    review,
    show,
    merge,
    split,
    move,
    reject,
    ignore,
    rename,
    same,
    different,
    retract,
    undo,
    history,
    facts,
    remove,
    compact,
    status,
    verify,
    evaluate,
    crops,
    train,
    models,
    demo,
):
    cli.add_command(command)
