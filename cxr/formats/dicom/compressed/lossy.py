"""Whether an image has lost something to compression, and by what (DICOM PS3.3, C.7.6.1.1.5)."""

import struct

from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
from pydicom.uid import HTJ2K, JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from cxr.formats.dicom.compressed import codestream
from cxr.formats.dicom.compressed.decoder import LOSSY

MAYBE = JPEG2000, HTJ2K
"""Syntaxes that hold images with loss and without."""

METHODS = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
    HTJ2K: "ISO_15444_15",
}
"""By syntax, the defined terms of Lossy Image Compression Method."""

_CODING, _TILE, _TRANSFORM, _REVERSIBLE = 0xFF52, 0xFF90, 11, 1  # ISO/IEC 15444-1, A.2, A.4.2 and A.6.1


def say_lossy(data: Dataset, source: Dataset) -> None:
    """Let `data` say so when `source` was compressed with loss, now or ever before: what is lost stays lost.

    A loss that the source does not tell of is added to those that it does, with its method and ratio.
    """
    syntax = source.file_meta.TransferSyntaxUID
    if syntax not in LOSSY and not (syntax in MAYBE and _may_lose(source)):
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


def _listed(data: Dataset, name: str) -> list[str]:
    value = data.get(name)
    values = value if isinstance(value, (list, MultiValue)) else [value]
    return [str(each).strip() for each in values if each not in {None, ""}]


def _frame(data: Dataset) -> bytes:
    frame: bytes = next(generate_frames(data.PixelData, number_of_frames=1))
    return frame


def _may_lose(data: Dataset) -> bool:
    """Tell whether JPEG 2000 may have lost something.

    It has by the irreversible transformation; by the other it has where it was cut short, which the codestream does not say:
    only the header does, and one that says nothing counts as with loss.
    """
    said = str(data.get("LossyImageCompression") or "").strip()
    return said != "00" or not _reversible(_frame(data))


def _reversible(frame: bytes) -> bool:
    """Tell whether the main header of a JPEG 2000 codestream names the reversible transformation."""
    place = codestream.jpeg_2000_begins(frame) + 2  # behind its first marker
    while place + 4 <= len(frame):
        marker, length = struct.unpack_from(">HH", frame, place)
        if marker == _CODING:
            return frame[place + 2 + _TRANSFORM] == _REVERSIBLE
        if marker == _TILE:
            return False
        place += 2 + length
    return False
