"""How a user writes a face, a person and a group, and how they are written for the user.

A face is the second from the left in party.jpg: ``party.jpg#2``. Its id, which programs use, is understood too.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from indexer.archive import Archive
from indexer.grouping.groups import group_number
from indexer.people import NoSuchPerson, PeopleError, PeopleState

_LISTED = 8  # candidates in an error


class NoSuchFace(PeopleError):
    """What was typed is no face of the album, or might be several."""


@dataclass(frozen=True)
class FaceNames:
    """Names for the faces of an archive, and the way back."""

    archive: Archive

    def name(self, row: int) -> str:
        """Name a face by the whole path of its photo."""
        return f"{self.archive.paths[row]}#{self._numbers[row]}"

    def short(self, row: int) -> str:
        """Name a face by as little of the path as tells its photo from all others."""
        parts = self.archive.paths[row].split("/")
        for length in range(1, len(parts)):
            ending = "/".join(parts[-length:])
            if self._photos_ending(length)[ending] < 2:
                return f"{ending}#{self._numbers[row]}"
        return self.name(row)

    def rows(self, texts: Iterable[str]) -> np.ndarray:
        """Find faces: int64 (M,), each once, in the order given.

        Raises:
            NoSuchFace: names the first that is not there or could be several.
        """
        return np.array(list(dict.fromkeys(self.row(text) for text in texts)), np.int64)

    def row(self, text: str) -> int:
        """Find the face that a user means.

        Raises:
            NoSuchFace: lists what might have been meant.
        """
        if text.isdecimal():
            if (found := self.archive.row_of.get(int(text))) is None:
                raise NoSuchFace(f"there is no face {text} in this album: `visavis people --faces` lists all")
            return found
        photo, mark, number = text.rpartition("#")
        if not mark or not number.isdecimal():
            raise NoSuchFace(f"{text!r} is no face: write PHOTO#2 for the second face from the left, or the face's id")
        candidates = self._of_photo(photo, number)
        for row in candidates:
            if self._numbers[row] == int(number):
                return int(row)
        names = ", ".join(self.short(row) for row in candidates[:_LISTED])
        raise NoSuchFace(f"there is no face {number} in {photo}, only {names}")

    def explain(self, message: str) -> str:
        """Write a message of the people file, which knows faces by their id, as a user would."""
        return re.sub(r"\bfaces? (\d+)(?: and (\d+))?", self._explained, message)

    def _explained(self, match: re.Match[str]) -> str:
        rows = [self.archive.row_of.get(int(face)) for face in match.groups() if face]
        known = [self.short(row) for row in rows if row is not None]
        return " and ".join(known) if len(known) == len(rows) else match[0]

    def _of_photo(self, photo: str, number: str) -> list[int]:
        """Give the rows of the one photo that a user means, from left to right."""
        whole = (photo, os.path.abspath(photo))  # noqa: PTH100 - Path.absolute keeps ".."
        ending = "/" + photo.removeprefix("./")
        alike = self._files_by_name.get(photo.rpartition("/")[2], ())
        near = {content: path for path, content in alike if path in whole or path.endswith(ending)}
        exact = {content: path for content, path in near.items() if path in whole} or near
        if not exact:
            raise NoSuchFace(f"no photo with a face is called {photo}: `visavis people --faces` lists all faces")
        if len(exact) > 1:
            names = ", ".join(f"{path}#{number}" for path in sorted(exact.values())[:_LISTED])
            more = f" and {len(exact) - _LISTED} more" if len(exact) > _LISTED else ""
            raise NoSuchFace(f"{photo}#{number} could be {names}{more}: write more of the path")
        rows = np.flatnonzero(self.archive.photo_numbers == next(iter(exact)))
        in_order: list[int] = rows[np.argsort(self._numbers[rows])].tolist()
        return in_order

    @cached_property
    def _numbers(self) -> np.ndarray:
        """int64 (N,): the place of each face in its photo, from the left, 1 for the first; ignored faces count."""
        photos = self.archive.photo_numbers
        x, y, w, h = self.archive.faces.boxes_xywh.T
        order = np.lexsort((self.archive.faces.face_ids, h, w, y, x, photos))
        starts = np.flatnonzero(np.diff(photos[order], prepend=-1) != 0)
        sizes = np.diff(starts, append=len(order))
        numbers = np.empty(len(order), np.int64)
        numbers[order] = np.arange(len(order)) - np.repeat(starts, sizes) + 1
        return numbers

    @cached_property
    def _files(self) -> list[tuple[str, int]]:
        """The files that show a face: path and number of the photo. Copies of one file are one photo."""
        photos = self.archive.tables.photos
        files = photos.filter(np.isin(photos.column("content").to_numpy(), self.archive.photo_numbers))
        return list(zip(files.column("path").to_pylist(), files.column("content").to_pylist(), strict=True))

    @cached_property
    def _files_by_name(self) -> dict[str, list[tuple[str, int]]]:
        """The files by the last part of their path."""
        files: dict[str, list[tuple[str, int]]] = {}
        for path, content in self._files:
            files.setdefault(path.rpartition("/")[2], []).append((path, content))
        return files

    @cached_property
    def _endings(self) -> dict[int, Counter[str]]:
        return {}

    def _photos_ending(self, length: int) -> Counter[str]:
        """Count the photos by the last parts of their paths."""
        if length not in self._endings:
            endings = {("/".join(path.split("/")[-length:]), photo) for path, photo in self._files}
            self._endings[length] = Counter(ending for ending, _ in endings)
        return self._endings[length]


@dataclass(frozen=True)
class Someone:
    """A person or a group, with the rows of all its faces.

    Attributes:
        person: who; None for a group.
        group: its number; None for a person.
        title: for humans: ``Ann Lee``, ``group 3``.
        rows: int64 (M,).
    """

    person: int | None
    group: int | None
    title: str
    rows: np.ndarray


def find_someone(archive: Archive, groups: np.ndarray, text: str) -> Someone:
    """Find the person or the group that a user means: "Ann Lee", "3", "#3".

    Args:
        archive: the album.
        groups: from ``indexer.answers.album_groups``.
        text: a name goes before a number.
    Raises:
        indexer.people.NoSuchPerson, indexer.grouping.groups.GroupsError: if there is neither.
    """
    person = archive.people.person_named(text)
    if person is not None:
        return Someone(person, None, archive.people.persons[person], np.flatnonzero(archive.persons == person))
    if not text.removeprefix("#").isdecimal():
        find_person(archive.people, text)
    group = group_number(text, groups)
    return Someone(None, group, f"group {group}", np.flatnonzero(groups == group))


def find_person(people: PeopleState, name: str, remedy: str = "") -> int:
    """Find who has a name.

    Args:
        people: who is there.
        name: in whatever capitals and spacing.
        remedy: added where nobody has it.
    Raises:
        indexer.people.NoSuchPerson: if nobody has it; tells similar names.
    """
    person = people.person_named(name)
    if person is None:
        near = difflib.get_close_matches(name, people.persons.values(), 3)
        meant = f", but there is {', '.join(near)}" if near else ""
        raise NoSuchPerson(f"nobody here is called {name!r}{meant}: `visavis people` lists people and groups{remedy}")
    return person
