"""The benchmark of wrong labels, on people who are easy to tell apart."""

import numpy as np

from benchmarks.label_errors import give_wrong_names, measure


def test_wrong_names_are_found_and_right_ones_left_alone():
    people = np.repeat(np.arange(40), 5)
    given = give_wrong_names(people, 0.03, seed=1)
    assert (given != people).sum() == 6
    rng = np.random.default_rng(0)
    rows = np.eye(40)[people] + 0.05 * rng.standard_normal((200, 40))
    embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    line = measure(embeddings, people, given, epochs=10)
    assert line["faces"] == 200 and line["wrong"] == line["found"] == line["listed"] == line["named"] == 6
