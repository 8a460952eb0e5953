"""Compressed pixels made to keep whoever reads their headers busy, or to fill the memory, are refused at once."""

import struct
import time

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from cxr.formats.decode import Unusable
from cxr.formats.dicom import radiograph as dicom
from cxr.formats.dicom.compressed import codestream
from cxr.formats.dicom.compressed.lossy import coded_with_loss
from tests.support.dicom_files import dataset

MB = 1 << 20
SIDE = 3000  # pixels, so that so many bytes could be theirs


def written(path, syntax, frame, side=SIDE):
    """Write an image of `frame`, which may be large, in one fragment."""
    data = dataset(np.zeros((side, side), np.uint16))
    del data.PixelData
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path, enforce_file_format=True)
    with path.open("ab") as file:
        file.write(struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0))
        file.write(struct.pack("<HHL", 0xFFFE, 0xE000, len(frame)))
        file.write(frame)
        file.write(struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))
    return path


def rle(first, second):
    return struct.pack("<16L", 2, 64, 64 + len(first), *[0] * 13) + first + second


FRAMES = {
    "markers": (JPEGLosslessSV1, b"\xff\xd8" + b"\xff\x01" * (20 * MB)),
    "filling": (JPEGLosslessSV1, b"\xff\xd8" + b"\xff" * (40 * MB)),
    "comments": (JPEGLosslessSV1, b"\xff\xd8" + b"\xff\xfe\0\2" * (10 * MB)),
    "boxes": (JPEG2000Lossless, struct.pack(">L4s", 8, b"free") * (5 * MB)),
    "large boxes": (JPEG2000Lossless, struct.pack(">L4sQ", 1, b"free", 16) * (2 * MB)),
    "runs": (RLELossless, rle(b"\x80" * (20 * MB), b"\x80" * (20 * MB))),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_a_header_that_never_ends_is_refused_at_once(tmp_path, kind):
    path = written(tmp_path / "in.dcm", *FRAMES[kind])
    begun = time.process_time()
    with pytest.raises(Unusable, match="compressed pixels") as error:
        dicom.read(path)
    assert error.value.kind == "damaged"
    assert time.process_time() - begun < 1


def test_a_main_header_of_jpeg_2000_that_never_ends_is_left_at_once():
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.PixelData = encapsulate([b"\xff\x4f\xff\x51\0\2" + b"\xff\x64\0\2" * (10 * MB)])
    begun = time.process_time()
    assert coded_with_loss(data)  # since nothing says that it was not
    assert time.process_time() - begun < 1


def test_more_bytes_than_pixels_can_need_are_refused_before_they_are_taken_apart(tmp_path, monkeypatch):
    path = written(tmp_path / "in.dcm", JPEGLosslessSV1, bytes(64 * MB), side=64)
    monkeypatch.setattr(codestream, "get_frame", None)
    with pytest.raises(Unusable, match=r"67,108,8.. bytes of compressed pixels, more than 64 x 64 can need"):
        dicom.read(path)


def test_bytes_that_mean_nothing_may_be_in_rle(tmp_path):
    stored = np.random.default_rng(0).integers(0, 4096, (40, 40))
    halves = (b"".join(bytes([0x80, 0, byte]) for byte in part.ravel()) for part in (stored >> 8, stored & 0xFF))
    path = written(tmp_path / "in.dcm", RLELossless, rle(*halves), side=40)
    assert np.array_equal(dicom.read(path).stored, stored)
