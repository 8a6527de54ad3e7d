"""What somebody types, and what it means."""

from __future__ import annotations

import pytest

from indexer.review.replies import Reply, Word, read_reply


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("y", Reply(Word.YES)),
        ("YES\n", Reply(Word.YES)),
        ("n", Reply(Word.NO)),
        (" s ", Reply(Word.SKIP)),
        ("undo", Reply(Word.UNDO)),
        ("q", Reply(Word.QUIT)),
        ("exit", Reply(Word.QUIT)),
        ("3", Reply(Word.BUT, (3,))),
        ("7, 3,3", Reply(Word.BUT, (3, 7))),
    ],
)
def test_words_and_numbers(text: str, reply: Reply) -> None:
    assert read_reply(text, numbered=9, asks_name=False) == reply


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("Ann Lee", Reply(Word.BUT, (), "Ann Lee")),
        ("3 7 Ann Lee", Reply(Word.BUT, (3, 7), "Ann Lee")),
        ("Lee, Ann", Reply(Word.BUT, (), "Lee, Ann")),
        ("2, Lee, Ann\n", Reply(Word.BUT, (2,), "Lee, Ann")),
        ("Quincy", Reply(Word.BUT, (), "Quincy")),
        ("2", Reply(Word.BUT, (2,))),
        ("n", Reply(Word.NO)),
    ],
)
def test_names_with_and_without_exceptions(text: str, reply: Reply) -> None:
    assert read_reply(text, numbered=9, asks_name=True) == reply


@pytest.mark.parametrize(
    ("text", "asks_name", "message"),
    [
        ("", False, "empty"),
        ("  \n", True, "empty"),
        ("y", True, "type the name"),
        ("10", False, "no number 10: those shown are 1 to 9"),
        ("0 1", False, "no number 0"),
        ("Ann", False, "'Ann' is no answer"),
        ("3 Ann", False, "is no answer"),
        ("1 2 3 4 5 6 7 8 9", True, "that is everybody"),
        ("help", True, "Type who this is, as in: Ann Lee"),
        ("?", False, "Type y if all of the numbers show the same person"),
    ],
)
def test_what_is_no_answer_says_what_would_be_one(text: str, asks_name: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_reply(text, numbered=9, asks_name=asks_name)


def test_all_candidates_may_be_exceptions() -> None:
    assert read_reply("1 2", numbered=2, asks_name=False) == Reply(Word.BUT, (1, 2))
