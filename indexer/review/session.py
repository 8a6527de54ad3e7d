"""One sitting of review: questions out, answers in. Each answer becomes facts at once, and can be taken back whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from indexer.people import Action, FaceRef, PeopleError, PeopleStore
from indexer.review.board import (
    NOBODY,
    Board,
    give_name,
    join,
    part,
    reject,
    rows_of,
    skip,
    take_out,
    tell_apart,
)
from indexer.review.looks import halves, shown_faces, typical_first
from indexer.review.questions import Material, Question, rank_questions
from indexer.review.replies import Reply, Word

FACES_SHOWN = 24
"""Faces of a target on the sheet, at the most, if it is to be named; of them a third are the least typical."""
FACES_OF_KNOWN = 6
FACES_OF_CANDIDATE = 4


@dataclass(frozen=True)
class Tally:
    """What the answers settled: faces that got a name, faces that are not somebody, bundles said to be one, or two."""

    answers: int = 0
    named: int = 0
    rejected: int = 0
    same: int = 0
    different: int = 0


class ReviewSession:
    """The state of a review: the board, and how to go back."""

    def __init__(self, material: Material, board: Board, store: PeopleStore, ref: Callable[[int], FaceRef]) -> None:
        """Start.

        Args:
            material: from the last clustering.
            board: as it is now.
            store: takes the facts.
            ref: gives the reference to the face of a row.
        """
        self.material = material
        self.board = board
        self.tally = Tally()
        self._store = store
        self._ref = ref
        self._before: list[tuple[Board, Tally, list[Action]]] = []

    def question(self) -> Question | None:
        """Give the question that settles most; None if there is nothing left to ask."""
        return next(iter(rank_questions(self.material, self.board)), None)

    def shown(self, question: Question) -> tuple[np.ndarray, list[np.ndarray]]:
        """Choose the faces to look at: (rows of the target, rows of each candidate), the most typical first."""
        most = FACES_OF_KNOWN if question.candidates else FACES_SHOWN
        target = self._typical(question.target, most)
        return target, [self._typical(candidate, FACES_OF_CANDIDATE) for candidate in question.candidates]

    def name_of(self, person: int) -> str | None:
        """Give the name of a person; None for nobody."""
        return self._store.state().persons.get(person)

    def answer(self, question: Question, reply: Reply) -> str:
        """Turn an answer into facts, and tell what was settled.

        Raises:
            PeopleError: if it contradicts what was said before; the question is skipped, and nothing of it is kept,
                unless another process has said something in that moment.
        """
        before = self.board, self.tally
        actions: list[Action] = []
        try:
            told = self._settle(question, reply, actions)
        except PeopleError:
            self.board, self.tally = skip(before[0], question.keys), before[1]
            self._store.undo_these(actions)
            raise
        self.tally = replace(self.tally, answers=self.tally.answers + 1)
        self._before.append((*before, actions))
        return told

    def undo(self) -> str:
        """Take back the last answer whole, and tell what that did.

        Raises:
            PeopleError: if there is none, or somebody else has said something since.
        """
        if not self._before:
            raise PeopleError("no answer of this review is left to take back: `visavis undo` goes on from here")
        board, tally, actions = self._before[-1]
        self._store.undo_these(actions)
        self._before.pop()
        self.board, self.tally = board, tally
        return "taken back: " + ("; ".join(action.text for action in actions) or "the last answer")

    def _settle(self, question: Question, reply: Reply, actions: list[Action]) -> str:
        if reply.word is Word.SKIP:
            self.board = skip(self.board, question.keys)
            return "skipped"
        if question.candidates:
            return self._settle_candidates(question, reply, actions)
        if reply.word is Word.NO:
            return self._part(question, actions)
        return self._settle_name(question, reply, actions)

    def _settle_name(self, question: Question, reply: Reply, actions: list[Action]) -> str:
        shown, _ = self.shown(question)
        others = shown[[number - 1 for number in reply.but]]
        rows = np.setdiff1d(rows_of(self.board, question.target), others)
        told = []
        if len(others):
            self._say_different(int(np.setdiff1d(shown, others)[0]), others, actions)
            self.board = take_out(self.board, others)
            told.append(f"taken out: {len(others)}")
        if reply.name:
            _note(actions, self._store.assign(self._refs(rows), reply.name, add_to_existing=True))
            person = self._store.state().person_named(reply.name)
            assert person is not None
            self.board = give_name(self.board, rows, person)
            self.tally = replace(self.tally, named=self.tally.named + len(rows))
            told.append(f"{reply.name}: {len(rows)} more")
        return ", ".join(told)

    def _part(self, question: Question, actions: list[Action]) -> str:
        """Part a bundle that is not one person; what is different is asked next, unless there are only two faces."""
        rows = rows_of(self.board, question.target)
        self.board = skip(self.board, question.keys)
        if len(rows) == 2:
            self._say_different(int(rows[0]), rows[1:], actions)
            self.board = take_out(self.board, rows[1:])
            return "two people"
        self.board = part(self.board, rows[halves(self.material.embeddings[rows])])
        return "parted in two: the next question is about the parts"

    def _settle_candidates(self, question: Question, reply: Reply, actions: list[Action]) -> str:
        target, candidates = self.shown(question)
        every = range(len(candidates))
        excepted = {Word.YES: (), Word.NO: tuple(every)}.get(reply.word, tuple(number - 1 for number in reply.but))
        accepted = [number for number in every if number not in excepted]
        self.board = skip(self.board, question.keys)
        if excepted:
            self._refuse(question, int(target[0]), [candidates[number] for number in excepted], actions)
        if accepted:
            bundles = np.array([question.candidates[number] for number in accepted], np.int64)
            self._accept(question, int(target[0]), bundles, actions)
        return f"{len(accepted)} the same, {len(excepted)} not"

    def _accept(self, question: Question, face: int, bundles: np.ndarray, actions: list[Action]) -> None:
        rows = np.flatnonzero(np.isin(self.board.bundle, bundles))
        if question.person != NOBODY:
            name = self._store.state().persons[question.person]
            _note(actions, self._store.assign(self._refs(rows), name, add_to_existing=True))
            self.board = give_name(self.board, rows, question.person)
            self.tally = replace(self.tally, named=self.tally.named + len(rows))
            return
        for bundle in bundles.tolist():
            other = int(self._typical(bundle, 1)[0])
            _note(actions, self._store.same(self._ref(face), self._ref(other)))
        self.board = join(self.board, np.append(bundles, question.target))
        self.tally = replace(self.tally, same=self.tally.same + len(bundles))

    def _refuse(self, question: Question, face: int, shown: list[np.ndarray], actions: list[Action]) -> None:
        """Say that candidates are somebody else: of their faces those that were seen."""
        if question.person == NOBODY:
            self._say_different(face, np.array([rows[0] for rows in shown], np.int64), actions)
            return
        rows = np.concatenate(shown)
        _note(actions, self._store.reject(self._refs(rows), question.person))
        self.board = reject(self.board, rows, question.person)
        self.tally = replace(self.tally, rejected=self.tally.rejected + len(rows))

    def _say_different(self, face: int, others: np.ndarray, actions: list[Action]) -> None:
        for other in others.tolist():
            _note(actions, self._store.different(self._ref(face), self._ref(other)))
        self.board = tell_apart(self.board, np.stack([np.full(len(others), face), others], axis=1))
        self.tally = replace(self.tally, different=self.tally.different + len(others))

    def _typical(self, bundle: int, most: int) -> np.ndarray:
        rows = rows_of(self.board, bundle)
        return shown_faces(rows[typical_first(self.material.embeddings[rows])], most)

    def _refs(self, rows: np.ndarray) -> list[FaceRef]:
        return [self._ref(row) for row in rows.tolist()]


def _note(actions: list[Action], action: Action | None) -> None:
    """Remember what was said, if it was not known already."""
    if action is not None:
        actions.append(action)
