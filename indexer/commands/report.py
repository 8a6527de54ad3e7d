"""`visavis report`: the page of a training run."""

from __future__ import annotations

from pathlib import Path

import click

from indexer.commands.options import FOLDER, json_option, print_json, say


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--crops", type=FOLDER, help="Where the crops lie now. [default: where they lay]")
@json_option
def report(run: Path, crops: Path | None, as_json: bool) -> None:
    """Draw a training RUN: curves, hardest triplets and suspected labels, on one page and on contact sheets.

    The page is RUN/report.html and needs no other file. A run that goes on can be looked at, too.
    `visavis train` writes it at its end.

    \b
    Example:
      visavis report runs/family
    """
    from indexer.training.run_report import write_report

    page = write_report(run, crops)
    if as_json:
        print_json([{"report": str(page)}])
    else:
        click.echo(page)
    say("It shows faces and names: keep it as private as the photos.")
