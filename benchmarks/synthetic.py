"""Face-like embeddings for scale tests: any number of rows, in blocks, the same for the same seed.

A face is its person's direction plus a departure, and both are drawn from what ``benchmarks.calibrate``
measured on real embeddings; ``sface_lfw.json`` holds those numbers for SFace on LFW's development
photos. Nobody's face is in them, and no face can be made from them.

- A person's direction is normal around the mean of all faces. Part of it is shared by the people of one
  of a fixed number of *looks*, and a few people are *doubles*: almost the person before (twins, or
  one person under two names). Both give strangers who look alike as often as real ones do.
- A face departs from that direction by an angle from measured quantiles, wider for some people than for
  others. Faces of one *occasion* share part of their departure.
- Photos hold several faces, never two of one person, and people of neighbouring numbers meet again and
  again. The numbers of faces of people follow Zipf's law.

A block is made from the seed and its own number, so blocks need not be made in order, nor kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

SFACE_LFW = Path(__file__).with_name("sface_lfw.json")
PEOPLE_PER_BLOCK = 4096
# Radius quantiles are kept at these levels: even steps of a normal deviate, dense in both tails.
QUANTILE_LEVELS: NDArray[np.float64] = ndtr(np.linspace(-3.5, 3.5, 57))
# Random streams; each is seeded with (seed, stream, block).
_PEOPLE, _LOOKS, _FACES, _PHOTOS = range(4)
# Share of a double's variance that comes from the person before: drawn evenly between siblings and the same person.
_DOUBLE_SHARES = (0.75, 1.0)


@dataclass(frozen=True)
class Calibration:
    """What is measured on real embeddings of D dimensions, along the principal axes of the people's directions."""

    mean: tuple[float, ...]  # (D,) of all people
    between_std: tuple[float, ...]  # (D,) of people around the mean
    within_std: tuple[float, ...]  # (D,) of faces around their person; only the proportions count
    radius_quantiles: tuple[float, ...]  # at QUANTILE_LEVELS; tangent of the angle between a face and its person
    radius_spread: float  # standard deviation of the logarithm of that radius, from person to person
    looks: int  # number of looks that people share
    look_share: float  # share of the between-person variance that a look decides
    double_share: float  # share of people who are almost the person before them
    occasion_chance: float  # that a face comes from the same occasion as the person's face before
    occasion_share: float  # share of the within-person variance that faces of one occasion have in common
    size_exponent: float  # a of Zipf's law: the chance of k faces goes with k ** -a
    largest_size: int  # faces of one person at most
    faces_per_photo: tuple[float, ...]  # chance of 1, 2, 3, … faces in a photo


