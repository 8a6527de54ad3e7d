"""One sitting of review: questions out, answers in. Each answer becomes facts at once, and can be taken back whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from indexer.people import Action, Answer, FaceRef, PeopleError, PeopleStore
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
    """What the answers settled: faces that got a name, faces that are not somebody, bundles said to be one, or two.

    Only what is kept is an answer: not a skipped question, nor that faces are several people, before it is said which.
    """

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
        self._before: list[tuple[Board, Tally, Action | None]] = []

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
            PeopleError: if it contradicts what was said before; nothing of it is kept, and the question is skipped.
        """
        before, is_parting = (self.board, self.tally), self._is_parting(question, reply)
        try:
            told, action = self._settle(question, reply)
        except PeopleError:
            self.board, self.tally = skip(before[0], question.keys), before[1]
            raise
        if reply.word is not Word.SKIP and not is_parting:
            self.tally = replace(self.tally, answers=self.tally.answers + 1)
        self._before.append((*before, action))
        return told

    def undo(self) -> str:
        """Take back the last answer whole, and tell what that did.

        Raises:
            PeopleError: if there is none, or somebody else has said something since.
        """
        if not self._before:
            raise PeopleError("no answer of this review is left to take back: `visavis undo` goes on from here")
        board, tally, action = self._before[-1]
        if action is not None:
            self._store.undo(only=action.action_id)
        self._before.pop()
        self.board, self.tally = board, tally
        return f"taken back: {action.text if action is not None else 'the last answer'}"

    def _settle(self, question: Question, reply: Reply) -> tuple[str, Action | None]:
        if reply.word is Word.SKIP:
            self.board = skip(self.board, question.keys)
            return "skipped", None
        if question.candidates:
            return self._settle_candidates(question, reply)
        if self._is_parting(question, reply):
            return self._part(question), None
        if reply.word is Word.NO:
            return self._settle_two(question)
        return self._settle_name(question, reply)

    def _settle_name(self, question: Question, reply: Reply) -> tuple[str, Action | None]:
        shown, _ = self.shown(question)
        others = shown[[number - 1 for number in reply.but]]
        rows = np.setdiff1d(rows_of(self.board, question.target), others)
        pairs = _from_one(int(np.setdiff1d(shown, others)[0]), others)
        answer = Answer(
            faces=self._refs(rows) if reply.name else (), name=reply.name or None, different=self._ref_pairs(pairs)
        )
        is_new = bool(reply.name) and self._store.state().person_named(reply.name) is None
        action = self._store.settle(answer)
        told = []
        if len(others):
            self._tell_apart(pairs)
            self.board = take_out(self.board, others)
            told.append(f"taken out: {len(others)}")
        if reply.name:
            person = self._store.state().person_named(reply.name)
            assert person is not None
            self.board = give_name(self.board, rows, person)
            self.tally = replace(self.tally, named=self.tally.named + len(rows))
            told.append(f"{reply.name}, who is new: {len(rows)}" if is_new else f"{reply.name}: {len(rows)} more")
        return ", ".join(told), action

    def _is_parting(self, question: Question, reply: Reply) -> bool:
        """Whether it is said that three faces or more are several people: that does not tell yet who is different."""
        is_no = reply.word is Word.NO and not question.candidates
        return is_no and len(rows_of(self.board, question.target)) > 2

    def _part(self, question: Question) -> str:
        """Part a bundle that is not one person: which faces are different is asked next, and that answer is kept."""
        rows = rows_of(self.board, question.target)
        self.board = skip(self.board, question.keys)
        self.board = part(self.board, rows[halves(self.material.embeddings[rows])])
        return "parted in two for now: the next question is about the parts, and its answer is what is kept"

    def _settle_two(self, question: Question) -> tuple[str, Action | None]:
        """Say of the only two faces of a bundle that they are different."""
        rows = rows_of(self.board, question.target)
        self.board = skip(self.board, question.keys)
        pairs = _from_one(int(rows[0]), rows[1:])
        action = self._store.settle(Answer(different=self._ref_pairs(pairs)))
        self._tell_apart(pairs)
        self.board = take_out(self.board, rows[1:])
        return "two people", action

    def _settle_candidates(self, question: Question, reply: Reply) -> tuple[str, Action | None]:
        target, candidates = self.shown(question)
        every = range(len(candidates))
        excepted = {Word.YES: (), Word.NO: tuple(every)}.get(reply.word, tuple(number - 1 for number in reply.but))
        accepted = [number for number in every if number not in excepted]
        self.board = skip(self.board, question.keys)
        settle = self._settle_unnamed if question.person == NOBODY else self._settle_person
        action = settle(question, target, candidates, accepted)
        return f"{len(accepted)} the same, {len(excepted)} not", action

    def _settle_person(
        self, question: Question, _: np.ndarray, candidates: list[np.ndarray], accepted: list[int]
    ) -> Action | None:
        """Give candidates the name; of those who are somebody else reject the faces that were seen."""
        bundles = [question.candidates[number] for number in accepted]
        rows = np.flatnonzero(np.isin(self.board.bundle, bundles))
        refused = [seen for number, seen in enumerate(candidates) if number not in accepted]
        others = np.concatenate([np.empty(0, np.int64), *refused])
        answer = Answer(faces=self._refs(rows), rejected=self._refs(others), person=question.person)
        action = self._store.settle(answer)
        if len(others):
            self.board = reject(self.board, others, question.person)
        if len(rows):
            self.board = give_name(self.board, rows, question.person)
        counted = self.tally.named + len(rows), self.tally.rejected + len(others)
        self.tally = replace(self.tally, named=counted[0], rejected=counted[1])
        return action

    def _settle_unnamed(
        self, question: Question, target: np.ndarray, candidates: list[np.ndarray], accepted: list[int]
    ) -> Action | None:
        """Join candidates with somebody without a name, or tell them apart, by their most typical faces."""
        heads = np.array([rows[0] for rows in candidates], np.int64)
        is_same = np.isin(np.arange(len(heads)), accepted)
        same, different = (_from_one(int(target[0]), heads[which]) for which in (is_same, ~is_same))
        answer = Answer(same=self._ref_pairs(same), different=self._ref_pairs(different))
        action = self._store.settle(answer)
        self._tell_apart(different)
        if len(same):
            bundles = np.array(question.candidates, np.int64)[is_same]
            self.board = join(self.board, np.append(bundles, question.target))
            self.tally = replace(self.tally, same=self.tally.same + len(same))
        return action

    def _tell_apart(self, pairs: np.ndarray) -> None:
        self.board = tell_apart(self.board, pairs)
        self.tally = replace(self.tally, different=self.tally.different + len(pairs))

    def _typical(self, bundle: int, most: int) -> np.ndarray:
        rows = rows_of(self.board, bundle)
        return shown_faces(rows[typical_first(self.material.embeddings[rows])], most)

    def _refs(self, rows: np.ndarray) -> list[FaceRef]:
        return [self._ref(row) for row in rows.tolist()]

    def _ref_pairs(self, pairs: np.ndarray) -> list[tuple[FaceRef, FaceRef]]:
        return [(self._ref(one), self._ref(other)) for one, other in pairs.tolist()]


def _from_one(face: int, others: np.ndarray) -> np.ndarray:
    """Pair a row with others: int64 (M, 2)."""
    return np.stack([np.full(len(others), face, np.int64), others], axis=1)
