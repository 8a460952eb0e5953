"""Whether an image has lost something to compression, and by what (DICOM PS3.3, C.7.6.1.1.5)."""

from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import HTJ2K, JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

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

_START, _CODING, _TRANSFORM, _REVERSIBLE = b"\xff\x4f", b"\xff\x52", 13, 1  # ISO/IEC 15444-1, A.4.1 and A.6.1


def say_lossy(data: Dataset, source: Dataset) -> None:
    """Let `data` say so when `source` was compressed with loss, now or ever before: what is lost stays lost."""
    syntax = source.file_meta.TransferSyntaxUID
    if syntax in LOSSY or (syntax in MAYBE and _loses(_frame(source))):
        data.LossyImageCompression = "01"
        pixels = source.Rows * source.Columns * int(source.BitsAllocated) // 8
        _add(data, "LossyImageCompressionMethod", METHODS[syntax])
        _add(data, "LossyImageCompressionRatio", f"{pixels / max(1, len(_frame(source))):.4g}")


def _add(data: Dataset, name: str, value: str) -> None:
    """Add one value, unless the source told of this compression itself."""
    if not data.get(name):
        setattr(data, name, value)


def _frame(data: Dataset) -> bytes:
    frame: bytes = next(generate_frames(data.PixelData, number_of_frames=1))
    return frame


def _loses(codestream: bytes) -> bool:
    """Tell whether a JPEG 2000 `codestream` was written by the irreversible transformation; one that does not say counts so."""
    begin = codestream.find(_START)
    place = codestream.find(_CODING, begin + 2) if begin >= 0 else -1
    return bool(place < 0 or codestream[place + _TRANSFORM] != _REVERSIBLE)
