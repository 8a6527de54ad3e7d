"""Draw the pictures of docs/training.md: what the recipes do with twelve toy faces of four people in the plane.

    python docs/pictures/draw.py [FOLDER]

Pairs, triplets and gradients are those of the trainer's own code; nothing is drawn by hand. The left half of a picture
shows who is compared, the right half where a step pushes each face: against the gradient of the loss.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.arcface import ArcFace
from trainer.losses.batch_hard import BatchHard
from trainer.losses.center import Center, CenterLoss
from trainer.losses.cosface import CosFace
from trainer.losses.deepface import DeepFace, IdentitySoftmax
from trainer.losses.dlib_metric import DlibMetric
from trainer.losses.facenet import FaceNet
from trainer.losses.margin_softmax import MarginSoftmax
from trainer.mining import balanced_pairs, hardest_triplets, semihard_triplets
from trainer.recipes import Objective

COLOURS = ("#1f6fb4", "#d9760f", "#3a8f3a", "#8a4fb0")
PULL, PUSH, QUIET = "#1f6fb4", "#c03a32", "#9a9a9a"
LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
# Where the faces lie on the circle, degrees; the first two people overlap, as those do from whom is to be learned.
DEGREES = (8, 34, 78, 62, 96, 128, 172, 196, 219, 262, 291, 336)
ANCHORS = (2, 9)  # two faces whose choices are drawn strongly
_SIDE, _SCALE = 330, 125.0  # pixels of a half, and of a unit where nothing else is said
_LONGEST = 0.32  # of the arrows, in units


def on_circle() -> Tensor:
    """Give the faces as unit vectors, float (12, 2)."""
    angles = torch.tensor([math.radians(d) for d in DEGREES])
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def in_plane(size: float) -> Tensor:
    """Give the same faces at various lengths around ``size``."""
    lengths = torch.tensor([1.0, 0.7, 0.9, 0.75, 1.0, 0.8, 0.9, 1.05, 0.75, 1.0, 0.8, 0.95])
    return on_circle() * lengths.unsqueeze(1) * size


class Picture:
    """Two halves beside each other; units of the plane, y upwards."""

    def __init__(self, left: str, right: str, scale: float = _SCALE) -> None:
        self._scale = scale
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _SIDE} {_SIDE + 24}" '
            f'width="{2 * _SIDE}" height="{_SIDE + 24}" font-family="sans-serif" font-size="12">',
            f'<rect width="{2 * _SIDE}" height="{_SIDE + 24}" fill="white"/>',
        ]
        for half, title in enumerate((left, right)):
            self._parts.append(f'<text x="{half * _SIDE + _SIDE / 2:.0f}" y="16" text-anchor="middle">{title}</text>')

    def at(self, point: Sequence[float] | Tensor, half: int) -> tuple[float, float]:
        """Give the pixel of a point."""
        x, y = (float(v) for v in point)
        return half * _SIDE + _SIDE / 2 + x * self._scale, 20 + _SIDE / 2 - y * self._scale

    def circle(self, half: int, centre: Sequence[float] | Tensor = (0, 0), radius: float = 1.0, fill: str = "") -> None:
        """Draw a thin circle, or a filled one."""
        x, y = self.at(centre, half)
        look = f'fill="{fill}" fill-opacity=".12"' if fill else 'fill="none" stroke="#d8d8d8"'
        self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius * self._scale:.1f}" {look}/>')

    def line(
        self, half: int, first: Sequence[float] | Tensor, second: Sequence[float] | Tensor, colour: str,
        *, strong: bool = True, dashed: bool = False,
    ) -> None:  # fmt: skip
        """Join two points."""
        (x1, y1), (x2, y2) = self.at(first, half), self.at(second, half)
        look = f'stroke="{colour}" stroke-width="{2.2 if strong else 0.8}" stroke-opacity="{1 if strong else 0.4}"'
        look += ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" {look}/>')

    def area(self, half: int, corners: Sequence[Sequence[float]], colour: str) -> None:
        """Fill a polygon faintly."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(corner, half) for corner in corners))
        self._parts.append(f'<polygon points="{places}" fill="{colour}" fill-opacity=".13"/>')

    def arrow(self, half: int, start: Tensor, step: Tensor, colour: str) -> None:
        """Draw a step from a point."""
        (x1, y1), (x2, y2) = self.at(start, half), self.at(start + step, half)
        length = math.hypot(x2 - x1, y2 - y1)
        if length < 1.5:
            return
        ux, uy = (x2 - x1) / length, (y2 - y1) / length
        head = min(7.0, length)
        sides = [(x2 - head * ux + s * head / 2 * uy, y2 - head * uy - s * head / 2 * ux) for s in (1, -1)]
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(x2, y2), *sides])
        self._parts.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="1.6"/>')
        self._parts.append(f'<polygon points="{corners}" fill="{colour}"/>')

    def faces(self, half: int, points: Tensor, ringed: Sequence[int] = ()) -> None:
        """Draw the faces, in the colour of their person."""
        for number, (point, label) in enumerate(zip(points, LABELS.tolist(), strict=True)):
            x, y = self.at(point, half)
            ring = ' stroke="black" stroke-width="2"' if number in ringed else ' stroke="white"'
            self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{COLOURS[label]}"{ring}/>')

    def cross(self, half: int, point: Sequence[float] | Tensor, colour: str) -> None:
        """Draw a centre."""
        x, y = self.at(point, half)
        self._parts.append(
            f'<path d="M{x - 6:.1f} {y - 6:.1f}l12 12m0 -12l-12 12" stroke="{colour}" stroke-width="2.6"/>'
        )

    def legend(self, entries: Sequence[tuple[str, str]]) -> None:
        """Explain the colours of lines below the left half."""
        left = 10
        for colour, text in entries:
            self._parts.append(f'<path d="M{left} {_SIDE + 14}h16" stroke="{colour}" stroke-width="3"/>')
            self._parts.append(f'<text x="{left + 21}" y="{_SIDE + 18}">{text}</text>')
            left += 40 + round(6.4 * len(text))

    def text(self) -> str:
        """Give the picture as SVG."""
        return "\n".join([*self._parts, "</svg>", ""])


