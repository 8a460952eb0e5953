"""Compressed pixels of DICOM files, decoded in a process of its own: damaged ones make GDCM end the process that it is in."""

import atexit
import io
import json
import os
import subprocess
import sys
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, RLELossless

from cxr.foundation.place import ROOT

LOSSY = JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

Stored = npt.NDArray[np.int32]


def decoded(path: Path) -> Stored:
    """Return the stored values (H, W) of the compressed image in the DICOM file `path`.

    Raises ValueError when they cannot be decoded.
    """
    process = _process()
    assert process.stdin is not None
    assert isinstance(process.stdout, io.BufferedReader)
    try:
        process.stdin.write(json.dumps(str(path.resolve())).encode() + b"\n")  # it may have started in another folder
        process.stdin.flush()
        answer = process.stdout.readline()
    except BrokenPipeError:
        answer = b""
    if answer.endswith(b"\n"):
        reason, shape = json.loads(answer)
        if reason:
            raise ValueError(reason)
        stored = np.empty(shape, np.int32)
        if process.stdout.readinto(stored.data.cast("B")) == stored.nbytes:
            return stored
    _process.cache_clear()
    process.kill()
    process.communicate()
    raise ValueError("compressed pixels so damaged that decoding them crashes")


@lru_cache(maxsize=1)
def _process() -> subprocess.Popen[bytes]:
    """Return the process that decodes, which ends with this one."""
    # -P, and this package's place last: nothing in the folder that this process works in is imported, which radiographs of
    # strangers may lie in.
    code = f"import sys; sys.path.append({str(ROOT)!r}); from cxr.formats.dicom.decoder import main; main()"
    started = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that Ctrl-C, which is for this process, does not look like a crash
    )
    atexit.register(started.communicate)
    return started


def _pixels(path: str) -> Stored:
    data = dcmread(path, force=True)
    syntax = data.file_meta.TransferSyntaxUID
    if syntax == RLELossless:
        return words(data)
    if syntax == JPEGExtended12Bit and data.BitsAllocated == 16:  # which pydicom only gives to a decoder under the GPL
        return _by_gdcm(data)
    # Values beyond BitsStored are left to who asks.
    unchanged: Any = {"correct_unused_bits": False}
    pixels, _ = get_decoder(syntax).as_array(data, raw=True, index=0, **unchanged)
    return pixels.astype(np.int32)


def words(data: Dataset) -> Stored:
    """Return the words (H, W) in which the image of `data`, uncompressed or RLE, lies, whatever their bits mean."""
    whole: Any = {"bits_stored": data.BitsAllocated, "pixel_representation": 0}
    found, _ = get_decoder(data.file_meta.TransferSyntaxUID).as_array(data, raw=True, index=0, **whole)
    return found.astype(np.int64).astype(np.int32)


def _by_gdcm(data: Dataset) -> Stored:
    """Return the values (H, W) of lossy JPEG of 8 or 12 bits, whatever BitsStored."""
    frame = next(generate_frames(data.PixelData, number_of_frames=1))
    # GDCM itself writes 12 bits with a precision of 16, which clips nothing: what overshoots needs bits of its own.
    bits = {8: 8, 16: 14}.get(_precision(frame), 12)
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


def _precision(jpeg: bytes) -> int:
    """Return the bits a sample has in a `jpeg` stream (ISO/IEC 10918-1, B.2.2)."""
    place = 2
    while jpeg[place] == 0xFF and jpeg[place + 1] not in {0xC0, 0xC1, 0xC2}:
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    return jpeg[place + 4]


def main() -> None:
    """For each line of standard input, the name of a file, write why it cannot be decoded, or its shape and then its pixels."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    for line in sys.stdin:
        try:
            pixels = _pixels(json.loads(line))
        except Exception as error:  # broken bytes lead decoders astray anywhere
            answers.write(json.dumps([" ".join(str(error).split()) or type(error).__name__, None]).encode() + b"\n")
        else:
            answers.write(json.dumps([None, pixels.shape]).encode() + b"\n" + pixels.tobytes())
        answers.flush()
