"""Contact sheets of faces, cut out of the photos where they lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.commands.options import say

if TYPE_CHECKING:
    from indexer.sheet import Tile


def draw_sheet(title: str, faces: Iterable[tuple[Path, Sequence[int], str]], target: Path) -> int:
    """Write a contact sheet as JPEG; a photo that cannot be read is said and left out.

    Args:
        faces: (photo, box [x, y, w, h] in pixels of the upright photo, caption).
    Returns:
        how many faces are on it.
    """
    from indexer.sheet import contact_sheet, encode_jpeg

    tiles = cut_tiles(faces)
    target.write_bytes(encode_jpeg(contact_sheet(title, tiles)))
    return len(tiles)


def cut_tiles(faces: Iterable[tuple[Path, Sequence[int], str]]) -> list[Tile]:
    """Cut faces, given as for ``draw_sheet``, out of their photos."""
    from embedder.decode import DecodeError, decode
    from indexer.sheet import Tile, cut_face

    tiles = []
    for path, box, caption in faces:
        try:
            photo = decode(path.read_bytes())
        except (OSError, DecodeError) as error:
            say(f"  left out: {path}: {error.strerror if isinstance(error, OSError) else error}")
            continue
        tiles.append(Tile(cut_face(photo.pixels, box), caption))
    return tiles
