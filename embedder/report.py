"""What a run over photo files did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from embedder.changes import Change


@dataclass
class EmbedReport:
    """What a run did, counted while it goes on.

    Attributes:
        seen: files that were looked at.
        unchanged: of these, known already by path, size and time.
        embedded: photos that went through the model.
        known_content: new or changed files whose content is known already (moved or copied).
        removed: new or changed files whose content was removed from the album by hand, and stays so.
        faces: faces found in this run.
        reasons: (path, why) of each file that cannot be read.
        changes: how many of the files that were embedded or whose content is known are what to the album.
        moved_from: the former paths of the moved ones.
        deleted: photos whose files are not there any more, nor anywhere else that was looked at. Whoever scans counts
            them.
    """

    seen: int = 0
    unchanged: int = 0
    embedded: int = 0
    known_content: int = 0
    removed: int = 0
    faces: int = 0
    reasons: list[tuple[str, str]] = field(default_factory=list)
    changes: Counter[Change] = field(default_factory=Counter)
    moved_from: set[str] = field(default_factory=set)
    deleted: int = 0

    @property
    def unreadable(self) -> int:
        """Files with a row that says why they cannot be read."""
        return len(self.reasons)

    @property
    def finished(self) -> int:
        """Files that have their row."""
        return self.embedded + self.known_content + self.removed + self.unreadable
