"""`visavis cluster` (being joined up)."""

import click


@click.command()
def cluster() -> None:
    """Group."""
