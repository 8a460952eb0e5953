"""Whether an image has lost something to compression, and by what (DICOM PS3.3, C.7.6.1.1.5)."""

import struct
from contextlib import suppress

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
)

from cxr.formats.dicom.compressed import codestream

MAYBE = JPEG2000, HTJ2K
"""Syntaxes that hold images with loss and without."""

METHODS = {
    **dict.fromkeys(JPEGTransferSyntaxes, "ISO_10918_1"),
    **dict.fromkeys(JPEGLSTransferSyntaxes, "ISO_14495_1"),
    **dict.fromkeys(JPEG2000TransferSyntaxes, "ISO_15444_1"),
    **dict.fromkeys((HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL), "ISO_15444_15"),
}
"""By syntax, the defined terms of Lossy Image Compression Method."""

_CODING, _TILE, _TRANSFORM, _REVERSIBLE = 0xFF52, 0xFF90, 11, b"\1"  # ISO/IEC 15444-1, A.2, A.4.2 and A.6.1
_LOSSLESS_FRAMES, _LS_FRAME = frozenset((0xC3, 0xC7, 0xCB, 0xCF)), 0xF7  # ISO/IEC 10918-1, table B.1; 14495-1, C.1.1


def say_lossy(data: Dataset, source: Dataset) -> None:
    """Let `data` say so when `source` was compressed with loss, now or ever before: what is lost stays lost.

    A loss that the source does not tell of is added to those that it does, with its method and ratio. Of JPEG 2000, which may
    have been cut short without its codestream saying so, a header that says nothing counts as with loss.
    """
    syntax = source.file_meta.TransferSyntaxUID
    if said_lossy(source):
        data.LossyImageCompression = "01"
    said_none = _listed(source, "LossyImageCompression") == ["00"]
    if not coded_with_loss(source) and (syntax not in MAYBE or said_none):
        return
    methods, ratios = _listed(source, "LossyImageCompressionMethod"), _listed(source, "LossyImageCompressionRatio")
    if len(methods) != len(ratios):  # which of them belongs to which cannot be told
        methods, ratios = [], []
    if methods[-1:] != [METHODS[syntax]]:
        pixels = source.Rows * source.Columns * int(source.BitsAllocated) // 8
        methods.append(METHODS[syntax])
        ratios.append(f"{pixels / max(1, len(_frame(source))):.4g}")
    data.LossyImageCompression = "01"
    data.LossyImageCompressionMethod, data.LossyImageCompressionRatio = methods, ratios


def said_lossy(data: Dataset) -> bool:
    """Tell whether Lossy Image Compression says that something was lost, which some writers say otherwise than by 01."""
    return any(value.upper() not in {"00", "0", "NO"} for value in _listed(data, "LossyImageCompression"))


def coded_with_loss(data: Dataset) -> bool:
    """Tell whether the codestream of `data` was coded with loss, whatever its transfer syntax promises.

    So by JPEG's cosine transform, a point transform, JPEG-LS's NEAR, or JPEG 2000's irreversible transformation;
    and what cannot be told counts as with loss.
    """
    syntax = data.file_meta.TransferSyntaxUID
    try:
        if syntax in codestream.JPEG:
            return _jpeg_loses(_frame(data))
        return syntax in codestream.JPEG_2000 and not _reversible(_frame(data))
    except (ValueError, IndexError, struct.error):
        return True


def loss(data: Dataset) -> tuple[npt.NDArray[np.int64] | None, bool]:
    """Return by which a JPEG of 8 bits in `data` divided its cosines (8, 8), and whether anything was lost, now or before."""
    table: npt.NDArray[np.int64] | None = None
    if data.file_meta.TransferSyntaxUID in JPEGTransferSyntaxes:
        with suppress(ValueError, IndexError, struct.error):
            if steps := codestream.jpeg_steps(_frame(data)):
                table = np.array(steps, np.int64).reshape(8, 8)
    return table, said_lossy(data) or coded_with_loss(data)


def _listed(data: Dataset, name: str) -> list[str]:
    value = data.get(name)
    values = value if isinstance(value, (list, MultiValue)) else [value]
    return [str(each).strip() for each in values if each not in {None, ""}]


def _frame(data: Dataset) -> bytes:
    frame: bytes = next(generate_frames(data.PixelData, number_of_frames=1))
    return frame


def _jpeg_loses(frame: bytes) -> bool:
    coding = 0
    for marker, place in codestream.jpeg_markers(frame):
        if marker in codestream.FRAMES:
            coding = marker
        elif marker == codestream.SCAN:  # ISO/IEC 10918-1, B.2.3, and 14495-1, C.1.2
            parameters = frame[place + 3 + 2 * frame[place + 2] :][:3]
            if coding == _LS_FRAME:
                return parameters[0] > 0
            return coding not in _LOSSLESS_FRAMES or parameters[2] & 0x0F > 0
    return True


def _reversible(frame: bytes) -> bool:
    """Tell whether the main header of a JPEG 2000 codestream names the reversible transformation."""
    place = codestream.jpeg_2000_begins(frame) + 2  # behind its first marker
    for _ in range(codestream.MOST_SEGMENTS):
        if place + 4 > len(frame):
            return False
        marker, length = struct.unpack_from(">HH", frame, place)
        if marker == _CODING:
            return frame[place + 2 + _TRANSFORM :][:1] == _REVERSIBLE
        if marker == _TILE:
            return False
        place += 2 + length
    return False