def push(picture: Picture, points: Tensor, objective: Objective) -> None:
    """Draw in the right half where a step pushes each face."""
    embeddings = points.clone().requires_grad_()
    objective(embeddings, LABELS).loss.backward()
    assert embeddings.grad is not None
    longest = float(embeddings.grad.norm(dim=1).max())
    for point, slope, label in zip(points, embeddings.grad, LABELS.tolist(), strict=True):
        picture.arrow(1, point, -slope * _LONGEST / longest, COLOURS[label])
    picture.faces(1, points)


def batch_hard() -> Picture:
    """Each face with its least similar partner and its most similar stranger."""
    points = on_circle()
    picture = Picture("one triplet for each face; two are strong", "where a step pushes")
    picture.circle(0), picture.circle(1)
    anchors, positives, negatives = hardest_triplets(points, LABELS)
    for a, p, n in zip(anchors.tolist(), positives.tolist(), negatives.tolist(), strict=True):
        picture.line(0, points[a], points[p], PULL, strong=a in ANCHORS)
        picture.line(0, points[a], points[n], PUSH, strong=a in ANCHORS)
    picture.faces(0, points, ANCHORS)
    push(picture, points, BatchHard())
    picture.legend([(PULL, "least similar partner"), (PUSH, "most similar stranger")])
    return picture


def facenet() -> Picture:
    """One face with all its partners, and the semi-hard stranger of each pair."""
    points = on_circle()
    picture = Picture("all pairs of one face, each with its stranger", "where a step pushes")
    picture.circle(0), picture.circle(1)
    triplets = zip(*(column.tolist() for column in semihard_triplets(points, LABELS)), strict=True)
    for number, (a, p, n) in enumerate((a, p, n) for a, p, n in triplets if a == ANCHORS[0]):
        picture.line(0, points[a], points[p], PULL, dashed=number > 0)
        picture.line(0, points[a], points[n], PUSH, dashed=number > 0)
    picture.faces(0, points, ANCHORS[:1])
    push(picture, points, FaceNet())
    picture.legend([(PULL, "partner"), (PUSH, "its stranger (same dash)")])
    return picture


def dlib() -> Picture:
    """All pairs of one person, and as many of the nearest pairs of two people."""
    points = in_plane(0.62)
    picture = Picture("all pairs of a person, the nearest of strangers", "where a step pushes", scale=195)
    same, different = balanced_pairs(points, LABELS, within=0.64)
    for pairs, colour in ((same, PULL), (different, PUSH)):
        for a, b in pairs.T.tolist():
            picture.line(0, points[a], points[b], colour, strong=True)
    picture.circle(0, points[ANCHORS[0]], 0.6)
    picture.faces(0, points, ANCHORS[:1])
    push(picture, points, DlibMetric())
    picture.legend([(PULL, "one person"), (PUSH, "strangers within .64"), ("#d8d8d8", "distance .6")])
    return picture


def center() -> Picture:
    """Each face with the centre of its person, and the centres on their way."""
    points = in_plane(0.9)
    objective = Center(weight=3.0).objective(4, 2)  # a thousand times the usual weight: else nothing would be seen
    assert isinstance(objective, CenterLoss)
    _fit(objective, points, lambda: objective(points, LABELS).loss)
    with torch.no_grad():
        objective.centers.zero_()
        objective.train()
        objective(points, LABELS)
        before = objective.centers.clone()
        objective(points, LABELS)
    picture = Picture("each face and its person's centre", "where a step pushes")
    for point, label in zip(points, LABELS.tolist(), strict=True):
        picture.line(0, point, before[label], PULL, strong=False)
    for label in range(4):
        picture.cross(0, before[label], COLOURS[label])
        picture.arrow(0, before[label], objective.centers[label] - before[label], "black")
    picture.faces(0, points)
    push(picture, points, objective.eval())
    picture.legend([(PULL, "to the centre"), ("black", "the centre's own way in one batch")])
    return picture


