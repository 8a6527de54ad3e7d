"""`visavis demo`: the main job on a handful of pictures."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from indexer.commands.options import ANY_PATH


@click.command()
@click.option("--out", type=ANY_PATH, default=Path("demo"), show_default=True, help="Folder for pictures and album.")
def demo(out: Path) -> None:
    """Show the main job: index, enrol, ask, group, name, on copies of two public-domain portraits.

    \b
    Example:
      visavis demo --out /tmp/demo
    """
    from indexer.cli import cli
    from indexer.demo import DemoError, make_photos

    try:
        photos = make_photos(out)
    except DemoError as error:
        raise click.ClickException(str(error)) from error
    album = ["--album", str(out / "album")]
    steps = (
        ("Find and embed every face.", ["index", *album, str(photos.archive)]),
        ("Learn one person from one portrait.", ["enroll", *album, str(photos.known)]),
        ("Ask who is in the picture of two.", ["who", *album, str(photos.group), "--draw", str(out)]),
        ("Group the faces; those like somebody with a name are proposed for it.", ["cluster", *album]),
        ("Take what is proposed.", ["name", *album, "--accept-all"]),
        ("List people and groups.", ["people", *album]),
        ("Look at the group that is left.", ["show", *album, "1", "--sheet", str(out / "group-1.jpg")]),
        ("Check the album.", ["verify", *album]),
    )
    for why, command in steps:
        click.secho(f"\n# {why}", fg="cyan")
        click.secho(f"$ visavis {shlex.join(command)}", bold=True)
        cli.main(command, prog_name="visavis", standalone_mode=False)
    click.echo(
        f"\nLook at {out / f'{photos.group.stem}-who.jpg'} and {out / 'group-1.jpg'}. Then try, on your own photos:\n"
    )
    click.echo("  visavis index ~/Pictures")
    click.echo("  visavis cluster")
    click.echo("  visavis review")
