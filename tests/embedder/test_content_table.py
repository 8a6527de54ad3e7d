"""The table holds what was put in, and little besides."""

from __future__ import annotations

import random
import tracemalloc
from datetime import datetime, timedelta, timezone

import embedder.content_table
from embedder.content_table import ContentTable
from embedder.rows import Content, photo_id


def some_content(number: int) -> Content:
    chance = random.Random(number)
    zone = chance.choice([None, timezone(timedelta(minutes=chance.randint(-700, 700)))])
    taken_at = chance.choice([None, datetime(1900 + number % 300, 2, 3, 4, 5, 6, 789000, zone)])
    return Content(chance.randint(1, 99999), chance.randint(1, 99999), taken_at, chance.randint(0, 2000))


def test_what_was_put_in_comes_out_and_nothing_else():
    table, expected = ContentTable(), {}
    for number in range(5000):
        name = photo_id(str(number).encode())
        assert name not in table and table.get(name) is None
        expected[name] = some_content(number)
        table.add(name, expected[name])
    assert len(table) == 5000
    for name, content in expected.items():
        found = table.get(name)
        assert name in table and found == content
        assert found is not None and (found.taken_at is None) == (content.taken_at is None)
        if found.taken_at is not None and content.taken_at is not None:
            assert found.taken_at.utcoffset() == content.taken_at.utcoffset()
    assert photo_id(b"another") not in table


def test_the_first_word_holds():
    table = ContentTable()
    for faces in (1, 2):
        table.add("a" * 32, Content(3, 4, None, faces))
    assert (len(table), table.get("a" * 32)) == (1, Content(3, 4, None, 1))


def test_contents_that_begin_alike_are_told_apart():
    table = ContentTable()
    for end in range(50):
        table.add(f"{'0' * 30}{end:02x}", Content(1, 1, None, end))
    assert [table.get(f"{'0' * 30}{end:02x}") for end in range(51)] == [
        *(Content(1, 1, None, end) for end in range(50)),
        None,
    ]


def test_a_content_takes_no_more_than_100_bytes():
    names = [photo_id(str(number).encode()) for number in range(20_000)]
    tracemalloc.start()
    try:
        table = ContentTable()
        for name in names:
            table.add(name, Content(1, 2, None, 3))
        ours = tracemalloc.Filter(True, embedder.content_table.__file__)
        taken = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([ours]).traces)
    finally:
        tracemalloc.stop()
    assert taken / len(names) < 100
