"""Simulate a reviewer: how many answers until the faces of an archive have their names?

    python -m benchmarks.review ALBUM

ALBUM holds photos in a folder for each person, as LFW's; the face nearest the middle of a photo is that person, the
others are nobody. Names in the album are not used, and it is not changed. A reviewer who knows the truth, but sees only
the contact sheets, answers `visavis review`; another one names the groups of `visavis cluster`, the largest first, and
then the faces that are alone, in random order. An answer costs one click and one for each number typed with it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from indexer.album import open_album
from indexer.archive import Archive, read_archive
from indexer.cli import cli
from indexer.people import PeopleError, PeopleStore
from indexer.review.board import Board
from indexer.review.questions import Material, Question
from indexer.review.replies import Reply, Word
from indexer.review.session import ReviewSession
from indexer.review.start import read_board

GOALS = (0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99)
NOBODY = ""


@dataclass(frozen=True)
class Step:
    """Where a reviewer stands: clicks so far, names typed, faces that have the right name, and a wrong one."""

    clicks: int
    typed: int
    right: int
    wrong: int


def main() -> None:
    """Run both reviewers, and print when each reached what."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.review", description="Simulate a reviewer.")
    parser.add_argument("album", type=Path)
    album = parser.parse_args().album
    with tempfile.TemporaryDirectory(prefix="visavis-review-") as folder:
        copy = Path(folder) / "album"
        shutil.copytree(album, copy, ignore=shutil.ignore_patterns("people.sqlite*", "index", "*.lock"))
        done = CliRunner().invoke(cli, ["cluster", "--album", str(copy)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        archive = read_archive(open_album(copy))
        truth = read_truth(archive)
        repeated = [name for name, faces in Counter(truth).items() if name != NOBODY and faces > 1]
        wanted = np.isin(truth, repeated)
        material, board = read_board(archive)
        by_size = list(name_by_size(material, board, truth, wanted))
        asked = list(answer_questions(archive, material, board, truth, wanted))
    result = {"album": str(album), "faces": int(wanted.sum()), "people": len(repeated)}
    for name, steps in (("groups by size", by_size), ("review", asked)):
        print(json.dumps(result | {"reviewer": name} | _milestones(steps, int(wanted.sum()))))


def read_truth(archive: Archive) -> np.ndarray:
    """Give the person of each face, str (N,): the folder for the face nearest the middle of its photo, else nobody."""
    middle = 125.0  # LFW's photos have 250 pixels
    boxes = archive.faces.boxes_xywh.astype(float)
    off = ((boxes[:, :2] + boxes[:, 2:] / 2 - middle) ** 2).sum(axis=1)
    order = np.lexsort((off, archive.photo_numbers))
    central = set(order[np.unique(archive.photo_numbers[order], return_index=True)[1]].tolist())
    return np.array([Path(path).parent.name if row in central else NOBODY for row, path in enumerate(archive.paths)])


def answer_questions(
    archive: Archive, material: Material, board: Board, truth: np.ndarray, wanted: np.ndarray
) -> Iterator[Step]:
    """Answer `visavis review` until it has no question left."""
    clicks, typed = 0, 0
    with PeopleStore(archive.album.people) as store:
        session = ReviewSession(material, board, store, archive.ref)
        people: dict[int, str] = {}
        while (question := session.question()) is not None:
            reply = reply_to(session, question, truth)
            clicks += 1 + (len(reply.but) if reply.word is Word.BUT else 0)
            typed += bool(reply.name)
            try:
                session.answer(question, reply)
            except PeopleError:
                continue
            if reply.name and reply.name not in people.values():
                people = store.state().persons
            names = np.array([people.get(p, NOBODY) for p in range(max(people, default=0) + 2)])
            said = np.where(session.board.person >= 0, names[session.board.person], NOBODY)
            right = int((wanted & (said == truth)).sum())
            yield Step(clicks, typed, right, int((wanted & (said != NOBODY)).sum()) - right)


def reply_to(session: ReviewSession, question: Question, truth: np.ndarray) -> Reply:
    """Answer as somebody who looks at the contact sheet and knows everybody in the folders."""
    target, candidates = session.shown(question)
    who = _most(truth[target])
    if who == NOBODY:
        return Reply(Word.SKIP)
    if not candidates:
        others = tuple(number for number, row in enumerate(target.tolist(), start=1) if truth[row] != who)
        return Reply(Word.BUT, others, who)
    others = tuple(number for number, rows in enumerate(candidates, start=1) if _most(truth[rows]) != who)
    if len(others) == len(candidates):
        return Reply(Word.NO)
    return Reply(Word.BUT, others) if others else Reply(Word.YES)


def name_by_size(material: Material, board: Board, truth: np.ndarray, wanted: np.ndarray) -> Iterator[Step]:
    """Name groups, the largest first, and take out who does not belong; then faces that are alone, one by one."""
    bundles, sizes = np.unique(board.bundle, return_counts=True)
    order = np.lexsort((np.random.default_rng(0).random(len(sizes)), -sizes))
    clicks = typed = right = wrong = 0
    with tempfile.TemporaryDirectory() as folder, PeopleStore(Path(folder) / "people.sqlite") as store:
        session = ReviewSession(material, board, store, lambda row: (_ for _ in ()).throw(AssertionError(row)))
        for bundle in bundles[order].tolist():
            question = Question(bundle, -1, (), (1.0,), 0.0)
            reply = reply_to(session, question, truth)
            clicks += 1 + len(reply.but)
            typed += bool(reply.name)
            if reply.name:
                shown, _ = session.shown(question)
                rows = np.setdiff1d(np.flatnonzero(board.bundle == bundle), shown[[n - 1 for n in reply.but]])
                rows = rows[wanted[rows]]
                right += int((truth[rows] == reply.name).sum())
                wrong += int((truth[rows] != reply.name).sum())
            yield Step(clicks, typed, right, wrong)


def _most(names: np.ndarray) -> str:
    """Give who is shown most often; of two the one who is shown first."""
    return str(Counter(names.tolist()).most_common(1)[0][0])


def _milestones(steps: list[Step], faces: int) -> dict[str, object]:
    reached = {}
    for goal in GOALS:
        step = next((step for step in steps if step.right >= goal * faces), None)
        reached[f"{goal:.0%}"] = None if step is None else {"clicks": step.clicks, "typed": step.typed}
    last = steps[-1]
    end = {"clicks": last.clicks, "typed": last.typed, "right": round(last.right / faces, 4), "wrong": last.wrong}
    return {"reached": reached, "end": end}


if __name__ == "__main__":
    main()
