"""Read what somebody typed as the answer to a question. Text in, records out; opens no file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_WORDS = {"y": "yes", "yes": "yes", "n": "no", "no": "no", "s": "skip", "skip": "skip"}
_WORDS |= {"u": "undo", "undo": "undo", "q": "quit", "quit": "quit", "exit": "quit"}
_HELP_WORDS = ("?", "h", "help")
_HELP_NAME = """Type who this is, as in: Ann Lee. If some are somebody else, type their numbers first: 3 7 Ann Lee.
Numbers alone take these faces out. n: these are several people; the next question is about their parts, and its answer
is what is kept."""
_HELP_SAME = """Type y if all of the numbers show the same person, n if none does, or those that do not: 3 7."""
_HELP_ALWAYS = """skip: not now. undo: take back the last answer. quit: stop here, every answer so far is kept.
These words are no names here, nor are their first letters: `visavis name` can give such a name."""


class Word(StrEnum):
    """What an answer says, beside numbers and a name."""

    YES = "yes"
    NO = "no"
    SKIP = "skip"
    UNDO = "undo"
    QUIT = "quit"
    BUT = "but"


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        word: what it says; ``BUT`` where numbers or a name were typed.
        but: the numbers of the exceptions, from 1 on, ascending.
        name: who it is; empty if no name was typed.
    """

    word: Word
    but: tuple[int, ...] = ()
    name: str = ""


def read_reply(text: str, *, numbered: int, asks_name: bool) -> Reply:
    """Read an answer: a word or its first letter, numbers of exceptions ("3 7" or "3, 7"), or a name after them.

    Args:
        numbered: how many tiles or candidates have a number.
        asks_name: whether the question is who it is; then "yes" is no answer, and other text is a name.
    Raises:
        ValueError: if it is no answer to this question, or asks for help ("?", "help"); says what would be one.
    """
    words = text.replace(",", " ").split()
    if len(words) == 1 and words[0].lower() in _HELP_WORDS:
        raise ValueError(f"{_HELP_NAME if asks_name else _HELP_SAME}\n{_HELP_ALWAYS}")
    if not words:
        raise ValueError("that was empty: skip leaves the question open")
    if len(words) == 1 and (known := _WORDS.get(words[0].lower())):
        if asks_name and known == "yes":
            raise ValueError("type the name of this person, or skip")
        return Reply(Word(known))
    end = next((place for place, word in enumerate(words) if not word.isdecimal()), len(words))
    numbers = sorted({int(word) for word in words[:end]})
    wrong = [number for number in numbers if not 1 <= number <= numbered]
    if wrong:
        raise ValueError(f"there is no number {wrong[0]}: those shown are 1 to {numbered}")
    if end < len(words) and not asks_name:
        raise ValueError(f"{text.strip()!r} is no answer: type y, n, numbers of the exceptions, skip, undo or quit")
    if asks_name and len(numbers) == numbered:
        raise ValueError("that is everybody: type n if they are not one person")
    return Reply(Word.BUT, tuple(numbers), text.strip().lstrip("0123456789, ") if numbers else text.strip())
