"""An album on the desk: what the commands share that say something about its faces, or take it back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from indexer.commands.options import count, print_json, say

if TYPE_CHECKING:
    import numpy as np

    from indexer.archive import Archive
    from indexer.face_names import FaceNames, Someone
    from indexer.people import Action, Conflict, FaceRef, PeopleError, PeopleStore

Command = TypeVar("Command", bound=Callable[..., Any])

GROUP_ANEW = "`visavis cluster` groups and proposes faces by all that was said"
_FACES_SHOWN = 3  # in a remedy

FACE = "FACE"
"""How a face is called in the help of commands: its id, or PHOTO#2 for the second from the left."""


def faces_argument(command: Command) -> Command:
    """Add ``FACE…`` and ``--group``; the command gets ``faces: tuple[str, ...]`` and ``group: str | None``."""
    command = click.option("--group", metavar="GROUP", help="All faces of this group instead.")(command)
    return click.argument("faces", metavar=f"[{FACE}]...", nargs=-1)(command)


@dataclass(frozen=True)
class Desk:
    """An album, its groups, and the names of its faces."""

    archive: Archive
    groups: np.ndarray
    names: FaceNames

    def someone(self, text: str) -> Someone:
        """Find the person or group that a user means."""
        from indexer.face_names import find_someone

        return find_someone(self.archive, self.groups, text)

    def chosen(self, faces: Sequence[str], group: str | None) -> np.ndarray:
        """Give the rows of the faces that a user typed, or of the group."""
        import numpy as np

        from indexer.grouping.groups import group_number

        if bool(faces) == (group is not None):
            raise click.UsageError("name faces as PHOTO#2, the second from the left, or a group with --group: not both")
        if group is None:
            return self.names.rows(faces)
        return np.flatnonzero(self.groups == group_number(group, self.groups))

    def refs(self, rows: np.ndarray) -> list[FaceRef]:
        """Refer to faces as the people file does."""
        return [self.archive.ref(row) for row in rows.tolist()]

    @contextmanager
    def people(self, remedy: Callable[[Conflict], str] | None = None) -> Iterator[PeopleStore]:
        """Open the people file; where it refuses something, its words name faces as users do.

        Args:
            remedy: what to do where something is in the way, if a command knows better than the people file.
        """
        from indexer.people import PeopleError, PeopleStore

        with PeopleStore(self.archive.album.people) as store:
            try:
                yield store
            except PeopleError as error:
                raise click.ClickException(self.told(error, remedy)) from error

    def told(self, error: PeopleError, remedy: Callable[[Conflict], str] | None = None) -> str:
        """Write for users what the people file refuses; see ``people``."""
        from indexer.people import Conflict

        if remedy is not None and isinstance(error, Conflict):
            return f"{self.names.explain(error.because)}. {remedy(error)}"
        return self.names.explain(str(error))

    def ways_out(self, rows: np.ndarray) -> Callable[[Conflict], str]:
        """Say how a group, the faces at ``rows``, gets a name where what was said of some is in the way."""
        import numpy as np

        archive, number = self.archive, int(self.groups[rows[0]])
        faces_here, heads = archive.faces.face_ids[rows], archive.heads[rows]

        def remedy(conflict: Conflict) -> str:
            against = sorted(conflict.against())
            linked = np.isin(heads, [archive.people.heads.get(face, face) for face in against])
            kinds = {reason.kind for reason in conflict.reasons}
            if kinds <= {"same", "different"} and len(set(heads[linked].tolist())) > 1:
                return f"That was said since they were grouped: {GROUP_ANEW}"
            spoken_of = np.isin(faces_here, against)
            in_the_way = spoken_of if spoken_of.any() else linked
            if not in_the_way.any() or in_the_way.all():
                return conflict.remedy
            faces = [self.names.short(row) for row in rows[in_the_way][:_FACES_SHOWN].tolist()]
            more = ",..." if int(in_the_way.sum()) > _FACES_SHOWN else ""
            return f"`visavis split {number} --faces {','.join(faces)}{more}` parts them from the group first"

        return remedy

    def warn_of_photos(self, rows: np.ndarray, person: int | None) -> None:
        """Say which photos show a person twice now: a mistake, mostly, but there are mirrors, and photos of photos.

        Args:
            rows: the faces that were given to the person just now.
            person: who that is, if it is somebody who was there before: those faces count as well.
        """
        import numpy as np

        archive = self.archive
        known = np.empty(0, np.int64) if person is None else np.flatnonzero(archive.persons == person)
        whole = np.concatenate([rows, np.setdiff1d(known, rows)])
        whole = whole[np.isin(archive.photo_numbers[whole], archive.photo_numbers[rows])]
        # Two faces of a photo that were said to be the same are no mistake: of these one counts.
        places = np.stack([archive.photo_numbers[whole], archive.heads[whole]])
        whole = whole[np.unique(places, axis=1, return_index=True)[1]]
        _, first, shown = np.unique(archive.photo_numbers[whole], return_index=True, return_counts=True)
        if (shown > 1).any():
            one, other = (self.names.short(int(row)) for row in np.sort(whole[first[shown > 1][0] :][:2]))
            say(
                f"Warning: {count(int((shown > 1).sum()), 'photo')} with two faces that are one person now, "
                f"as {one} and {other}."
            )

    def report(
        self, action: Action | None, rows: np.ndarray, *, as_json: bool, otherwise: str = "that was said before"
    ) -> None:
        """Tell what was done, and how the faces stand now; ``otherwise``, why nothing was."""
        if as_json:
            print_json(self.lines(rows))
        if action is None:
            say(f"Nothing is changed: {otherwise}.")
        else:
            say(f"Done: {self.names.explain(action.text)}. `visavis undo` takes it back.")

    def lines(self, rows: np.ndarray) -> list[dict[str, Any]]:
        """Give the lines of faces as they stand now, after what was said."""
        from indexer.answers import album_groups, face_lines
        from indexer.archive import read_people

        now = replace(self.archive, people=read_people(self.archive.album))
        return list(face_lines(now, album_groups(now), rows))


def lay_out(album: Path) -> Desk:
    """Read an album for saying something about its faces."""
    from indexer.album import open_album
    from indexer.answers import album_groups
    from indexer.archive import read_archive
    from indexer.face_names import FaceNames

    archive = read_archive(open_album(album))
    return Desk(archive, album_groups(archive), FaceNames(archive))
