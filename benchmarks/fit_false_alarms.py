"""Fit the table of how alike strangers look to a network, and check it on people it has not seen.

    python -m benchmarks.fit_false_alarms EMBEDDINGS.npz --network sface [--write] [--check [--hard HARD.npz]]

The file holds ``embeddings`` (float, N × D, unit rows), ``labels`` (int, N: the person of each row, from 0 on)
and, if photos under a wrong name are to be left out, ``paths`` (str, N). Prints the table as it stands in
``indexer/naming/calibration_tables.py``; ``--write`` replaces it there. ``--check`` fits on a random half of the
people, lets strangers be identified among people of the other half, and counts who gets a name; with ``--hard`` from
spoilt copies of the same photos too (``benchmarks.hard_copies`` makes both files). The last line is JSON. A fit takes
a minute or two of one core, the check about as long.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product, zip_longest
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from benchmarks.false_alarm_fit import FULL_DRAWS, Faces, Floats, Ints, fit, with_tables
from indexer.naming import calibration_tables
from indexer.naming.calibration import AlbumImpostors, calibrate
from indexer.naming.calibration_tables import FACES, PEOPLE, RATES, TABLES, StrangerTable
from indexer.naming.gallery import build_gallery
from indexer.naming.identify import IdentifySettings, album_impostors, identify

# Photos of LFW's development list under a wrong name, or under a second name of somebody who is there as well.
# One such stranger is like a named person as nobody else is, and decides on the rarest rates.
MISLABELLED = frozenset(
    {
        "Bart_Hendricks_0001.jpg",
        "Bill_Pryor_0001.jpg",
        "Carlos_Ruckauf_0001.jpg",
        "Chyung_Dai-chul_0001.jpg",
        "Felipe_De_Borbon_0001.jpg",
        "Glenn_Rivers_0001.jpg",
        "John_Barnett_0001.jpg",
        "John_Gruden_0001.jpg",
        "Joseph_Blatter_0001.jpg",
        "Joseph_Blatter_0002.jpg",
        "Katie_Smith_0001.jpg",
        "Martha_Bowen_0002.jpg",
        "Michael_Schumacher_0008.jpg",
        "Recep_Tayyip_Erdogan_0004.jpg",
        "Wang_Nan_0001.jpg",
    }
)

SPLITS = 5
CHECK_RATES = (0.01, 0.1)
# People in a gallery, and how many such galleries in each split.
CHECK_GALLERIES = {5: 20, 20: 12, 100: 6, 400: 3}
CHECK_DRAWS = FULL_DRAWS / 3
_CHECK_SEED = 100
_CHECK_FACES = 6  # at most, of a person in a gallery; one at least, and any number between is as likely


@dataclass(frozen=True)
class Check:
    """How many strangers got a name, as a share of all; ``named`` is what visavis does.

    Attributes:
        strangers: what they are known from, "clean" photos or "hard" copies.
        people: in each gallery.
        asked: the false alarm rate that was set.
        named: the mean of all splits, with the table and what the gallery itself shows; least, most: of a split.
        by_table: the mean with the table alone.
    """

    strangers: str
    people: int
    asked: float
    named: float
    least: float
    most: float
    by_table: float


def check_splits(
    faces: Faces, *, splits: int = SPLITS, draws: float = CHECK_DRAWS, hard: Floats | None = None
) -> list[Check]:
    """Fit on one half of the people and identify strangers among the other, for several halvings.

    Galleries of more people than have two photos are left out.

    Args:
        hard: (N, D), spoilt copies of the faces; what is fitted and who is in the galleries stays clean.
    """
    shown = {"clean": faces.embeddings} | ({} if hard is None else {"hard": hard})
    named: dict[tuple[str, int, float], list[list[tuple[float, float]]]] = {}
    for split in range(splits):
        rng = np.random.default_rng(_CHECK_SEED + split)
        people = rng.permutation(len(faces.rows))
        half = len(people) // 2
        table = fit(faces, np.sort(people[:half]), seed=split, draws=draws)
        photos = faces.shuffled(people[half:], rng)
        known = np.array([person for person, rows in photos.items() if len(rows) >= 2])
        for size, count in CHECK_GALLERIES.items():
            if size > len(known):
                continue
            members = [rng.choice(known, size, replace=False) for _ in range(count)]
            drawn = [_named(faces, photos, some, table, rng, shown) for some in members]
            for kind, asked in product(shown, CHECK_RATES):
                named.setdefault((kind, size, asked), []).append([shares[kind, asked] for shares in drawn])
    return [_summary(*which, shares) for which, shares in named.items()]


def left_out(paths: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Say which photos are mislabelled, by their file names: (N,)."""
    return np.array([PurePosixPath(path).name in MISLABELLED for path in paths.tolist()], bool)


