"""Whether compressed pixels have lost something, and which of their bits count: the codestream says so, not the syntax."""

import gdcm
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from cxr.formats.dicom import radiograph as dicom
from cxr.formats.dicom import stored as module
from cxr.formats.dicom.compressed.lossy import coded_with_loss, say_lossy
from cxr.formats.dicom.deidentify.header import deidentified
from cxr.formats.dicom.deidentify.key import Key
from cxr.formats.dicom.derived import derived
from tests.support.dicom_files import compress, dataset, save, values

TERMS = "LossyImageCompression", "LossyImageCompressionMethod", "LossyImageCompressionRatio"
SMOOTH = np.cumsum(np.random.default_rng(0).integers(-3, 4, (64, 64)), 1) + 600


def named(path, syntax, **more):
    """Let the file `path` name another transfer syntax, and of losses only what is in `more`."""
    data = dcmread(path)
    for name in TERMS:
        data.pop(name, None)
    for name, value in more.items():
        setattr(data, name, value)
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path)
    return path


def wavelets(path, reversible, stored=SMOOTH, bits=16, signed=False):
    codec = gdcm.JPEG2000Codec()
    codec.SetReversible(reversible)
    if not reversible:
        codec.SetRate(0, 8)
    save(dataset(stored, bits, signed), path)
    compress(path, gdcm.TransferSyntax.JPEG2000 if not reversible else gdcm.TransferSyntax.JPEG2000Lossless, codec)
    return path


def near(path, error):
    data = dataset(SMOOTH, 16)
    data.compress(JPEGLSNearLossless, jls_error=error, generate_instance_uid=False)
    data.save_as(path, enforce_file_format=True)
    return path


def made(path):
    found = dicom.read(path)
    return derived(found, np.kron(found.stored, np.ones((2, 2), int)), 2, "Enhanced", "maker")


@pytest.mark.parametrize(
    ("write", "loss", "syntax", "method"),
    [
        (near, 3, JPEGLSLossless, "ISO_14495_1"),
        (near, 3, JPEGLSNearLossless, "ISO_14495_1"),
        (near, 0, JPEGLSNearLossless, None),
        (near, 0, JPEGLSLossless, None),
        (wavelets, False, JPEG2000Lossless, "ISO_15444_1"),
        (wavelets, False, JPEG2000, "ISO_15444_1"),
        (wavelets, True, JPEG2000Lossless, None),
    ],
)
def test_loss_is_told_where_the_codestream_has_it(tmp_path, write, loss, syntax, method):
    path = named(write(tmp_path / "in.dcm", loss), syntax)
    off = np.abs(dicom.read(path).stored - SMOOTH).max()
    assert (off > 0) == (method is not None)
    out = made(path)
    assert out.get("LossyImageCompression") == ("01" if method else None)
    assert out.get("LossyImageCompressionMethod") == method
    assert ("LossyImageCompressionRatio" in out) == (method is not None)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless])
def test_no_loss_is_told_where_there_is_none(tmp_path, syntax):
    assert "LossyImageCompression" not in made(save(dataset(values()), tmp_path / "in.dcm", syntax))


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless])
def test_a_point_transform_loses_and_so_does_a_cosine_transform(tmp_path, syntax):
    path = save(dataset(values()), tmp_path / "in.dcm", JPEGLosslessSV1)
    frame = bytearray(get_frame(dcmread(path).PixelData, 0, number_of_frames=1))
    assert not coded_with_loss(dcmread(path))
    if syntax == JPEGLossless:
        scan = frame.index(b"\xff\xda")
        frame[scan + 9] = 1  # Al, bits that samples are shifted by (ISO/IEC 10918-1, H.1.2.1)
    else:
        frame[frame.index(b"\xff\xc3") + 1] = 0xC1
    data = dcmread(path)
    data.PixelData = encapsulate([bytes(frame)])
    data.file_meta.TransferSyntaxUID = syntax
    assert coded_with_loss(data)


@pytest.mark.parametrize("syntax", [JPEG2000, JPEG2000Lossless, HTJ2K])
@pytest.mark.parametrize("kind", ["overlay", "sign"])
def test_bits_above_those_stored_are_no_part_of_an_image_without_loss(tmp_path, monkeypatch, kind, syntax):
    signed = kind == "sign"
    stored = (SMOOTH * 3 - 2047).clip(-2048, 2047) if signed else SMOOTH
    words = stored & 0xFFF if signed else stored | 0x8000  # without the sign's own bits above, or with an overlay's
    path = wavelets(tmp_path / "in.dcm", True, words)
    data = dcmread(path)
    data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, int(signed)
    data.save_as(path)
    if syntax == HTJ2K:  # of which no writer is at hand; only which bits count differs
        monkeypatch.setattr(module, "decoded", lambda path, shape: words.astype(np.int32))
    named(path, syntax)
    assert np.array_equal(dicom.read(path).stored, stored)


@pytest.mark.parametrize("syntax", [JPEG2000, JPEG2000Lossless])
def test_an_error_of_compression_beyond_the_range_is_no_small_value(tmp_path, monkeypatch, syntax):
    data = dcmread(named(wavelets(tmp_path / "in.dcm", False), syntax))
    data.BitsStored, data.HighBit = 12, 11
    data.save_as(tmp_path / "in.dcm")
    monkeypatch.setattr(module, "decoded", lambda path, shape: np.full(shape, 4097, np.int32))
    assert (dicom.read(tmp_path / "in.dcm").stored == 4095).all()


@pytest.mark.parametrize(("said", "told"), [("YES", "01"), ("1", "01"), (["01", "01"], "01"), ("01", "01"), ("00", "00")])
def test_loss_of_before_stays_told_however_it_was_written(tmp_path, said, told):
    path = save(dataset(values(), LossyImageCompression=said, BurnedInAnnotation="NO"), tmp_path / "in.dcm")
    assert made(path).LossyImageCompression == told
    result, _ = deidentified(dcmread(path), Key(bytes(32)))
    assert result.LossyImageCompression == told
    data = dcmread(path)
    say_lossy(result, data)
    assert result.LossyImageCompression == told
