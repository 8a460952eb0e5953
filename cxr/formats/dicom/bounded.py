"""DICOM files read within bounds: a small one can be made of so many pieces that pydicom fills the memory with them."""

import os
import zlib
from io import BytesIO
from typing import IO, Any

from cxr.formats.decode import MAX_PIXELS

MOST_BYTES = 1 << 29
"""Of a file: the largest image allowed takes 400 MB uncompressed, in the widest words."""
MOST_PIECES = 120_000
"""Reads of a data set, three or so an element: radiographs have some hundred elements."""
MOST_NESTED = 1 << 20
"""Bytes of sequences that pydicom understands only when they are looked at; a look-up table takes up to 128 KB."""

_INFLATED = 2 * MAX_PIXELS + (1 << 26)


def bounded(file: IO[bytes], **options: Any) -> Any:
    """Return the data set in `file` as `pydicom.dcmread` with `options` does, with preamble or without.

    Raises ValueError when it is larger, or in more pieces, than a radiograph: pydicom makes objects of some 2 KB from 8
    bytes, and inflates a deflated data set (PS3.5, A.5) to a thousand times its size.
    """
    from pydicom import dcmread  # noqa: PLC0415 - who only asks whether a file is DICOM needs none of it

    within: Any = _Bounded(file)
    data = dcmread(within, force=True, **options)
    if _unread(data) > MOST_NESTED:
        raise ValueError(f"more than {MOST_NESTED:,} bytes of sequences")
    return data


class _Bounded:
    """A binary `file` that raises ValueError when it is too large, or read in too many pieces.

    Only what is deflated does pydicom read all at once: that is tried first.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._pieces = file, 0
        self.seek, self.tell, self.name = file.seek, file.tell, getattr(file, "name", None)
        place = file.tell()
        if file.seek(0, os.SEEK_END) > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES:,} bytes")
        file.seek(place)

    def read(self, size: int | None = -1) -> bytes:
        """Return the next `size` bytes, or all that are left."""
        self._pieces += 1
        if self._pieces > MOST_PIECES:
            raise ValueError("made of more elements than any radiograph")
        content = self._file.read(-1 if size is None else size)
        if size is None or size < 0:
            _try_inflated(content)
        return content


def _try_inflated(content: bytes) -> None:
    """Raise ValueError when the deflated data set `content` is out of bounds."""
    from pydicom.filereader import read_dataset  # noqa: PLC0415

    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(content, _INFLATED)
    if inflater.unconsumed_tail:
        raise ValueError(f"inflates to more than {_INFLATED:,} bytes")
    within: Any = _Bounded(BytesIO(data))
    read_dataset(within, is_implicit_VR=False, is_little_endian=True)


def _unread(data: Any) -> int:
    """Return how many bytes of sequences in the data set `data` pydicom has left to be understood when they are looked at."""
    found = 0
    for tag in data.keys():  # noqa: SIM118 - to go through the values would be to understand them
        element = data.get_item(tag)
        if getattr(element, "is_raw", False):
            found += len(element.value or b"") if _is_sequence(data, element) else 0
        elif element.VR == "SQ":
            found += sum(map(_unread, element.value))
    return found


def _is_sequence(data: Any, element: Any) -> bool:
    """Tell whether pydicom would take the raw `element` of `data` for a sequence: where no VR says so, dictionaries do."""
    from pydicom.datadict import dictionary_VR, private_dictionary_VR  # noqa: PLC0415
    from pydicom.tag import Tag  # noqa: PLC0415

    from cxr.formats.dicom.text import as_ascii  # noqa: PLC0415

    if element.VR not in {None, "UN"}:
        return bool(element.VR == "SQ")
    try:
        if not element.tag.is_private:
            return dictionary_VR(element.tag) == "SQ"
        creator = as_ascii(data, Tag(element.tag.group << 16 | element.tag.element >> 8))
        return private_dictionary_VR(element.tag, creator) == "SQ"
    except KeyError:
        return False
