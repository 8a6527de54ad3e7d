"""`visavis search`: the photos that show a face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.commands.embedding import load_model
from indexer.commands.options import ANY_PATH, album_option, count, device_option, json_option, print_json, say

if TYPE_CHECKING:
    import numpy as np

    from indexer.archive import Archive
    from indexer.lookalikes import Lookalikes


@dataclass(frozen=True)
class AskedFace:
    """A face that is searched for.

    Attributes:
        number: its place from left to right, from 1 on.
        box: [x, y, w, h].
        embedding: float32 (D,), of unit length.
        row: where it stands in the archive; None if it is not there.
    """

    number: int
    box: list[int]
    embedding: np.ndarray
    row: int | None


@click.command()
@click.argument("photo", type=ANY_PATH, metavar="PHOTO")
@album_option
@click.option("--face", "number", type=click.IntRange(1), help="Which face of PHOTO, left to right. [default: each]")
@click.option("--sheet", type=ANY_PATH, metavar="FILE.jpg", help="Write a contact sheet of the faces found.")
@click.option("--most", type=click.IntRange(1), default=100, show_default=True, help="Photos to list, at the most.")
@click.option(
    "--min-similarity",
    type=click.FloatRange(-1, 1),
    help="Cosine from which on a photo is listed. [default: 0.52 with sface, 0.945 with dlib]",
)
@click.option("--all-matches", is_flag=True, help="List the best photos, however little alike.")
@device_option
@click.option("--float16", is_flag=True, help="Half the memory on GPUs, and similarities to three digits.")
@json_option
def search(
    photo: Path, album: Path, number: int | None, sheet: Path | None, most: int, min_similarity: float | None,
    all_matches: bool, device: str, float16: bool, as_json: bool,
) -> None:  # fmt: skip
    """List the photos of the album that show the face in PHOTO, best first.

    Each line has the similarity, the photo, and who its face was said to be. With several faces
    in PHOTO, each is searched for in turn. PHOTO need not be in the album.

    \b
    Examples:
      visavis search party.jpg
      visavis search party.jpg --face 2 --sheet found.jpg
    """
    from indexer.album import open_album
    from indexer.answers import album_groups
    from indexer.archive import read_archive
    from indexer.grouping.archive_groups import settings_for
    from indexer.lookalikes import find_lookalikes, known_unlike
    from indexer.search.album_index import current_index

    if all_matches and min_similarity is not None:
        raise click.UsageError("--all-matches has no limit: leave out --min-similarity")
    archive = read_archive(open_album(album))
    faces = _chosen(_faces_of(photo, archive, device), number, photo, only_one=sheet is not None)
    usual = settings_for(archive.album.model, embeddings=archive.embeddings).prior
    least = -1.0 if all_matches else usual if min_similarity is None else min_similarity
    groups = album_groups(archive)
    index, notes = current_index(archive, device=device, float16=float16)
    for note in notes:
        say(note)
    for face in faces:
        unlike = known_unlike(archive, face.row)
        found = find_lookalikes(archive, index, face.embedding, unlike=unlike, least=least, most=most)
        lines = list(_lines(face, found, archive, groups))
        if as_json:
            print_json(lines)
        else:
            _print(photo, face, lines, found, least)
        if found.left_out:
            say(f"{count(found.left_out, 'face')} left out, said to be somebody else.")
        if sheet is not None:
            _draw(photo, face, lines, sheet)


def _faces_of(photo: Path, archive: Archive, device: str) -> list[AskedFace]:
    """Find the faces of a photo, from left to right: in the archive if they are there, else with the model."""
    from embedder.decode import DecodeError
    from embedder.decode_pool import DecodePool
    from embedder.rows import photo_id
    from embedder.scan import UnusableFile, read_photo
    from indexer.named_faces import from_left

    try:
        content = read_photo(photo)
        rows = from_left(archive, archive.rows_of_photo(photo_id(content))).tolist()
        if rows:
            known = enumerate(rows, 1)
            faces = [AskedFace(place, archive.box(row), archive.embeddings[row], row) for place, row in known]
            return [face for face in faces if face.row is None or not archive.ignored[face.row]]
        with DecodePool(1) as decoders:
            pixels = decoders.decode(content).pixels
    except (OSError, DecodeError, UnusableFile) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise click.ClickException(f"{photo}: {why}") from error
    found = load_model(archive.album, device).find([pixels])[0]
    order = sorted(range(len(found)), key=lambda face: found.boxes_xywh[face].tolist())
    return [
        AskedFace(place, found.boxes_xywh[face].tolist(), found.embeddings[face], None)
        for place, face in enumerate(order, 1)
    ]


def _chosen(faces: list[AskedFace], number: int | None, photo: Path, *, only_one: bool) -> list[AskedFace]:
    if not faces:
        raise click.ClickException(f"{photo} shows no face: there is nothing to search for")
    chosen = [face for face in faces if number in (None, face.number)]
    if not chosen:
        raise click.ClickException(f"{photo} shows {count(len(faces), 'face')}: there is no --face {number}")
    if number is None and only_one and len(faces) > 1:
        raise click.ClickException(
            f"{photo} shows {count(len(faces), 'face')}, and a sheet is for one: choose it with --face, left to right"
        )
    return chosen


def _lines(face: AskedFace, found: Lookalikes, archive: Archive, groups: np.ndarray) -> Iterator[dict[str, Any]]:
    for row, similarity in zip(found.rows.tolist(), found.similarity.tolist(), strict=True):
        yield {
            "face": face.number,
            "photo": archive.paths[row],
            "box": archive.box(row),
            "similarity": round(similarity, 4),
            "person": archive.people.persons.get(int(archive.persons[row])),
            "face_id": int(archive.faces.face_ids[row]),
            "group": int(groups[row]) or None,
        }


def _print(photo: Path, face: AskedFace, lines: list[dict[str, Any]], found: Lookalikes, least: float) -> None:
    limit = f" of similarity {least:.3g} or more" if least > -1 else ""
    nearest = f"; the nearest has {found.nearest:.2f}" if not lines and found.nearest > -1 else ""
    click.echo(f"{photo}, face {face.number}: {count(len(lines), 'photo')}{limit}{nearest}")
    for line in lines:
        who = line["person"] or (f"group {line['group']}" if line["group"] else "-")
        click.echo(f"  {line['similarity']:.2f}  {line['photo']}\t{who}")


def _draw(photo: Path, face: AskedFace, lines: list[dict[str, Any]], sheet: Path) -> None:
    from indexer.commands.sheets import draw_sheet

    asked = (photo, face.box, "asked for")
    found = [
        (Path(line["photo"]), line["box"], f"{Path(line['photo']).name} {line['similarity']:.2f}") for line in lines
    ]
    drawn = draw_sheet(f"{photo.name}, face {face.number}: {count(len(lines), 'photo')}", [asked, *found], sheet)
    say(f"{count(drawn, 'face')} on {sheet}, the one asked for first.")
