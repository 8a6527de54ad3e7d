"""`visavis evaluate`: how well all this works, measured with the field's protocols."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from indexer.commands.compare import of_model
from indexer.commands.embedding import Looking, add_photos, load_model
from indexer.commands.options import (
    ANY_PATH,
    FOLDER,
    album_option,
    detection_options,
    device_option,
    model_option,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from indexer.archive import Archive
    from indexer.evaluation.central_faces import CentralFaces
    from indexer.evaluation.report import Plot

Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def evaluate() -> None:
    """Measure accuracy with the field's protocols.

    Photos go through the same steps as in `visavis index`. Give --album to keep their embeddings:
    a second evaluation of the same folder then takes seconds.

    \b
    Example:
      visavis evaluate verification --images lfw/ --pairs pairs.txt --album lfw-album
    """


def _material(command: Command) -> Command:
    """Add what the labelled evaluations share."""
    for option in (
        click.option("--images", type=FOLDER, required=True, help="Folder of the photos."),
        click.option("--album", type=ANY_PATH, help="Keep the embeddings in this album. [default: thrown away]"),
        model_option,
        device_option,
        _output,
    ):
        command = option(command)
    return command


def _output(command: Command) -> Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else there."),
        click.option("--plot", type=ANY_PATH, metavar="FILE.png", help="Write the plot."),
        click.option("--report", type=ANY_PATH, metavar="FILE.html", help="Write a page with figures and plot."),
    ):
        command = option(command)
    return command


@evaluate.command()
@_material
@click.option(
    "--pairs", required=True, metavar="FILE|all", help="List of pairs in LFW's format, or `all` pairs of the folder."
)
def verification(images: Path, pairs: str, album: Path | None, model: str | None, device: str, **output: Any) -> None:
    """Is this the same person? The face nearest the centre of each photo, cosine similarity.

    \b
    Examples:
      visavis evaluate verification --images lfw/ --pairs pairs.txt
      visavis evaluate verification --images lfw/ --pairs all --json
    """
    from indexer.evaluation.report import Curve, Plot
    from indexer.evaluation.verification import read_pairs, verify_all_pairs, verify_pairs

    listed = None if pairs == "all" else read_pairs(Path(pairs))
    with _embedded(images, album, model, device) as archive:
        faces = _central(archive, images, device)
        if listed is None:
            figures, (far, tar) = verify_all_pairs(faces)
        else:
            figures, roc = verify_pairs(faces, images, listed)
            far, tar = roc.far, roc.tar
        about = _about(archive, images, f"pairs: {pairs}")
    seen = far > 0
    curve = Curve(about["model"], far[seen], tar[seen])
    plot = Plot("Verification", "false accept rate", "true accept rate", [curve], log_x=True)
    _show("Verification", about, figures, [plot], **output)


@evaluate.command()
@_material
@detection_options
@click.option("--boxes", type=_FILE, required=True, help='JSON: {"photo": [{"box": [x, y, w, h], "invalid": 0}]}.')
def detection(
    images: Path, boxes: Path, album: Path | None, model: str | None, device: str, detection: str | None,
    detector: str | None, **output: Any,
) -> None:  # fmt: skip
    """Are the faces found? Recall by size, precision and average precision.

    \b
    Examples:
      visavis evaluate detection --images wider/images --boxes wider/boxes.json
      visavis evaluate detection --images wider/images --boxes wider/boxes.json --detection thorough
    """
    from indexer.evaluation.detection import measure_detection, read_boxes
    from indexer.evaluation.report import Curve, Plot

    annotated = read_boxes(boxes, images)
    with _embedded(images, album, model, device, Looking(detector, detection)) as archive:
        figures, curves = measure_detection(archive, annotated)
        about = _about(archive, images, f"boxes: {boxes}, {archive.album.detection}")
    drawn = [Curve(name, recall, precision) for name, (recall, precision) in curves.items()]
    _show("Detection", about, figures, [Plot("Detection", "recall", "precision", drawn)], **output)


@evaluate.command()
@_material
def identification(images: Path, album: Path | None, model: str | None, device: str, **output: Any) -> None:
    """Who is this, and is it anybody known? People with four or more photos are known, those with one strangers.

    \b
    Example:
      visavis evaluate identification --images lfw/ --json
    """
    from indexer.evaluation.identification import measure_identification
    from indexer.evaluation.report import Curve, Plot

    with _embedded(images, album, model, device) as archive:
        faces = _central(archive, images, device)
        figures, det = measure_identification(faces, archive.album.model)
        about = _about(archive, images, "open set: first two photos of each known person are the gallery")
    seen = (det.fpir > 0) & (det.fnir > 0)
    curve = Curve(about["model"], det.fpir[seen], det.fnir[seen])
    plot = Plot(
        "Identification", "strangers named (FPIR)", "known people missed (FNIR)", [curve], log_x=True, log_y=True
    )
    _show("Identification", about, figures, [plot], **output)


@evaluate.command()
@_material
def clustering(images: Path, album: Path | None, model: str | None, device: str, **output: Any) -> None:
    """Are the groups the people? What `visavis cluster` gives without any name, against the folders.

    \b
    Example:
      visavis evaluate clustering --images lfw/ --album lfw-album
    """
    from indexer.evaluation.clustering import measure_clustering
    from indexer.evaluation.report import Curve, Plot

    with _embedded(images, album, model, device) as archive:
        faces = _central(archive, images, device)
        figures, sweep = measure_clustering(faces, archive.album.model)
        about = _about(archive, images, "one face a photo, no names, no photo shared")
    curves = [Curve("BCubed F", sweep[:, 0], sweep[:, 1]), Curve("pairwise F", sweep[:, 0], sweep[:, 2])]
    plot = Plot("Clustering", "threshold", "F", curves, mark_x=(figures["threshold"], "chosen"))
    _show("Clustering", about, figures, [plot], **output)


@evaluate.command("album")
@album_option
@_output
def of_album(album: Path, **output: Any) -> None:
    """How alike do strangers look in this archive? Needs no label: faces that share a photo are different people.

    \b
    Example:
      visavis evaluate album --report album.html
    """
    import numpy as np

    from indexer.album import open_album
    from indexer.archive import read_archive
    from indexer.evaluation.report import Curve, Plot
    from indexer.evaluation.unlabelled import measure_album
    from trainer.metrics import share_at_or_above

    archive = read_archive(open_album(album))
    figures, impostors, genuine = measure_album(archive)
    grid = np.linspace(-0.2, 1, 240)
    curves = [Curve("faces that share a photo", grid, share_at_or_above(impostors, grid))]
    if len(genuine):
        curves.append(Curve("faces of one person", grid, share_at_or_above(genuine, grid)))
    usual = figures["false_alarm"]["0.001"]["default_threshold"]
    plot = Plot("This archive", "similarity", "share above", curves, log_y=True, mark_x=(usual, "default for 0.001"))
    for warning in figures["warnings"]:
        say(f"Warning: {warning}")
    _show("Album", _about(archive, album, "the album itself"), figures, [plot], **output)


evaluate.add_command(of_model)


@contextmanager
def _embedded(
    images: Path, album: Path | None, model: str | None, device: str, looking: Looking | None = None
) -> Iterator[Archive]:
    """Give an archive that holds the photos of ``images``; a temporary one where no album is named."""
    from embedder.pipeline import EmbedSettings

    def embed(root: Path) -> Archive:
        return add_photos([images], root, model=model, device=device, settings=EmbedSettings(), looking=looking)[1]

    if album is not None:
        yield embed(album)
        return
    with tempfile.TemporaryDirectory(prefix="visavis-") as folder:
        yield embed(Path(folder) / "album")


def _central(archive: Archive, images: Path, device: str) -> CentralFaces:
    from indexer.evaluation.central_faces import central_faces

    faces_found = {row.path for row in archive.catalogue.photos.values() if row.n_faces or row.status != "ok"}
    complete = len(faces_found) == len(archive.catalogue.photos)
    faces = central_faces(archive, images, None if complete else load_model(archive.album, device))
    for path in faces.missed[:5]:
        say(f"  no face found: {path}")
    if faces.unreadable:
        say(f"  {len(faces.unreadable)} unreadable photos left out, as {faces.unreadable[0]}")
    return faces


def _about(archive: Archive, source: Path, what: str) -> dict[str, Any]:
    return {
        "model": archive.album.model,
        "fingerprint": archive.album.fingerprint,
        "source": str(source),
        "material": what,
        "measured": time.strftime("%Y-%m-%d"),
        "visavis": archive.album.made_with,
    }


def _show(
    title: str, about: dict[str, Any], figures: dict[str, Any], plots: Sequence[Plot], *,
    as_json: bool, plot: Path | None, report: Path | None,
) -> None:  # fmt: skip
    from indexer.evaluation.report import draw, flatten, page

    if as_json:
        print_json([figures])
    else:
        print_table(("FIGURE", "VALUE "), [(n, str(v)) for n, v in flatten(figures) if not isinstance(v, list)])
    if plot is None and report is None:
        return
    pictures = [draw(p) for p in plots]
    if plot is not None:
        plot.write_bytes(pictures[0])
        say(f"Plot: {plot}")
    if report is not None:
        report.write_text(page(title, about, figures, pictures))
        say(f"Report: {report}")