def deepface() -> Picture:
    """Whose a face would be, anywhere in the plane, by a plain softmax."""
    points = in_plane(0.9)
    objective = DeepFace(dropout=0).objective(4, 2)
    assert isinstance(objective, IdentitySoftmax)
    _fit(objective, points, lambda: objective(points, LABELS).loss)
    picture = Picture("the areas of four names", "where a step pushes")
    for half in (0, 1):
        for label in range(4):
            picture.area(half, area_of(label, objective.classifier.weight, objective.classifier.bias), COLOURS[label])
    picture.faces(0, points)
    push(picture, points, objective)
    return picture


def margin_softmax(settings: ArcFace | CosFace, shifted: Callable[[float], float]) -> Picture:
    """Where a margin makes as if a face lay, and where a step pushes for it.

    Args:
        shifted: angle to the face's own name → the angle that the loss reckons with.
    """
    points = on_circle()
    objective = settings.objective(4, 2)
    assert isinstance(objective, MarginSoftmax)
    objective.scale = 8.0  # of the plane: the usual 64 would leave arrows at one face only
    with torch.no_grad():
        objective.weights.copy_(
            torch.stack([functional.normalize(points[k == LABELS].sum(dim=0), dim=0) for k in range(4)])
        )
    picture = Picture("a name is a direction; where a face counts as lying", "where a step pushes")
    picture.circle(0), picture.circle(1)
    for label in range(4):
        name = functional.normalize(objective.weights[label].detach(), dim=0)
        picture.line(0, (0, 0), name, COLOURS[label])
        picture.line(1, (0, 0), name, COLOURS[label], strong=False)
    for face in ANCHORS:
        name = functional.normalize(objective.weights[LABELS[face]].detach(), dim=0)
        at = math.atan2(float(name[1]), float(name[0]))
        angle = math.atan2(float(points[face][1]), float(points[face][0])) - at
        angle = (angle + math.pi) % (2 * math.pi) - math.pi
        way = _between(at + angle, at + math.copysign(shifted(abs(angle)), angle))
        steps = [torch.tensor([math.cos(t), math.sin(t)]) * 1.08 for t in way]
        for first, second in itertools.pairwise(steps):
            picture.line(0, first, second, PUSH)
        picture.cross(0, steps[-1], PUSH)
    picture.faces(0, points, ANCHORS)
    push(picture, points, objective)
    picture.legend([(QUIET, "direction of a name"), (PUSH, "moved by the margin")])
    return picture


@torch.no_grad()
def area_of(label: int, weights: Tensor, biases: Tensor) -> list[tuple[float, float]]:
    """Cut a square by the lines between one name and each other: the corners of where this name wins."""
    corners = [(-1.3, -1.3), (1.3, -1.3), (1.3, 1.3), (-1.3, 1.3)]
    for other in range(len(weights)):
        if other != label:
            (a, b), c = (weights[label] - weights[other]).tolist(), float(biases[label] - biases[other])
            corners = _cut(corners, a, b, c)
    return corners


def _cut(corners: list[tuple[float, float]], a: float, b: float, c: float) -> list[tuple[float, float]]:
    """Keep the part of a convex polygon where a·x + b·y + c >= 0."""
    kept = []
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        first, second = a * x1 + b * y1 + c, a * x2 + b * y2 + c
        if first >= 0:
            kept.append((x1, y1))
        if (first >= 0) != (second >= 0):
            share = first / (first - second)
            kept.append((x1 + share * (x2 - x1), y1 + share * (y2 - y1)))
    return kept


def _between(start: float, end: float, steps: int = 12) -> list[float]:
    return [start + (end - start) * n / steps for n in range(steps + 1)]


def _fit(objective: CenterLoss | IdentitySoftmax, points: Tensor, loss: Callable[[], Tensor]) -> None:
    """Let the names find their areas while the faces stay."""
    with torch.no_grad():
        objective.classifier.weight.copy_(torch.stack([points[k == LABELS].mean(dim=0) for k in range(4)]))
        objective.classifier.bias.zero_()
    optimizer = torch.optim.SGD(objective.parameters(), lr=1.0)
    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()


PICTURES: dict[str, Callable[[], Picture]] = {
    "batch-hard": batch_hard,
    "facenet": facenet,
    "dlib": dlib,
    "center": center,
    "deepface": deepface,
    "arcface": lambda: margin_softmax(ArcFace(), lambda angle: min(angle + ArcFace().margin, math.pi)),
    "cosface": lambda: margin_softmax(
        CosFace(), lambda angle: math.acos(max(-1.0, math.cos(angle) - CosFace().margin))
    ),
}


def draw(folder: Path) -> None:
    """Write all pictures into ``folder``."""
    torch.manual_seed(0)
    for name, picture in PICTURES.items():
        (folder / f"{name}.svg").write_text(picture().text())


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