def read_faces(path: Path, like: Faces | None = None) -> Faces:
    """Read an npz file of embeddings, labels and perhaps paths, without the mislabelled photos.

    Args:
        like: faces of the same people in the same order, or None.

    Raises:
        ValueError: if the arrays do not fit together.
    """
    with np.load(path, allow_pickle=False) as arrays:
        embeddings, labels = arrays["embeddings"].astype(np.float32), arrays["labels"].astype(np.int64)
        paths = arrays["paths"] if "paths" in arrays else np.full(len(labels), "")
    if not len(embeddings) == len(labels) == len(paths):
        raise ValueError(f"{path} has {len(embeddings)} embeddings, {len(labels)} labels and {len(paths)} paths")
    kept = ~left_out(paths)
    faces = Faces.of(embeddings[kept], labels[kept])
    if like is not None and any(not np.array_equal(a, b) for a, b in zip_longest(like.rows, faces.rows)):
        raise ValueError(f"{path} does not show the same people in the same order")
    return faces


def _named(
    faces: Faces,
    photos: Mapping[int, Ints],
    members: Ints,
    table: StrangerTable,
    rng: np.random.Generator,
    shown: Mapping[str, Floats],
) -> dict[tuple[str, float], tuple[float, float]]:
    """Identify everybody but the members of a gallery, by each of the embeddings ``shown``.

    Returns:
        for each of them and each rate that was set, the shares who get a name: by table and gallery, and by the
        table alone.
    """
    rows = [photos[p][: rng.integers(1, min(len(photos[p]), _CHECK_FACES) + 1)] for p in members.tolist()]
    gallery = build_gallery(faces.embeddings[np.concatenate(rows)], np.repeat(members, [len(some) for some in rows]))
    strangers = np.array([own[0] for person, own in photos.items() if person not in members])
    nothing = AlbumImpostors(np.empty(0), np.empty(0, np.int64), np.empty(0))
    albums = (album_impostors(gallery), nothing)
    curves = [calibrate("checked", gallery.counts, album, {"checked": table}) for album in albums]
    shares = {}
    for (kind, embeddings), asked in product(shown.items(), CHECK_RATES):
        settings = IdentifySettings(false_alarm=asked, nearest=0)
        found = [
            identify(gallery, curve, embeddings[strangers], np.arange(len(strangers)), settings=settings)
            for curve in curves
        ]
        both, alone = (float((answers.person >= 0).mean()) for answers in found)
        shares[kind, asked] = both, alone
    return shares


def _summary(strangers: str, people: int, asked: float, shares: list[list[tuple[float, float]]]) -> Check:
    """Average the shares of the galleries of each split."""
    named, by_table = np.array([np.mean(split, axis=0) for split in shares]).T
    found = (float(value) for value in (named.mean(), named.min(), named.max(), by_table.mean()))
    return Check(strangers, people, asked, *found)


def _table_lines(table: StrangerTable) -> Iterator[str]:
    """Print a table for people: rates across, people down, then what several faces add."""
    yield f"{'people':>8}" + "".join(f"{rate:8g}" for rate in RATES)
    for people, row in zip(PEOPLE, table.best, strict=True):
        yield f"{people:8d}" + "".join(f"{value:8.4f}" for value in row)
    for faces, row in zip(FACES[1:], table.by_faces[1:], strict=True):
        yield f"{faces:2d} faces" + "".join(f"{value:+8.4f}" for value in row)


def _difference(table: StrangerTable, network: str) -> str:
    """Say how far a table is from the one in use."""
    if network not in TABLES:
        return f"there is no table for {network} yet"
    best, by_faces = (
        float(np.abs(np.round(new, 4) - np.array(old)).max())
        for new, old in ((table.best, TABLES[network].best), (table.by_faces, TABLES[network].by_faces))
    )
    return f"furthest from the table in use: {best:.4f} of one face, {by_faces:.4f} of what more faces add"


def main() -> None:
    """Read the command line, fit, print."""
    path = Path(calibration_tables.__file__)
    parser = argparse.ArgumentParser(description="Fit how alike strangers look to a network.")
    parser.add_argument("embeddings", type=Path, help="npz file with `embeddings` and `labels`, perhaps `paths`")
    parser.add_argument("--network", required=True, help="name of the network that made the embeddings")
    parser.add_argument("--write", action="store_true", help=f"put the table into {path.name}")
    parser.add_argument("--check", action="store_true", help=f"count named strangers on {SPLITS} random halves")
    parser.add_argument("--hard", type=Path, help="npz file of the same photos, spoilt, for --check")
    options = parser.parse_args()
    faces = read_faces(options.embeddings)
    table = fit(faces, np.arange(len(faces.rows)))
    print("\n".join(_table_lines(table)), _difference(table, options.network), sep="\n", flush=True)
    if options.write:
        source = path.read_text(encoding="utf-8")
        path.write_text(with_tables(source, TABLES | {options.network: table}), encoding="utf-8")
    hard = None if options.hard is None else read_faces(options.hard, faces).embeddings
    checks = check_splits(faces, hard=hard) if options.check else []
    if checks:
        print(f"strangers{'people':>8}{'asked':>8}{'named':>8}   least … most of {SPLITS} halves   by the table alone")
    for check in checks:
        span = f"{check.least:8.4f} … {check.most:.4f}"
        print(f"{check.strangers:9}{check.people:8d}{check.asked:8g}{check.named:8.4f}{span:>24}{check.by_table:22.4f}")
    print(json.dumps({"network": options.network, "table": asdict(table), "check": [asdict(c) for c in checks]}))


if __name__ == "__main__":
    main()
