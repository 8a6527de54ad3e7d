"""Checksums beside those files of an album that have no room for one of their own: groups.parquet.sha256.

A seal is written before its file, and lists the file's new checksum and its former one: a kill between the two
leaves a file that its seal knows. The last line is the checksum of the lines before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".sha256"
SEALED = frozenset(("album.json", "groups.parquet", "links.parquet", "neighbours.npz", "regrouped.json"))
"""Names of the files that get a seal. All others hold their checksum, or stand in a manifest that does."""


def seal_path(path: Path) -> Path:
    """Where the seal of a file lies."""
    return path.with_name(path.name + SUFFIX)


def seal_bytes(path: Path, content: bytes) -> bytes:
    """Give the seal under which ``path`` may hold ``content``, or what it holds now."""
    digests = [hashlib.sha256(content).hexdigest()]
    if path.exists():
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    lines = "".join(f"{digest}\n" for digest in digests).encode()
    return lines + hashlib.sha256(lines).hexdigest().encode() + b"\n"


def broken_seals(folder: Path) -> Iterator[Path]:
    """Yield the files in ``folder`` that are not what was written; one that is missing, or has no seal, is not one."""
    for name in sorted(SEALED):
        path = folder / name
        if path.exists() and seal_path(path).exists() and not _is_sealed(path):
            yield path


def _is_sealed(path: Path) -> bool:
    body = seal_path(path).read_bytes()
    *digests, own = body.removesuffix(b"\n").split(b"\n")
    lines = b"".join(digest + b"\n" for digest in digests)
    expected = hashlib.sha256(lines).hexdigest().encode()
    return (
        body == lines + expected + b"\n"
        and own == expected
        and hashlib.sha256(path.read_bytes()).hexdigest().encode() in digests
    )
