"""Naming the faces of photo files: from the album where it holds the photo, else with the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.embedding import load_model

if TYPE_CHECKING:
    import numpy as np

    from embedder.decode_pool import DecodePool
    from embedder.model import FaceModel
    from indexer.named_faces import Line
    from indexer.naming.identify import IdentifySettings
    from indexer.naming.recognition import Recogniser

_TOGETHER = 16  # photos that are read before the first of them is answered


@dataclass(frozen=True)
class NamedPhoto:
    """A photo file with its answers.

    Attributes:
        path: as it was asked for.
        lines: one for each face, from left to right; see ``indexer.named_faces``.
        numbers: the place of each from the left; those that a human said to ignore have one too, but no line.
        problem: why it could not be read, or None.
    """

    path: Path
    lines: Sequence[Line] = ()
    numbers: Sequence[int] = ()
    problem: str | None = None


class PhotoNamer:
    """Names photo files. The model is loaded when the first photo comes that the album does not hold."""

    def __init__(self, recogniser: Recogniser, settings: IdentifySettings, groups: np.ndarray, device: str) -> None:
        self._recogniser, self._settings, self._groups = recogniser, settings, groups
        self._device = device

    def name(self, paths: Sequence[Path]) -> Iterator[NamedPhoto]:
        """Name the faces of files, in their order."""
        from embedder.decode_pool import DecodePool

        with DecodePool(1) as decoders:  # a process is started for the first photo that the album does not hold
            for start in range(0, len(paths), _TOGETHER):
                contents = [_read(path) for path in paths[start : start + _TOGETHER]]
                known = self._known(contents)
                for path, content in zip(paths[start:], contents, strict=False):
                    if isinstance(content, str):
                        yield NamedPhoto(path, problem=content)
                    elif (found := known.get(_photo_id(content))) is not None:
                        lines, numbers = found
                        yield NamedPhoto(path, [line | {"photo": str(path)} for line in lines], numbers)
                    else:
                        yield self._new(path, content, decoders)

    def _known(self, contents: Sequence[bytes | str]) -> dict[str, tuple[list[Line], list[int]]]:
        """Name the faces of those photos that the album holds: photo_id → (lines, place of each from the left)."""
        import numpy as np

        from indexer.named_faces import AlbumFaces, from_left, name_album_faces

        archive = self._recogniser.archive
        rows_of = {}
        for name in archive.held_among([_photo_id(content) for content in contents if isinstance(content, bytes)]):
            rows = from_left(archive, archive.rows_of_photo(name))
            if len(rows) or self._shows_nobody(name):
                rows_of[name] = rows
        if not rows_of:
            return {}
        numbers = {name: np.flatnonzero(~archive.ignored[rows]) for name, rows in rows_of.items()}
        shown = np.concatenate([rows[numbers[name]] for name, rows in rows_of.items()])
        lines = iter(name_album_faces(AlbumFaces.of(self._recogniser, shown, self._groups), self._settings))
        return {name: ([next(lines) for _ in places], (places + 1).tolist()) for name, places in numbers.items()}

    def _shows_nobody(self, photo_id: str) -> bool:
        """Whether the album knows that a photo shows no face. It has no rows of one that was removed either."""
        content = self._recogniser.archive.catalogue.embedded.get(photo_id)
        return content is not None and content.n_faces == 0

    def _new(self, path: Path, content: bytes, decoders: DecodePool) -> NamedPhoto:
        from embedder.decode import DecodeError
        from indexer.named_faces import name_new_faces

        try:
            pixels = decoders.decode(content).pixels
        except DecodeError as error:
            return NamedPhoto(path, problem=str(error))
        lines = name_new_faces(self._recogniser, str(path), self._model.find([pixels])[0], self._settings)
        return NamedPhoto(path, lines, range(1, len(lines) + 1))

    @cached_property
    def _model(self) -> FaceModel:
        return load_model(self._recogniser.archive.album, self._device)


def files_below(asked: Sequence[Path]) -> list[Path]:
    """Put the photos of each folder in its place. Names of files stay as they are, also of those not there."""
    from embedder.scan import scan

    files: list[Path] = []
    for path in asked:
        files += [file.path for file in scan([path])] if path.is_dir() else [path]
    if not files:
        raise click.ClickException(f"no photo in {', '.join(str(path) for path in asked)}: nothing to do")
    return files


def _read(path: Path) -> bytes | str:
    """Give a file's content, or why it cannot be read."""
    from embedder.scan import UnusableFile, read_photo

    try:
        return read_photo(path)
    except OSError as error:
        return str(error.strerror)
    except UnusableFile as error:
        return str(error)


def _photo_id(content: bytes) -> str:
    from embedder.rows import photo_id

    return photo_id(content)
