"""The size that compressed pixels say they have, read before a decoder sees them: a header may claim little."""

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import (
    HTJ2K,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

JPEG = (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes)
JPEG_2000 = (*JPEG2000TransferSyntaxes, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)

FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""JPEG's markers that begin a frame header (ISO/IEC 10918-1, table B.1), and that of JPEG-LS (ISO/IEC 14495-1, C.1.1)."""
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD9)}
SCAN, TABLES, _END, _FILL = 0xDA, 0xDB, 0xD9, 0xFF
_ZIGZAG = sorted(range(64), key=lambda each: (sum(divmod(each, 8)), divmod(each, 8)[1 - sum(divmod(each, 8)) % 2]))
"""Of 8x8 cosines by rows, which come after each other (ISO/IEC 10918-1, figure A.6)."""
_SIZ = b"\xff\x4f\xff\x51"  # the markers that begin a JPEG 2000 codestream (ISO/IEC 15444-1, A.4.1 and A.5.1)
MOST_SEGMENTS = 100_000
"""Of markers, boxes and filling before the pixels, and of bytes in RLE that mean nothing: files have some ten."""
BYTES_PER_PIXEL, BYTES_BESIDE = 8, 1 << 24
"""The most that compressed pixels take: of 32 bits in RLE, twice as many as uncompressed; and what may stand beside them."""
_SLACK = 2  # bytes that a padding of a segment of RLE to an even length can look like


class Size(NamedTuple):
    """What a codestream says of its image."""

    rows: int
    columns: int
    components: int
    precision: int
    """Bits of a sample."""


