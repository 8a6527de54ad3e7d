"""Paths of photo files as the album writes them: text, also where a name is not UTF-8."""

from __future__ import annotations

import os
import re
from pathlib import Path


def path_text(path: Path) -> str:
    r"""Write a path as text; bytes that are not UTF-8 become ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def file_path(text: str) -> Path:
    r"""Give the path of a file from how the album writes it; ``\xNN`` may be a byte, or be meant as it stands."""
    plain = Path(text)
    if "\\x" not in text or os.path.lexists(plain):
        return plain
    pieces = re.split(rb"\\x([89a-f][0-9a-f])", os.fsencode(text))
    pieces[1::2] = [bytes([int(code, 16)]) for code in pieces[1::2]]
    return Path(os.fsdecode(b"".join(pieces)))


def is_missing(text: str) -> bool:
    """Whether no file has this path. One that cannot be asked for, as for want of permission, counts as there."""
    try:
        file_path(text).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def is_below(path: str, folder: str) -> bool:
    """Whether a path lies in a folder, at any depth."""
    return path.startswith(folder.rstrip(os.sep) + os.sep)