class Block(NamedTuple):
    """Faces of a block of people, photo by photo."""

    embeddings: NDArray[np.float32]  # (N, D) unit rows
    people: NDArray[np.int64]  # (N,)
    photos: NDArray[np.int64]  # (N,) number of the photo; rising blocks have rising numbers


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write the numbers as JSON, to five digits."""
    rounded = {
        name: [float(f"{x:.5g}") for x in value] if isinstance(value, tuple) else float(f"{value:.5g}")
        for name, value in asdict(calibration).items()
    } | {"looks": calibration.looks, "largest_size": calibration.largest_size}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in rounded.items())
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def read_calibration(path: Path = SFACE_LFW) -> Calibration:
    """Read what ``write_calibration`` wrote.

    Raises:
        ValueError: if it is not JSON, or a number is missing or unknown.
    """
    stored: Any = json.loads(path.read_text(encoding="utf-8"))
    names = {field.name for field in fields(Calibration)}
    if not isinstance(stored, dict) or set(stored) != names:
        raise ValueError(f"{path} is not a calibration: it needs exactly {', '.join(sorted(names))}")
    numbers: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    return Calibration(**numbers)


def face_blocks(calibration: Calibration, rows: int, *, seed: int) -> Iterator[Block]:
    """Make ``rows`` faces of as many people as Zipf's law gives, a block of people at a time.

    The same seed and number of rows give the same faces, and more rows the same blocks but for the last,
    which is left without the people who would be too many (one of them may lose some faces).

    Raises:
        ValueError: if ``rows`` or ``seed`` is negative.
    """
    if rows < 0 or seed < 0:
        raise ValueError(f"rows and seed are not negative, but they are {rows} and {seed}")
    chances = np.arange(1, calibration.largest_size + 1, dtype=np.float64) ** -calibration.size_exponent
    cumulative = np.cumsum(chances) / chances.sum()
    left, number = rows, 0
    while left > 0:
        draws = np.random.default_rng([seed, _PHOTOS, number]).random(PEOPLE_PER_BLOCK)
        sizes = np.minimum(np.searchsorted(cumulative, draws, side="right") + 1, calibration.largest_size)
        sizes = np.diff(np.minimum(np.cumsum(sizes), left), prepend=0)
        yield _make_block(calibration, sizes, number, seed)
        left, number = left - int(sizes.sum()), number + 1


def face_blocks_of_sizes(calibration: Calibration, sizes: NDArray[np.int64], *, seed: int) -> Iterator[Block]:
    """Make faces of people whose numbers of faces are given: person p has ``sizes[p]`` of them.

    Raises:
        ValueError: if a size or the seed is negative.
    """
    if seed < 0 or (len(sizes) and sizes.min() < 0):
        raise ValueError("sizes and seed are not negative")
    for number, start in enumerate(range(0, len(sizes), PEOPLE_PER_BLOCK)):
        yield _make_block(calibration, sizes[start : start + PEOPLE_PER_BLOCK], number, seed)


def person_directions(calibration: Calibration, block_number: int, *, seed: int) -> NDArray[np.float32]:
    """Give the directions of one block's people: (PEOPLE_PER_BLOCK, D) unit rows, without making their faces.

    Person p is row p % PEOPLE_PER_BLOCK of block p // PEOPLE_PER_BLOCK.
    """
    rng = np.random.default_rng([seed, _PEOPLE, block_number])
    dimensions = len(calibration.mean)
    looks = _normal(np.random.default_rng([seed, _LOOKS]), calibration.looks, dimensions)
    look_of = rng.integers(0, calibration.looks, PEOPLE_PER_BLOCK)
    own = _normal(rng, PEOPLE_PER_BLOCK, dimensions)
    deviates = _mixed(looks[look_of], own, calibration.look_share)
    doubles = np.flatnonzero(rng.random(PEOPLE_PER_BLOCK - 1) < calibration.double_share) + 1
    closeness = rng.uniform(*_DOUBLE_SHARES, (len(doubles), 1)).astype(np.float32)
    deviates[doubles] = _mixed(deviates[doubles - 1], deviates[doubles], closeness)
    directions = _floats(calibration.mean) + _floats(calibration.between_std) * deviates
    return _unit_rows(directions)


def _make_block(calibration: Calibration, sizes: NDArray[np.int64], number: int, seed: int) -> Block:
    rng = np.random.default_rng([seed, _FACES, number])
    directions = person_directions(calibration, number, seed=seed)
    wideness = np.exp(calibration.radius_spread * rng.standard_normal(PEOPLE_PER_BLOCK))
    person = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(person)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # 0, 1, … within each person
    radius = wideness[person] * np.interp(
        rng.random(len(person)), QUANTILE_LEVELS, np.array(calibration.radius_quantiles)
    )
    departures = _departures(calibration, rng, place)
    departures *= radius[:, None].astype(np.float32)
    departures += directions[person]
    order, photos = _photos(calibration, rng, person, place)
    return Block(
        embeddings=_unit_rows(departures)[order],
        people=person[order] + number * PEOPLE_PER_BLOCK,
        photos=photos + (number << 32),
    )


def _departures(calibration: Calibration, rng: np.random.Generator, place: NDArray[np.int64]) -> NDArray[np.float32]:
    """Draw the departure of each face from its person, of mean square 1, shared in part within an occasion."""
    starts = (place == 0) | (rng.random(len(place)) >= calibration.occasion_chance)
    occasion_of = np.cumsum(starts) - 1
    std = _floats(calibration.within_std)
    common = _normal(rng, int(np.count_nonzero(starts)), len(std))[occasion_of]
    own = _normal(rng, len(place), len(std))
    departures: NDArray[np.float32] = _mixed(common, own, calibration.occasion_share) * (std / np.linalg.norm(std))
    return departures


def _photos(
    calibration: Calibration, rng: np.random.Generator, person: NDArray[np.int64], place: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Put faces into photos; give (row order that follows the photos, photo number of each ordered row).

    Everybody's first faces are dealt out in the order of person numbers, then everybody's second ones,
    and so on: nobody stands in a photo twice, and neighbours meet again.
    """
    chances = np.array(calibration.faces_per_photo)
    order = np.lexsort((person, place))
    first = np.diff(place[order], prepend=-1) > 0  # where the next round begins, a photo ends
    ends = np.cumsum(rng.choice(len(chances), len(order), p=chances / chances.sum()) + 1)
    first[ends[ends < len(order)]] = True
    photo_of = np.cumsum(first) - 1
    names = rng.permutation(np.count_nonzero(first))[photo_of]
    by_name = np.argsort(names, kind="stable")
    return order[by_name], names[by_name]


def _floats(numbers: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(numbers, dtype=np.float32)


def _normal(rng: np.random.Generator, rows: int, dimensions: int) -> NDArray[np.float32]:
    return rng.standard_normal((rows, dimensions), dtype=np.float32)


def _mixed(
    shared: NDArray[np.float32], own: NDArray[np.float32], share: float | NDArray[np.float32]
) -> NDArray[np.float32]:
    """Add two standard normal draws so that ``share`` (one, or one for each row) of the variance is the first's."""
    part = np.asarray(share, dtype=np.float32)
    return np.asarray(np.sqrt(part) * shared + np.sqrt(1 - part) * own, dtype=np.float32)


def _unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.asarray(np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
    return rows / lengths
