"""Measure which names are proposed, and how many of them are right.

    python -m benchmarks.proposals ALBUM

ALBUM holds photos in a folder for each person, as LFW's; the face nearest the middle of a photo is that person, the
others are nobody. Names in the album are not used, and it is not changed. Of each person with four photos or more one,
two or three are named; then the others of them are to be found. Three ways are compared: to be in the group of somebody
who has a name, to be named by the recogniser at a false alarm rate, and both.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.review import NOBODY, read_truth
from indexer.album import open_album
from indexer.archive import Archive, read_archive
from indexer.grouping.archive_groups import group_archive
from indexer.grouping.proposals import propose
from indexer.naming.barred import barred_people
from indexer.naming.identify import IdentifySettings
from indexer.naming.recognition import build_recogniser
from indexer.people import PeopleState

MIN_PHOTOS = 4
FALSE_ALARMS = (0.001, 0.01, 0.05)


def main() -> None:
    """Print a line for each number of named photos and each way."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proposals", description="Measure proposed names.")
    parser.add_argument("album", type=Path)
    archive = read_archive(open_album(parser.parse_args().album))
    truth = read_truth(archive)
    names, numbers = np.unique(truth, return_inverse=True)
    photos = Counter(truth)
    people = [number for number, name in enumerate(names) if name != NOBODY and photos[name] >= MIN_PHOTOS]
    numbers = np.where(truth == NOBODY, -1, numbers)
    for named in (1, 2, 3):
        said = _say(numbers, people, named)
        wanted = (said < 0) & np.isin(numbers, people)
        for way, proposed in _ways(_with_names(archive, said)).items():
            right = int((wanted & (proposed == numbers)).sum())
            known = int(((proposed >= 0) & (numbers >= 0)).sum())
            figures = {
                "precision": round(right / max(known, 1), 4),
                "recall": round(right / int(wanted.sum()), 4),
                "wrong": known - right,
                "others_proposed": int(((proposed >= 0) & (numbers < 0)).sum()),
            }
            print(
                json.dumps({"named": named, "people": len(people), "to_find": int(wanted.sum()), "way": way} | figures)
            )


def _say(numbers: np.ndarray, people: list[int], named: int) -> np.ndarray:
    """Choose the photos that are named: int64 (N,) person, −1 for the others."""
    random = np.random.default_rng(0)
    said = np.full(len(numbers), -1, np.int64)
    for person in people:
        said[random.choice(np.flatnonzero(numbers == person), named, replace=False)] = person
    return said


def _with_names(archive: Archive, said: np.ndarray) -> Archive:
    rows = np.flatnonzero(said >= 0).tolist()
    person_of = {int(archive.faces.face_ids[row]): int(said[row]) for row in rows}
    persons = {person: f"person {person}" for person in person_of.values()}
    return replace(archive, people=PeopleState(persons, person_of, frozenset(), frozenset(), (), ()))


def _ways(archive: Archive) -> dict[str, np.ndarray]:
    """Give what each way proposes: int64 (N,) person, −1 for nobody."""
    by_group, sureness = propose(archive, group_archive(archive))
    ways = {"group": by_group, "group, sureness .99": np.where(sureness >= 0.99, by_group, -1)}
    rows = np.flatnonzero(archive.persons < 0)
    recogniser, barred = build_recogniser(archive), barred_people(archive, rows)
    faces = archive.embeddings[rows], archive.photo_numbers[rows], archive.faces.qualities[rows]
    for false_alarm in FALSE_ALARMS:
        settings = IdentifySettings(false_alarm=false_alarm)
        by_face = np.full(len(by_group), -1, np.int64)
        by_face[rows] = recogniser.name(*faces, settings, barred=barred).person
        ways[f"recogniser {false_alarm}"] = by_face
        ways[f"both {false_alarm}"] = np.where(by_group == by_face, by_group, -1)
        ways[f"group, else recogniser {false_alarm}"] = np.where(by_group >= 0, by_group, by_face)
    return ways


if __name__ == "__main__":
    main()
