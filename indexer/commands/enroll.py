"""`visavis enroll`: people whose names are known, from a folder for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.embedding import add_photos
from indexer.commands.options import (
    FOLDER,
    album_option,
    count,
    device_option,
    json_option,
    model_option,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    import numpy as np

    from indexer.archive import Archive

# A face with a shorter side below this is too small to stand for a person.
_MIN_PIXELS = 24
# Of several faces, the largest is the person's if it has this many times the area of the next.
_CLEARLY_LARGER = 2.0


@dataclass(frozen=True)
class Enrolled:
    """What became of one photo: the row of the person's face in the archive, or why there is none."""

    person: str
    path: str
    row: int | None
    reason: str | None


@click.command()
@click.argument("folder", type=FOLDER)
@album_option
@model_option
@device_option
@json_option
def enroll(folder: Path, album: Path, model: str | None, device: str, as_json: bool) -> None:
    """Learn known people: FOLDER holds a folder for each person, named like the person.

    The photos become part of the album. Of a photo with several faces the largest one counts, if
    it is clearly the largest. Photos that cannot be used are listed with the reason. Enrolling the
    same folder again changes nothing.

    \b
    Example:
      visavis enroll known/          with known/Ann Lee/1.jpg, known/Bob Ray/portrait.png …
    """
    from embedder.pipeline import EmbedSettings

    folders = person_folders(folder)
    # The folders themselves, so that a link among them is one path here and in ``choose_faces``.
    _, archive = add_photos(list(folders.values()), album, model=model, device=device, settings=EmbedSettings())
    outcomes = list(choose_faces(archive, folders))
    names = {outcome.person for outcome in outcomes if outcome.row is not None}
    _remember(archive, outcomes)
    _report(outcomes, as_json)
    for loose in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        say(f"  not used: {loose}: not in a person's folder")
    used = sum(outcome.row is not None for outcome in outcomes)
    say(
        f"{count(len(names), 'person', 'people')} enrolled with {count(used, 'face')}; "
        f"{count(len(outcomes) - used, 'photo')} not used."
    )
    if not names:
        raise click.ClickException(f"nobody could be enrolled from {folder}")


def person_folders(folder: Path) -> dict[str, Path]:
    """Give the person folders by name.

    Raises:
        click.ClickException: if there is none, two name the same person, or two are the same folder.
    """
    from indexer.people.facts import clean_name, name_key

    folders: dict[str, Path] = {}
    keys: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        name = clean_name(path.name)
        if other := keys.get(name_key(name)):
            raise click.ClickException(
                f"the name {name!r} exists twice: {other} and {path}. Put both into one folder, "
                "or tell the two people apart in the names"
            )
        if other := next((known for known in folders.values() if known.samefile(path)), None):
            raise click.ClickException(f"{other} and {path} are one folder, but two names: remove one of them")
        keys[name_key(name)], folders[name] = path, path
    if not folders:
        raise click.ClickException(f"{folder} holds no folder of a person: expected {folder}/NAME/PHOTO.jpg")
    return folders


def choose_faces(archive: Archive, folders: dict[str, Path]) -> Iterator[Enrolled]:
    """Decide for each photo below the person folders which face is the person's."""
    import numpy as np

    from embedder.paths import path_text
    from embedder.scan import scan

    for name, folder in folders.items():
        for file in scan([folder]):
            path = path_text(file.path)
            photo = archive.catalogue.photos[path]
            if photo.status != "ok" or photo.photo_id is None:
                yield Enrolled(name, path, None, photo.reason)
                continue
            rows = archive.rows_of_photo(photo.photo_id)
            place, reason = person_in(archive.faces.boxes_xywh[np.array(rows, np.int64)])
            yield Enrolled(name, path, None if place is None else rows[place], reason)


def person_in(boxes_xywh: np.ndarray) -> tuple[int | None, str | None]:
    """Choose the face that a portrait shows: (row, None), or (None, why there is none).

    Args:
        boxes_xywh: int (N, 4), the faces of one photo, pixels.
    """
    if not len(boxes_xywh):
        return None, "no face"
    areas = boxes_xywh[:, 2].astype(float) * boxes_xywh[:, 3]
    order = (-areas).argsort(kind="stable")
    best = int(order[0])
    if len(order) > 1 and areas[best] < _CLEARLY_LARGER * areas[order[1]]:
        return None, f"{len(order)} faces, the largest two of similar size"
    shorter = int(boxes_xywh[best, 2:].min())
    if shorter < _MIN_PIXELS:
        return None, f"the face is too small ({shorter} pixels, {_MIN_PIXELS} are needed)"
    return best, None


def _remember(archive: Archive, outcomes: Sequence[Enrolled]) -> None:
    from indexer.people import PeopleStore

    refs: dict[str, list[int]] = {}
    for outcome in outcomes:
        if outcome.row is not None:
            refs.setdefault(outcome.person, []).append(outcome.row)
    with PeopleStore(archive.album.people) as store:
        for name, rows in refs.items():
            store.assign([archive.ref(row) for row in dict.fromkeys(rows)], name, add_to_existing=True, kind="enroll")


def _report(outcomes: Sequence[Enrolled], as_json: bool) -> None:
    if as_json:
        print_json(
            {"person": o.person, "photo": o.path, "enrolled": o.row is not None, "reason": o.reason} for o in outcomes
        )
        return
    people = dict.fromkeys(outcome.person for outcome in outcomes)
    used = {name: sum(o.person == name and o.row is not None for o in outcomes) for name in people}
    print_table(("PERSON", "FACES "), [(name, str(number)) for name, number in used.items()])
    for outcome in outcomes:
        if outcome.row is None:
            say(f"  not used: {outcome.path}: {outcome.reason}")
