"""Many files of an archive in little memory: 32 bytes and its name for each, a tenth of what an object takes."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

from embedder.scan import PhotoFile


class FileList:
    """Files in the order in which they were added; to be gone through from the start."""

    def __init__(self, files: Iterable[PhotoFile] = ()) -> None:
        self._folders: dict[str, int] = {}
        self._of_folder = array("q")
        self._sizes, self._times = array("q"), array("q")
        self._names = bytearray()  # each ends in a zero byte, which no name holds
        self._problems: dict[int, str] = {}
        for file in files:
            self.add(file)

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, file: PhotoFile) -> None:
        """Put a file at the end."""
        if file.problem is not None:
            self._problems[len(self)] = file.problem
        self._of_folder.append(self._folders.setdefault(str(file.path.parent), len(self._folders)))
        self._sizes.append(file.size)
        self._times.append(file.mtime_ns)
        self._names += os.fsencode(file.path.name) + b"\0"

    def __iter__(self) -> Iterator[PhotoFile]:
        folders = [Path(folder) for folder in self._folders]
        start = 0
        for number, (folder, size, mtime_ns) in enumerate(zip(self._of_folder, self._sizes, self._times, strict=True)):
            end = self._names.index(0, start)
            name = os.fsdecode(bytes(self._names[start:end]))
            start = end + 1
            yield PhotoFile(folders[folder] / name, size, mtime_ns, self._problems.get(number))
