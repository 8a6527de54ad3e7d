"""The settings of a training run as options of a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

RECIPES = ("batch-hard", "facenet", "dlib", "center", "deepface", "arcface", "cosface")
KINDS = ("small", "slim", "iresnet", "dlib", "sface")

_AT_LEAST_1, _AT_LEAST_0, _SHARE = click.IntRange(1), click.IntRange(0), click.FloatRange(0, 1)
_BELOW_1 = click.FloatRange(0, 1, max_open=True)
_CHOICES = {"recipe": click.Choice(RECIPES), "kind": click.Choice(KINDS)}


def _option(name: str, type_: Any, default: Any, text: str, **more: Any) -> Callable[[Command], Command]:
    return click.option(f"--{name}", type=type_, default=default, show_default=default is not None, help=text, **more)


_OPTIONS = (
    _option("recipe", _CHOICES["recipe"], None, "How examples are chosen. [default: batch-hard]"),
    click.option(
        "--loss",
        multiple=True,
        metavar="NAME=VALUE",
        help="A setting of the last recipe, as in margin=0.3, or of the one named: arcface.margin=0.2.",
    ),
    _option("then", _CHOICES["recipe"], None, "The recipe that follows, after --switch-after epochs."),
    _option("switch-after", _AT_LEAST_1, 1, "Epochs of the first recipe."),
    _option("teacher", str, None, "dlib, sface or a weight file whose embeddings are to be matched: needs no names."),
    _option("teacher-weight", float, 1.0, "Of the teacher beside a recipe's loss."),
    _option("relation-weight", float, 10.0, "Of the similarities within a batch beside the teacher's embeddings."),
    _option("hint-weight", float, None, "Of the teacher's maps. [default: 5 for a new slim network, else 0]"),
    click.option(
        "--fit-head/--keep-head", default=True, show_default=True, help="Begin with a head fitted to the teacher."
    ),
    _option("network", _CHOICES["kind"], None, "Which network. [default: that of --init, else small]"),
    _option("init", str, "none", "First weights: dlib, sface, a weight file, or none for random ones."),
    _option("dimension", _AT_LEAST_1, 128, "Numbers of an embedding."),
    _option("width", _AT_LEAST_1, 32, "Channels of a small network's first layer."),
    _option("depths", str, None, "Blocks of each stage of a small network or an IResNet.", metavar="N,N,…"),
    _option("freeze", _AT_LEAST_0, 0, "So many layers from the input on keep their weights."),
    click.option(
        "--freeze-norm/--train-norm", default=None, help="Batch norm keeps its statistics. [default: with --init]"
    ),
    _option("people", click.IntRange(2), None, "In a batch. [default: 32, or as many as there are to train on]"),
    _option("crops-each", _AT_LEAST_1, 4, "Crops of each of them."),
    _option("part", _AT_LEAST_0, 0, "So many crops of a batch in memory at once; 0 for all."),
    _option("least-crops", _AT_LEAST_1, 2, "A recipe leaves out who has fewer."),
    _option("held-out", _BELOW_1, None, "Share of the people to measure with. [default: as `visavis crops` was told]"),
    _option("epochs", _AT_LEAST_1, 10, "In each, every person comes once; with a teacher alone, every crop."),
    _option("rate", float, None, "Of learning. [default: 0.001, with --init 0.00003]"),
    _option("body-rate", float, 1.0, "Rate of all layers but the head, times --rate."),
    _option("layer-decay", float, 1.0, "And for each layer further from the head, times this."),
    _option("classifier-rate", float, 1.0, "Rate of a recipe's own weights, times --rate."),
    _option("optimizer", click.Choice(["adamw", "sgd"]), "adamw", "How weights follow the gradient."),
    _option("weight-decay", float, 0.05, "Of all weights but biases and scales."),
    _option("momentum", _BELOW_1, 0.9, "Of sgd."),
    _option("warm-up", _SHARE, 0.05, "Share of the steps in which the rate rises."),
    _option("clip", click.FloatRange(0), 5.0, "Longest gradient; 0 for any."),
    _option("average", _BELOW_1, 0.995, "Decay of the mean of the weights, which is what is kept; 0 for none."),
    _option("suspect-weight", _SHARE, 1.0, "Of crops that are probably filed under a wrong name; 0 leaves them out."),
    _option("turn", float, 6.0, "Crops are turned by about so many degrees,"),
    _option("shift", float, 0.018, "shifted by about this share of their side,"),
    _option("zoom", float, 0.05, "zoomed by about this share,"),
    _option("light", float, 1.0, "lit otherwise, so strongly,"),
    _option("spoil", _SHARE, 0.3, "and this share of them is blurred, covered or the like."),
    _option("precision", click.Choice(["auto", "bf16", "fp32"]), "auto", "Of a step; auto: bf16 where it is fast."),
    _option("seed", int, 0, "Of all that is drawn."),
    _option("log-every", _AT_LEAST_1, 10, "Steps from one line of the log to the next; fewer in short epochs."),
    _option("checkpoint-every", _AT_LEAST_1, 200, "Steps from one checkpoint to the next."),
    _option("evaluate-every", _AT_LEAST_1, 1, "Epochs from one measurement to the next."),
    click.option("--licence", default="", help="Of the weights. [default: that of --init]"),
)


def training_options(command: Command) -> Command:
    """Add all of them; the command gets them by name."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
