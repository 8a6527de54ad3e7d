"""`visavis review`: answer the questions that settle most faces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from indexer.commands.options import ANY_PATH, album_option, count, json_option, print_json, say

if TYPE_CHECKING:
    from indexer.archive import Archive
    from indexer.review.questions import Question
    from indexer.review.replies import Reply
    from indexer.review.session import ReviewSession

_SHEET = "review.jpg"
_NAME_SHOWN = 14  # letters of a photo's name: more would push the number off the tile


@click.command()
@album_option
@click.option(
    "--sheet",
    type=ANY_PATH,
    metavar="FILE.jpg",
    help="Where the faces of a question are drawn.",
    show_default="index/review.jpg in the album, removed at the end",
)
@click.option("--most", type=click.IntRange(min=1), default=None, help="Questions, at the most.", show_default="all")
@json_option
def review(album: Path, sheet: Path | None, most: int | None, as_json: bool) -> None:
    """Answer questions about who is who, those first that settle most faces.

    Each question has a contact sheet to look at. An answer is written down at once: a name, y, n, the
    numbers of those who are not meant (3 7), skip, undo, quit, or ? for help. Nothing that is known is asked.
    --json lists the questions and asks nothing.

    \b
    Examples:
      visavis review
      visavis review --json --most 20
    """
    from indexer.album import open_album
    from indexer.archive import read_archive
    from indexer.people import PeopleStore
    from indexer.review.questions import rank_questions
    from indexer.review.session import ReviewSession
    from indexer.review.start import read_board

    opened = open_album(album)
    archive = read_archive(opened)
    material, board = read_board(archive)
    with PeopleStore(opened.people) as store:
        session = ReviewSession(material, board, store, archive.ref)
        if as_json:
            questions = rank_questions(material, board, len(archive.faces) if most is None else most)
            print_json(_as_json(archive, session, question) for question in questions)
            return
        try:
            _ask_all(archive, session, opened.index / _SHEET if sheet is None else sheet, most)
        finally:  # faces that somebody has removed or forgotten later must not live on in a picture
            (opened.index / _SHEET).unlink(missing_ok=True)
    _say_summary(session)


def _ask_all(archive: Archive, session: ReviewSession, sheet: Path, most: int | None) -> None:
    """Ask until there is nothing left, or nobody who answers."""
    from indexer.face_names import FaceNames
    from indexer.people import PeopleError
    from indexer.review.replies import Word

    names, asked = FaceNames(archive), 0
    try:
        while (question := session.question()) is not None and (most is None or asked < most):
            _show(archive, session, question, sheet)
            reply = _reply(session, question, sys.stdin)
            if reply.word is Word.QUIT:
                return
            try:
                told = session.undo() if reply.word is Word.UNDO else session.answer(question, reply)
                click.echo(names.explain(told))
                asked += 1 if reply.word is not Word.UNDO else -1
            except PeopleError as error:
                say(names.explain(str(error)))
    except (KeyboardInterrupt, EOFError):
        say("")


def _reply(session: ReviewSession, question: Question, lines: TextIO) -> Reply:
    """Read lines until one is an answer.

    Raises:
        EOFError: if there are no more lines.
    """
    from indexer.review.replies import read_reply

    target, candidates = session.shown(question)
    numbered = len(candidates) or len(target)
    while True:
        click.echo("> ", err=True, nl=False)
        line = lines.readline()
        if not line:
            raise EOFError
        try:
            return read_reply(line, numbered=numbered, asks_name=not candidates)
        except ValueError as error:
            say(str(error))


def _show(archive: Archive, session: ReviewSession, question: Question, sheet: Path) -> None:
    """Draw the faces of a question, and ask it."""
    from indexer.commands.sheets import draw_sheet

    text = _text(archive, session, question)
    target, candidates = session.shown(question)
    if candidates:
        shown = [(row, "known:") for row in target.tolist()]
        shown += [(row, f"{n}:") for n, rows in enumerate(candidates, start=1) for row in rows.tolist()]
    else:
        shown = [(row, f"{n}:") for n, row in enumerate(target.tolist(), start=1)]
    paths = {row: Path(archive.paths[row]) for row, _ in shown}
    draw_sheet(
        text,
        [(paths[row], archive.box(row), f"{label} {paths[row].name[-_NAME_SHOWN:]}") for row, label in shown],
        sheet,
    )
    say(f"{text}  {sheet}\n{_ways(question)}")


def _text(archive: Archive, session: ReviewSession, question: Question) -> str:
    faces = count(int((session.board.bundle == question.target).sum()), "face")
    who = _name_of(archive, session, question)
    if not question.candidates:
        return f"Who is {who}? {faces}."
    number = len(question.candidates)
    if number == 1:
        return f"Is number 1 the same person as {who}, {faces}?"
    return f"Are numbers 1 to {number} the same person as {who}, {faces}?"


def _name_of(archive: Archive, session: ReviewSession, question: Question) -> str:
    if (name := session.name_of(question.person)) is not None:
        return name
    group = session.material.group[question.target]
    return f"group {group}" if group else f"the face in {Path(archive.paths[question.target]).name}"


def _ways(question: Question) -> str:
    if not question.candidates:
        return "[name; 3 7 = not these; n = not one person; skip; undo; quit; ?]"
    if len(question.candidates) == 1:
        return "[y; n; skip; undo; quit; ?]"
    return "[y = all; n = none; 3 7 = all but these; skip; undo; quit; ?]"


def _as_json(archive: Archive, session: ReviewSession, question: Question) -> dict[str, Any]:
    """Describe a question for programs; they answer with `visavis name`, `reject` and the like."""
    ids = archive.faces.face_ids
    target, candidates = session.shown(question)
    chances = question.chances if candidates else ()
    return {
        "question": _text(archive, session, question),
        "asks": "same" if candidates else "name",
        "person": session.name_of(question.person),
        "group": int(session.material.group[question.target]) or None,
        "faces": ids[target].tolist(),
        "candidates": [
            {"faces": ids[rows].tolist(), "group": int(session.material.group[rows[0]]) or None, "chance": round(p, 4)}
            for rows, p in zip(candidates, chances, strict=True)
        ],
        "settles": round(question.settles, 3),
    }


def _say_summary(session: ReviewSession) -> None:
    tally = session.tally
    parts = [
        (tally.named, f"{count(tally.named, 'face')} named"),
        (tally.rejected, f"{count(tally.rejected, 'face')} told to be somebody else"),
        (tally.same, f"{tally.same} said to be the same as others"),
        (tally.different, f"{tally.different} said to be different from others"),
    ]
    settled = ", ".join(text for number, text in parts if number) or "nothing settled"
    rest = "Nothing is left to ask." if session.question() is None else "`visavis review` goes on from here."
    regroup = " `visavis cluster` uses what was said." if any(number for number, _ in parts) else ""
    say(f"{count(tally.answers, 'answer')}: {settled}. {rest}{regroup}")
