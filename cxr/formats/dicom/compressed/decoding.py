"""The process that decodes compressed DICOM pixels, within its limits (started by `decoder.py`)."""

import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import IO, Any

import gdcm
import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGExtended12Bit, RLELossless

from cxr.formats.dicom.compressed import codestream

Stored = npt.NDArray[np.int32]

SECONDS, SECONDS_PER_MILLION = 8.0, 2.0
MEMORY, MEMORY_PER_PIXEL = 512 << 20, 40

# What decoding needs. Tables of offsets are none of it: with them, other bytes would be decoded than those whose size was read.
_ELEMENTS = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
)


def words(data: Dataset) -> Stored:
    """Return the words (H, W) in which the image of `data`, uncompressed or RLE, lies, whatever their bits mean."""
    whole: Any = {"bits_stored": data.BitsAllocated, "pixel_representation": 0}
    found, _ = get_decoder(data.file_meta.TransferSyntaxUID).as_array(data, raw=True, index=0, **whole)
    return found.astype(np.int64).astype(np.int32)


def seconds(pixels: int) -> float:
    """Return how long decoding so many `pixels` may take: five times what JPEG 2000, the slowest, took on two busy cores."""
    return SECONDS + SECONDS_PER_MILLION * pixels / 1e6


def memory(pixels: int) -> int:
    """Return how many bytes decoding so many `pixels` may take beside what the process has.

    5,000 x 5,000 pixels of 16 bits were seen to take 8 (JPEG) to 29 (JPEG 2000) a pixel of address space.
    """
    return MEMORY + MEMORY_PER_PIXEL * pixels


def main() -> None:
    """Decode for the process that has started this one.

    For each line of standard input, a file's name and the rows and columns of its image, write a line that is null, and
    then the int32 pixels, or why there are none. Begins with an empty line, when it is ready.
    """
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    answers.write(b"\n")
    answers.flush()
    for line in sys.stdin:
        path, *shape = json.loads(line)
        _limit(shape[0] * shape[1])
        _answer(answers, path, tuple(shape))
        answers.flush()


def _limit(pixels: int) -> None:
    """Limit what this process may take for the next image.

    The system holds to it on Linux; elsewhere only the parent's clock does.
    """
    if sys.platform != "linux":
        return
    import resource  # noqa: PLC0415 - Windows has none

    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for limit, most in (
        (resource.RLIMIT_AS, now + memory(pixels)),
        (resource.RLIMIT_CPU, int(time.process_time() + seconds(pixels)) + 1),  # should the parent have stopped its clock
    ):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _answer(answers: IO[bytes], path: str, shape: tuple[int, ...]) -> None:
    try:
        pixels = _pixels(path)
        if pixels.shape != shape:
            raise ValueError(f"pixels of shape {pixels.shape}, not of {shape[0]} rows and {shape[1]} columns")
    except MemoryError:
        raise  # what is left of this process is not to be relied on
    except Exception as error:  # broken bytes lead decoders astray anywhere
        answers.write(json.dumps(" ".join(str(error).split()) or type(error).__name__).encode() + b"\n")
    else:
        answers.write(b"null\n" + np.ascontiguousarray(pixels).data)


def _pixels(path: str) -> Stored:
    data = dcmread(path, force=True, specific_tags=list(_ELEMENTS))
    syntax = data.file_meta.TransferSyntaxUID
    if syntax == RLELossless:
        return words(data)
    if syntax == JPEGExtended12Bit and data.BitsAllocated == 16:  # which pydicom only gives to a decoder under the GPL
        return _by_gdcm(data)
    # Values beyond BitsStored are left to who asks.
    unchanged: Any = {"correct_unused_bits": False}
    pixels, _ = get_decoder(syntax).as_array(data, raw=True, index=0, **unchanged)
    return pixels.astype(np.int32)


def _by_gdcm(data: Dataset) -> Stored:
    """Return the values (H, W) of lossy JPEG of 8 or 12 bits, whatever BitsStored."""
    frame = get_frame(data.PixelData, 0, number_of_frames=1)
    # GDCM itself writes 12 bits with a precision of 16, which clips nothing: what overshoots needs bits of its own.
    bits = {8: 8, 16: 14}.get(codestream.jpeg(frame).precision, 12)
    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(frame)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((data.Columns, data.Rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16 if bits > 8 else 8, bits, bits - 1, 0))
    pixels = image.GetBuffer().encode("utf-8", "surrogateescape")
    found = np.frombuffer(pixels, "<u2" if bits > 8 else "u1").reshape(data.Rows, data.Columns).astype(np.int32)
    overshoot = 1 << 12 if bits == 14 else 0
    least = -(1 << bits - 1) if data.PixelRepresentation else -overshoot
    return ((found - least) & ((1 << bits) - 1)) + least
