"""An image file of which no more is read than radiographs have: Pillow reads pieces in Python, however many there are."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PIECES = 100_000
"""Pieces that are read at most, of some 20 microseconds each. A PNG of 270 MB in chunks of 8 KB has as many."""
STRIPS = 100_000
"""Strips or tiles at most of a TIFF."""

_SCAN = b"\xff\xda"  # JPEG's marker of one; no pixels hold it (ITU-T T.81, B.1.1.2)
_OFFSETS = 273, 324  # TIFF's tags StripOffsets and TileOffsets
_VERSIONS = {42: ("I", 4, "H", "HHI4x"), 43: ("Q", 8, "Q", "HHQ8x")}  # TIFF, BigTIFF: place, where, number and kind of entries


class Metered(io.BufferedReader):
    """The file `path`, open for reading; `read` raises ValueError from the piece on that comes after PIECES.

    Raises ValueError for a TIFF of whose first two pages, no further being looked at, one has more than STRIPS; OSError when
    the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._left = PIECES
        if max(_strips(self), default=0) > STRIPS:
            self.close()
            raise ValueError(f"a TIFF of more than {STRIPS:,} strips")
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, or all, as any file does."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {PIECES:,} pieces")
        return super().read(size)


def scans(file: IO[bytes]) -> int:
    """Return how many scans the JPEG `file` has: a few bytes claim one, which takes as long to decode as all pixels."""
    file.seek(0)
    return sum(block.count(_SCAN) for block in iter(lambda: file.read(1 << 20), b""))  # few lie across two blocks


def _strips(file: io.BufferedReader) -> Iterator[int]:
    """Yield how many strips or tiles each of the first two directories of the TIFF `file` says that it has."""
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        return
    version, *_ = struct.unpack_from(f"{order}H", head, 2)
    if version not in _VERSIONS:
        return
    place, where, number, entry = _VERSIONS[version]
    follows, counts, size = (struct.Struct(order + each) for each in (place, number, entry))
    found = head[where:]
    for _ in range(2):
        if len(found) < follows.size:
            return
        (directory,) = follows.unpack_from(found)
        if not 0 < directory < 1 << 63:
            return
        file.seek(directory)
        counter = file.read(counts.size)
        if len(counter) < counts.size:
            return
        entries = min(counts.unpack(counter)[0], 1 << 16)
        listed = file.read(entries * size.size)
        listed = listed[: len(listed) // size.size * size.size]
        yield max((count for tag, _, count in size.iter_unpack(listed) if tag in _OFFSETS), default=0)
        found = file.read(follows.size)
