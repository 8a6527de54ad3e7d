"""`visavis cluster`: group the faces that have no name into people."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.options import album_option, count, json_option, print_json, print_table, say
from indexer.commands.progress import duration

if TYPE_CHECKING:
    import numpy as np

    from indexer.archive import Archive

_SHOWN = 20


@click.command()
@album_option
@click.option("--stricter", count=True, help="Accept half as many wrong pairs; may be given several times.")
@click.option("--looser", count=True, help="Accept twice as many wrong pairs; may be given several times.")
@json_option
def cluster(album: Path, stricter: int, looser: int, as_json: bool) -> None:
    """Group the faces without a name: one group, one person.

    Faces of one photo never share a group. The threshold comes from the album itself. Groups keep
    their numbers when the album grows and this runs again.

    \b
    Examples:
      visavis cluster
      visavis cluster --stricter
    """
    from indexer.album import open_album, writing
    from indexer.answers import album_groups, face_lines, shown_rows
    from indexer.archive import read_archive
    from indexer.grouping.archive_groups import group_unnamed

    started = time.monotonic()
    opened = open_album(album)
    with writing(album):
        archive = read_archive(opened)
        former = album_groups(archive)
        rows, found = group_unnamed(archive, wrong_share_factor=2.0 ** (looser - stricter))
        groups = _remember(archive, rows, found.labels, former)
    if as_json:
        print_json(face_lines(archive, groups, shown_rows(archive)))
    else:
        _print_largest(archive, groups)
    _say_summary(groups, former, rows, time.monotonic() - started)
    say(f"Linked from a similarity of {found.threshold.similarity:.3f} on, from the {found.threshold.evidence}.")


def _remember(archive: Archive, rows: np.ndarray, labels: np.ndarray, former: np.ndarray) -> np.ndarray:
    """Number the new groups and write them; gives the group of every face of the archive, int64 (N,)."""
    import numpy as np

    from indexer.answers import save_groups
    from indexer.grouping.groups import FILE_NAME, Groups, keep_numbers, read_groups

    before = read_groups(archive.album.index / FILE_NAME)
    groups = np.zeros(len(archive.faces), np.int64)
    groups[rows] = keep_numbers(labels, former[rows], int(before.groups.max(initial=0)) + 1)
    save_groups(archive, Groups(archive.faces.face_ids, groups))
    return groups


def _print_largest(archive: Archive, groups: np.ndarray) -> None:
    import numpy as np

    numbers, sizes = np.unique(groups[groups > 0], return_counts=True)
    order = np.lexsort((numbers, -sizes))
    photos = {n: len(set(archive.photo_numbers[groups == n].tolist())) for n in numbers[order[:_SHOWN]].tolist()}
    rows = [
        (f"group {n}", str(s), str(photos[n]))
        for n, s in zip(numbers[order].tolist(), sizes[order].tolist(), strict=True)
        if n in photos
    ]
    if rows:
        print_table(("WHO", "FACES ", "PHOTOS "), [tuple(row) for row in rows])
    if len(numbers) > _SHOWN:
        say(f"and {len(numbers) - _SHOWN:,} smaller groups: `visavis people` lists all")


def _say_summary(groups: np.ndarray, former: np.ndarray, rows: np.ndarray, seconds: float) -> None:
    now, before = set(groups[groups > 0].tolist()), set(former[former > 0].tolist())
    say(
        f"{count(len(now), 'group')} ({len(now - before):,} new, {len(before - now):,} gone) of "
        f"{count(int((groups > 0).sum()), 'face')}, {count(int((groups[rows] == 0).sum()), 'face')} alone, "
        f"in {duration(seconds)}."
    )
