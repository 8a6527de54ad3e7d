"""The album: the one folder in which everything lies that visavis knows about an archive."""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from embedder.detection import Detection
from embedder.model_records import keep_copy, network_in, network_record
from embedder.pretrained import FaceNetwork
from indexer.seals import SEALED, SUFFIX, seal_bytes, seal_path

FORMAT = 3
"""Format 1 knows no network from a file and no generation but the first, format 2 one way to look for faces. An album
is written in the least that can say what it holds."""
_FIRST_GENERATION = "shards"


class AlbumError(Exception):
    """An album that is not there, damaged, busy, or made with another model."""


@dataclass(frozen=True)
class Album:
    """An album's folder and what ``album.json`` says.

    Attributes:
        root: the folder.
        model: name of the network its faces were embedded with.
        fingerprint: of the whole model, see ``embedder.model.ModelSpec.fingerprint``.
        created: when, ISO 8601, UTC.
        made_with: version of visavis that made it.
        network: the network, in the album's own copy, if it came in a file and not from the table of models.
        generation: name of the folder with the shards of this model.
        detection: how its faces are looked for.
    """

    root: Path
    model: str
    fingerprint: str
    created: str
    made_with: str
    network: FaceNetwork | None = None
    generation: str = _FIRST_GENERATION
    detection: Detection = field(default_factory=Detection)

    @property
    def shards(self) -> Path:
        """The folder of the shards of the current generation."""
        return self.root / self.generation

    @property
    def models(self) -> Path:
        """The folder of the networks that came in files."""
        return self.root / "models"

    @property
    def index(self) -> Path:
        """The folder of all that is derived: it may be deleted at any time."""
        return self.root / "index"

    @property
    def damaged(self) -> Path:
        """The folder of shards that were set aside; nothing reads them."""
        return self.root / "damaged"

    @property
    def people(self) -> Path:
        """What humans said."""
        return self.root / "people.sqlite"


def default_album() -> Path:
    """Give the album used when none is named: ``$VISAVIS_ALBUM``, else one in the user's data folder."""
    if chosen := os.environ.get("VISAVIS_ALBUM"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "visavis" / "album"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "visavis" / "album"
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else Path.home() / ".local" / "share") / "visavis" / "album"


def open_album(root: Path) -> Album:
    """Open an album that is there.

    Raises:
        AlbumError: if there is none, it is damaged, or of a newer format.
    """
    path = root / "album.json"
    if not path.is_file():
        raise AlbumError(f"{root} is no album: make one with `visavis index --album {root} PHOTOS`")
    try:
        about = json.loads(path.read_text())
        if about["format"] not in range(1, FORMAT + 1):
            raise AlbumError(f"{root} has format {about['format']}, this version knows {FORMAT}: update visavis")
        return _album(root, about)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AlbumError(f"{path} is damaged ({error}): restore it from a backup, or index into a new album") from error


def _album(root: Path, about: dict[str, Any]) -> Album:
    generation, record = about.get("shards", _FIRST_GENERATION), about.get("network")
    if not isinstance(generation, str) or not generation.startswith(_FIRST_GENERATION) or "/" in generation:
        raise ValueError(f"{generation!r} is no folder of shards")
    album = Album(root, about["model"], about["fingerprint"], about["created"], about["made_with"])
    network = None if record is None else network_in(album.models, record)
    return replace(album, network=network, generation=generation, detection=Detection(**about.get("detection", {})))


def write_album(album: Album) -> None:
    """Write ``album.json``: from then on the album is this one."""
    about: dict[str, Any] = {k: getattr(album, k) for k in ("model", "fingerprint", "created", "made_with")}
    if album.network is not None:
        about["network"] = network_record(album.network)
    if album.generation != _FIRST_GENERATION:
        about["shards"] = album.generation
    least = 1 if len(about) == 4 else 2
    if album.detection != Detection():
        least, about["detection"] = FORMAT, asdict(album.detection)
    about = {"format": least, **about}
    write_whole(album.root / "album.json", (json.dumps(about, indent=1) + "\n").encode())


def open_or_create(
    root: Path,
    model: str,
    fingerprint: str,
    network: FaceNetwork | None = None,
    detection: Detection | None = None,
) -> Album:
    """Open the album at ``root`` for one model, or make it.

    Args:
        network: of the model, if it came in a file: a new album keeps a copy.
        detection: of the model, if it is not the default.
    Raises:
        AlbumError: if the album there holds embeddings of another model, or the folder is not empty.
    """
    if (root / "album.json").exists():
        album = open_album(root)
        require_model(album, model, fingerprint)
        return album
    if root.is_dir() and not _is_unfinished(root):
        raise AlbumError(f"{root} is no album and is not empty: choose another folder with --album")
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    root.chmod(0o700)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    album = Album(root, model, fingerprint, created, version("visavis"), detection=detection or Detection())
    album.shards.mkdir(mode=0o700, exist_ok=True)
    if network is not None:
        album = replace(album, network=keep_copy(network, album.models))
    write_album(album)
    return album


def _is_unfinished(root: Path) -> bool:
    """Whether a folder holds nothing, or what a run left that was killed while it made the album."""
    for entry in root.iterdir():
        known = entry.name in (".lock", "models", f"album.json{SUFFIX}") or entry.name.startswith(".tmp-")
        if not known and not (entry.name == _FIRST_GENERATION and entry.is_dir() and not any(entry.iterdir())):
            return False
    return True


def require_model(album: Album, model: str, fingerprint: str) -> None:
    """Refuse a model that is not the album's.

    Raises:
        AlbumError: says which album holds which model.
    """
    if album.fingerprint != fingerprint:
        raise AlbumError(
            f"{album.root} holds embeddings of model {album.model} ({album.fingerprint}), not of {model} "
            f"({fingerprint}). Embeddings of two models cannot be compared: choose another --album, or no --model. "
            "`visavis index --model` embeds an album anew with another model; names stay"
        )


def require_detection(album: Album, detection: Detection) -> None:
    """Refuse to look for faces otherwise than in the rest of the album.

    Raises:
        AlbumError: says how the album's faces are looked for.
    """
    if detection != album.detection:
        raise AlbumError(
            f"{album.root} was made with {album.detection}, not {detection}: add --fresh to look for the faces of all "
            "its photos again, or choose another --album"
        )


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file so that a kill at any moment leaves the old one or the new one, private to the user.

    One of the names in ``indexer.seals`` gets its checksum beside it.

    Raises:
        OSError: if the disk is full or the folder cannot be written; the old file is still there then.
    """
    if path.name in SEALED:
        _replace(seal_path(path), seal_bytes(path, content))
    _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    making = path.with_name(f".tmp-{os.getpid()}-{threading.get_ident()}-{path.name}")
    try:
        with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        making.replace(path)
    finally:
        making.unlink(missing_ok=True)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Let a rename in a folder outlast a power cut."""
    if sys.platform != "win32":  # where folders cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