def refuse_other_sizes(data: Dataset) -> None:
    """Raise ValueError unless the compressed image of `data` is of the Rows and Columns that are given, and of one component.

    Its own size comes from JPEG's and JPEG-LS's frame header, JPEG 2000's SIZ marker, or the lengths of RLE's segments
    (PS3.5, annex G). Other syntaxes are left to who decodes, who knows none of them.
    """
    syntax, claimed = data.file_meta.TransferSyntaxUID, (int(data.Rows), int(data.Columns), int(data.SamplesPerPixel))
    if len(data.PixelData) > BYTES_PER_PIXEL * claimed[0] * claimed[1] + BYTES_BESIDE:
        most = f"more than {claimed[0]:,} x {claimed[1]:,} can need"
        raise ValueError(f"{len(data.PixelData):,} bytes of compressed pixels, {most}")
    frame = get_frame(data.PixelData, 0, number_of_frames=1)
    if syntax == RLELossless:
        _refuse_other_lengths(frame, claimed[0] * claimed[1], int(data.BitsAllocated) // 8 * claimed[2])
        return
    if syntax not in {*JPEG, *JPEG_2000}:
        return
    try:
        found = jpeg(frame) if syntax in JPEG else _jpeg_2000(frame)
    except (ValueError, IndexError, struct.error, ZeroDivisionError):
        raise ValueError("compressed pixels that do not say how large they are") from None
    if found[:3] != (*claimed[:2], 1) or claimed[2] != 1:
        raise ValueError(
            f"compressed pixels of {found.rows:,} x {found.columns:,} x {found.components}, "
            f"where the header says {claimed[0]:,} x {claimed[1]:,} x {claimed[2]}"
        )


def jpeg(frame: bytes) -> Size:
    """Return what the frame header of a JPEG or JPEG-LS stream says (ISO/IEC 10918-1, B.2.2).

    Raises ValueError, IndexError or struct.error when there is none.
    """
    for marker, place in jpeg_markers(frame):
        if marker in FRAMES:
            precision, rows, columns, components = struct.unpack_from(">BHHB", frame, place + 2)
            return Size(rows, columns, components, precision)
    raise ValueError("no frame header")


def jpeg_steps(frame: bytes) -> tuple[int, ...]:
    """Return by which an 8-bit JPEG divided the cosines of its first component: 64, row by row; () where it tells none.

    ISO/IEC 10918-1, B.2.4.1, whose tables go in zigzag. Raises ValueError, IndexError or struct.error for no such stream.
    """
    tables: dict[int, tuple[int, ...]] = {}
    for marker, place in jpeg_markers(frame):
        if marker == TABLES:
            (length,) = struct.unpack_from(">H", frame, place)
            at, end = place + 2, place + length
            while at < end:
                wide, number = divmod(frame[at], 16)
                tables[number] = struct.unpack_from(">64H" if wide else ">64B", frame, at + 1)
                at += 1 + 64 * (1 + wide)
        elif marker in FRAMES:
            precision, chosen = frame[place + 2], frame[place + 10]
            found = tables.get(chosen, ()) if precision == 8 else ()
            return tuple(found[_ZIGZAG.index(each)] for each in range(64)) if found else ()
    return ()


def jpeg_markers(frame: bytes) -> Iterator[tuple[int, int]]:
    """Yield the markers of a JPEG or JPEG-LS stream up to that of its first scan, and the places behind them.

    Raises ValueError, IndexError or struct.error when there is none, or when more stands before it than in any file.
    """
    place = frame.index(b"\xff\xd8") + 2
    for _ in range(MOST_SEGMENTS):
        place = frame.index(b"\xff", place) + 1  # decoders skip what lies between
        marker = frame[place]
        if marker == _FILL:
            continue
        place += 1
        yield marker, place
        if marker == SCAN:
            return
        if marker == _END:
            break
        if marker not in _WITHOUT_LENGTH:
            place += struct.unpack_from(">H", frame, place)[0]
    raise ValueError("no scan")


def _jpeg_2000(frame: bytes) -> Size:
    place = jpeg_2000_begins(frame)
    if frame[place : place + 4] != _SIZ:
        raise ValueError
    right, bottom, left, top, _, _, _, _, components = struct.unpack_from(">8LH", frame, place + 8)
    depth, across, down = struct.unpack_from(">3B", frame, place + 42)  # of the first component
    rows, columns = (-(-end // step) + -begin // step for end, begin, step in ((bottom, top, down), (right, left, across)))
    return Size(rows, columns, components, (depth & 0x7F) + 1)


def jpeg_2000_begins(frame: bytes) -> int:
    """Return where the codestream begins in `frame`. Raises ValueError or struct.error when there is none."""
    return 0 if frame.startswith(_SIZ) else _contiguous(frame)


def _contiguous(frame: bytes) -> int:
    """Return where the codestream begins in a JP2 file (ISO/IEC 15444-1, annex I), which some writers put in a frame."""
    place = 0
    for _ in range(MOST_SEGMENTS):
        length, name = struct.unpack_from(">L4s", frame, place)
        head = 8
        if length == 1:
            (length,), head = struct.unpack_from(">Q", frame, place + 8), 16
        if name == b"jp2c":
            return place + head
        if length < head:
            raise ValueError
        place += length
    raise ValueError


def _refuse_other_lengths(frame: bytes, pixels: int, segments: int) -> None:
    """Raise ValueError unless `frame`, of RLE, has so many `segments`, and each a byte for every one of the `pixels`."""
    count, *offsets = struct.unpack_from("<16L", frame.ljust(64, b"\0"))
    if count != segments:
        raise ValueError(f"compressed pixels of {count:,} segments, where the header says {segments:,}")
    for begin, end in pairwise([*offsets[:count], len(frame)]):
        length = _unpacked(frame[begin:end], pixels + _SLACK)
        if not pixels <= length <= pixels + _SLACK:
            more = "more than " if length > pixels else ""
            raise ValueError(f"compressed pixels of {more}{min(length, pixels):,}, where the header says {pixels:,}")


def _unpacked(segment: bytes, most: int) -> int:
    """Return how many bytes a `segment` of RLE becomes (PS3.5, G.3.2), or more than `most` when it is more.

    Raises ValueError when it holds so many bytes that mean nothing that no encoder has written it.
    """
    place = length = nothing = 0
    end = len(segment)
    while place < end and length <= most:
        run = segment[place]
        if run < 128:
            place += run + 2
            length += run + 1
        elif run > 128:
            place += 2
            length += 257 - run
        else:
            place += 1
            nothing += 1
            if nothing > MOST_SEGMENTS:
                raise ValueError("compressed pixels between which too many bytes mean nothing")
    return length
