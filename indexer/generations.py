"""The generations of an album: its faces as one model sees them, and the same faces as the next one does.

    album.json          names the model, and the folder of its shards
    shards/             the first generation
    shards-2/           the next; the current one is that which album.json names
    making.json         which generation is being made, while it is not whole

A generation is made beside the current one, which stays what answers rest on until album.json is replaced in one step.
So a kill at any moment leaves an album that works, and the same command goes on. Former generations stay until
`visavis compact`: going back to their model costs only what came since.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from embedder.model import ModelSpec
from embedder.model_records import keep_copy
from embedder.shards import list_shards, read_manifest
from indexer.album import Album, AlbumError, write_album, write_whole
from indexer.removal import forget_derived

_MAKING = "making.json"


@dataclass(frozen=True)
class Making:
    """What ``making.json`` says: the folder of a generation that is not whole, its model, how it is made.

    Attributes:
        generation: name of the folder.
        fingerprint: of the model.
        fresh: whether photos are looked through again, or known faces embedded again.
    """

    generation: str
    fingerprint: str
    fresh: bool


def begin_generation(album: Album, spec: ModelSpec, *, fresh: bool) -> Album:
    """Choose where the album's generation of another model is made: where it was begun, or was current once.

    The caller holds the album's lock. What was begun for another model is deleted.

    Args:
        spec: the model; that of the album only if ``fresh``.
        fresh: photos are looked through again.
    Returns:
        The album as it will be. On the disk it is what it was.
    """
    wanted = read_making(album)
    if wanted is not None and (wanted.fingerprint, wanted.fresh) != (spec.fingerprint(), fresh):
        _delete(album.root / wanted.generation)
        wanted = None
    former = None if fresh else _generation_of(album, spec.fingerprint())
    if wanted is None:
        wanted = Making(former or _next_name(album), spec.fingerprint(), fresh)
        write_whole(album.root / _MAKING, (json.dumps(asdict(wanted)) + "\n").encode())
    network = None if spec.network.weights.path is None else keep_copy(spec.network, album.models)
    made = replace(
        album,
        model=spec.name,
        fingerprint=spec.fingerprint(),
        network=network,
        generation=wanted.generation,
        detection=spec.detection,
    )
    made.shards.mkdir(mode=0o700, exist_ok=True)
    return made


def make_current(album: Album) -> None:
    """Let a generation that is whole be the album, from one moment to the next. The caller holds the lock.

    What was derived of the former one is deleted, but for the groups: they name faces, not embeddings.
    """
    write_album(album)
    forget_derived(album)


def end_making(album: Album) -> None:
    """Note that the current generation is done, names and all."""
    (album.root / _MAKING).unlink(missing_ok=True)


def names_wait(album: Album) -> bool:
    """Whether the current generation was looked for anew, and what was said was not carried over yet."""
    making = _read_making(album)
    return making is not None and making.fresh and making.generation == album.generation


def read_making(album: Album) -> Making | None:
    """Give the generation that is being made, if there is one that is not the current one; raises ``AlbumError``."""
    making = _read_making(album)
    return None if making is None or making.generation == album.generation else making


def _read_making(album: Album) -> Making | None:
    path = album.root / _MAKING
    if not path.exists():
        return None
    try:
        making = Making(**json.loads(path.read_text()))
        known = making.generation == "shards" or making.generation.startswith("shards-")
        if not known or "/" in making.generation:
            raise ValueError(f"{making.generation!r} is no folder of shards")
    except (ValueError, TypeError, AttributeError) as error:
        raise AlbumError(f"{path} is damaged ({error}): delete it") from error
    return making


def other_generations(album: Album) -> list[Path]:
    """Give the folders of generations that are not current: former ones, and one that is being made."""
    folders = [path for path in album.root.iterdir() if path.is_dir() and _number(path.name) is not None]
    return sorted(path for path in folders if path.name != album.generation)


def drop_generations(album: Album) -> list[Path]:
    """Delete all generations but the current one, and networks that it does not use. The caller holds the lock.

    Returns:
        the folders that are gone.
    """
    gone = other_generations(album)
    if read_making(album) is not None:
        end_making(album)
    for folder in gone:
        _delete(folder)
    for left in album.root.glob(".tmp-shards*"):
        shutil.rmtree(left)
    used = None if album.network is None else album.network.weights.file_name
    for path in album.models.iterdir() if album.models.is_dir() else ():
        if path.name != used:
            path.unlink()
    return gone


def _generation_of(album: Album, fingerprint: str) -> str | None:
    """Find a former generation by its model."""
    for folder in other_generations(album):
        shards = list_shards(folder)
        if shards and read_manifest(shards[0]).fingerprint == fingerprint:
            return folder.name
    return None


def _next_name(album: Album) -> str:
    numbers = [_number(path.name) for path in album.root.iterdir()]
    return f"shards-{max(number for number in numbers if number is not None) + 1}"


def _number(name: str) -> int | None:
    if name == "shards":
        return 1
    number = name.removeprefix("shards-")
    return int(number) if number != name and number.isdecimal() else None


def _delete(folder: Path) -> None:
    """Delete a folder of shards so that a kill leaves nothing that looks like a whole one."""
    if folder.is_dir():
        leaving = folder.with_name(f".tmp-{folder.name}")
        shutil.rmtree(leaving, ignore_errors=True)
        folder.rename(leaving)
        shutil.rmtree(leaving)
