"""`visavis crops`: aligned crops by person, to train on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from embedder.pretrained import DEFAULT_NETWORK, NETWORKS
from indexer.commands.enroll import person_folders, person_in
from indexer.commands.options import ANY_PATH, FOLDER, count, device_option, json_option, print_json, say
from indexer.commands.progress import progress

if TYPE_CHECKING:
    import numpy as np

    from embedder.detect import FaceDetector, Faces
    from indexer.crops import CropsReport, Job
    from trainer.crops import CropsSettings

_REASONS_SHOWN = 5


@click.command()
@click.argument("people", type=FOLDER, required=False)
@click.option("--album", type=FOLDER, help="Take the named people of this album instead of folders.")
@click.option("--all-faces", is_flag=True, help="With --album: faces without a name too, for `train --teacher`.")
@click.option("--out", type=ANY_PATH, required=True, help="Folder of the crops; made if it is not there.")
@click.option(
    "--network",
    type=click.Choice(sorted(NETWORKS)),
    default=DEFAULT_NETWORK,
    show_default=True,
    help="Whose template and size the crops have.",
)
@click.option("--size", type=click.IntRange(32, 1024), help="Side of the crops, pixels. [default: the network's]")
@click.option(
    "--margin",
    type=click.FloatRange(0, 1),
    default=0.125,
    show_default=True,
    help="Pixels kept around a crop for shifts and turns, as a share of its side.",
)
@click.option(
    "--held-out",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.25,
    show_default=True,
    help="Share of the people that training leaves out, to measure with. Who they are is decided by their names.",
)
@click.option(
    "--face",
    type=click.Choice(["largest", "central"]),
    default="largest",
    show_default=True,
    help="Which face of a photo is the person's; the largest must clearly be the largest.",
)
@device_option
@json_option
def crops(
    people: Path | None,
    album: Path | None,
    all_faces: bool,
    out: Path,
    network: str,
    size: int | None,
    margin: float,
    held_out: float,
    face: str,
    device: str,
    as_json: bool,
) -> None:
    """Cut faces out of photos, upright and at one size, a folder for each person.

    PEOPLE holds a folder for each person, named like the person. Photos without a crop are listed
    with the reason. The same command goes on where it stopped, and adds what is new.

    \b
    Examples:
      visavis crops known/ --out crops/
      visavis crops --album family/ --out crops/ --network dlib
    """
    from embedder.decode_pool import DecodePool
    from indexer.crops import central, make_crops, prepare_folder
    from trainer.crops import CropsSettings

    if (people is None) == (album is None):
        raise click.UsageError("say either PEOPLE, a folder of person folders, or --album")
    if all_faces and album is None:
        raise click.UsageError("--all-faces goes with --album")
    chosen = NETWORKS[network]
    side = size or chosen.input_size
    template = tuple((x * side / chosen.input_size, y * side / chosen.input_size) for x, y in chosen.template)
    source = str(people if people is not None else album)
    settings = CropsSettings(side, round(side * margin), template, network, held_out, source)
    jobs = _of_folders(people) if people is not None else _of_album(Path(str(album)), all_faces)
    prepare_folder(out, settings)
    readers = _readers()
    with progress(len(jobs), "photos") as update, DecodePool(readers) as decoders:

        def tell(report: CropsReport) -> None:
            update(report.unchanged + report.photos, report.crops)

        try:
            report = make_crops(
                jobs,
                out,
                settings,
                find=_Finder(device),
                choose=central if face == "central" else _largest,
                decode=decoders.decode,
                readers=readers,
                tell=tell,
            )
        except KeyboardInterrupt:
            say("Stopped. What was finished is kept: the same command goes on from there.")
            raise
    _tell(report, out, settings, as_json)


class _Finder:
    """The detector, loaded when the first photo needs it."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._detector: FaceDetector | None = None

    def __call__(self, photos: Sequence[np.ndarray]) -> list[Faces]:
        from embedder.detect import FaceDetector
        from embedder.device import choose_compute
        from embedder.pretrained import DEFAULT_DETECTOR, WEIGHT_FILES, locate

        if not photos:
            return []
        if self._detector is None:
            self._detector = FaceDetector(locate(WEIGHT_FILES[DEFAULT_DETECTOR]), choose_compute(self._device))
        return self._detector.detect(photos)


def _largest(faces: Faces, width: int, height: int) -> tuple[int | None, str | None]:
    return person_in(faces.boxes_xywh)


def _of_folders(people: Path) -> list[Job]:
    from embedder.scan import scan
    from indexer.crops import Job

    jobs = [Job(file, name) for name, folder in person_folders(people).items() for file in scan([folder])]
    if not jobs:
        raise click.ClickException(f"{people} holds no photo: expected {people}/NAME/PHOTO.jpg")
    return jobs


def _of_album(root: Path, all_faces: bool) -> list[Job]:
    from embedder.scan import scan
    from indexer.album import open_album
    from indexer.archive import read_archive
    from indexer.crops import Face, Job

    archive = read_archive(open_album(root))
    by_photo: dict[str, list[Face]] = {}
    for row, person in enumerate(archive.persons.tolist()):
        if (person < 0 and not all_faces) or archive.ignored[row]:
            continue
        name = archive.people.persons[person] if person >= 0 else ""
        x, y, w, h = archive.box(row)
        face = Face(name, archive.faces.landmarks[row], (x, y, w, h), float(archive.faces.confidences[row]))
        by_photo.setdefault(archive.paths[row], []).append(face)
    if not by_photo:
        raise click.ClickException(f"nobody has a name in {root}: say who people are with `visavis name` or `review`")
    there = [path for path in by_photo if Path(path).exists()]
    if len(there) < len(by_photo):
        say(f"{count(len(by_photo) - len(there), 'photo')} of the album cannot be found any more.")
    return [Job(file, faces=tuple(by_photo[path])) for path in there for file in scan([Path(path)])]


def _readers() -> int:
    import os

    return os.cpu_count() or 1


def _tell(report: CropsReport, out: Path, settings: CropsSettings, as_json: bool) -> None:
    from trainer.crops import read_crops_folder

    folder = read_crops_folder(out)
    held_out = sum(bool(out) for out in _people_held_out(folder.people, settings.held_out))
    if as_json:
        print_json({"photo": path, "reason": reason} for path, reason in report.skipped)
    else:
        for path, reason in report.skipped[:_REASONS_SHOWN]:
            say(f"  not used: {path}: {reason}")
        if len(report.skipped) > _REASONS_SHOWN:
            say(f"  and {len(report.skipped) - _REASONS_SHOWN} more: {out / 'crops.jsonl'} lists them")
    say(
        f"{count(report.crops, 'new crop')}, {count(report.unchanged, 'photo')} unchanged, "
        f"{count(len(report.skipped), 'photo')} not used. {out} now holds {count(len(folder), 'crop')} of "
        f"{count(len(folder.people), 'person', 'people')}, {held_out} of them held out."
    )


def _people_held_out(people: tuple[str, ...], share: float) -> list[bool]:
    from trainer.crops import is_held_out

    return [is_held_out(person, share) for person in people]
