"""Reading zips and other large files, with progress."""

import hashlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

# What zipfile and the decompressors behind it raise for bytes that are not what the zip's directory says.
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,  # among others for a compression method that Python does not know
    ValueError,
    OSError,
)

_CHUNK = 1 << 20  # bytes


def message_of(error: BaseException) -> str:
    """Return what `error` says on one line, or its kind when it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def chunks(file: IO[bytes], bar: Any) -> Iterator[bytes]:
    """Yield the rest of `file` piece by piece, and move `bar` on."""
    while chunk := file.read(_CHUNK):
        bar.update(len(chunk))
        yield chunk


def bytes_bar(what: str, total: int | None, done: int = 0) -> Any:
    """Return a progress bar in bytes; it is silent where the output is no terminal."""
    return tqdm(desc=what, total=total, initial=done, unit="B", unit_scale=True, unit_divisor=1024, disable=None)


def sha256(path: Path) -> str:
    """Return the SHA-256 of the file `path`, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file, bytes_bar("hashing", path.stat().st_size) as bar:
        for chunk in chunks(file, bar):
            digest.update(chunk)
    return digest.hexdigest()
