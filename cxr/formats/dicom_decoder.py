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

import gdcm
import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.uid import JPEGExtended12Bit

from cxr.foundation.place import ROOT

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
    code = f"import sys; sys.path.append({str(ROOT)!r}); from cxr.formats.dicom_decoder import main; main()"
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
    # Lossy JPEG of 12 bits pydicom only gives to a decoder under the GPL.
    deep = data.file_meta.TransferSyntaxUID == JPEGExtended12Bit and data.BitsAllocated == 16
    return (_by_gdcm(path, data) if deep else data.pixel_array).astype(np.int32)


def _by_gdcm(path: str, data: Dataset) -> npt.NDArray[np.uint16] | npt.NDArray[np.int16]:
    """Return the stored values (H, W) of a file of 16 bits allocated as GDCM itself reads them."""
    reader = gdcm.ImageReader()
    reader.SetFileName(path)
    if not reader.Read():
        raise ValueError("JPEG of 12 bits that cannot be decoded")
    pixels = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(pixels, "<i2" if data.PixelRepresentation else "<u2").reshape(data.Rows, data.Columns)


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
