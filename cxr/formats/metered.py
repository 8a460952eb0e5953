"""An image file of which no more is read than radiographs have: Pillow reads pieces in Python, however many there are."""

import io
import struct
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

    Raises ValueError for a TIFF whose first directory has more than STRIPS; OSError when the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._left = PIECES
        if _strips(self) > STRIPS:
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


def _strips(file: io.BufferedReader) -> int:
    """Return how many strips or tiles the first directory of the TIFF `file` says that it has; 0 of another file."""
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        return 0
    version, *_ = struct.unpack_from(f"{order}H", head, 2)
    if version not in _VERSIONS:
        return 0
    place, where, number, entry = _VERSIONS[version]
    (directory,) = struct.unpack_from(order + place, head, where)
    if directory >= 1 << 63:
        return 0
    file.seek(directory)
    counter, size = file.read(struct.calcsize(order + number)), struct.calcsize(order + entry)
    if len(counter) < struct.calcsize(order + number):
        return 0
    entries = file.read(min(*struct.unpack(order + number, counter), 1 << 16) * size)
    found = struct.iter_unpack(order + entry, entries[: len(entries) // size * size])
    return max((count for tag, _, count in found if tag in _OFFSETS), default=0)
