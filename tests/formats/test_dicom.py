import io

import cv2
import gdcm
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from cxr.formats.decode import Unusable
from cxr.formats.dicom import derived
from cxr.formats.dicom import radiograph as dicom
from cxr.superres.enhance import enhance_stored
from cxr.superres.model import Model
from cxr.superres.networks.vdsr import VDSR
from tests.support.dicom_files import BY_GDCM, BY_PYDICOM, dataset, save, values


def derive(radiograph, stored, scale=2):
    return derived.derived(radiograph, stored, scale, "Enhanced x2, by a test", "maker")


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", [*BY_PYDICOM, *BY_GDCM], ids=lambda syntax: syntax.name.replace(" ", ""))
def test_stored_values_go_through_unchanged(tmp_path, syntax, bits, signed, photometric):
    stored = values(bits, signed)
    radiograph = dicom.read(save(dataset(stored, bits, signed, photometric), tmp_path / "in.dcm", syntax))
    assert np.array_equal(radiograph.stored, stored)
    assert np.array_equal(radiograph.values(radiograph.image()), stored)
    larger = np.kron(stored, np.ones((2, 2), int))
    derived.write(tmp_path / "out.dcm", derive(radiograph, larger))
    out = dcmread(tmp_path / "out.dcm")
    assert np.array_equal(out.pixel_array, larger)
    for name in ("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PatientID"):
        assert out[name].value == dcmread(tmp_path / "in.dcm")[name].value


def test_big_endian_words_are_turned_wherever_they_are(tmp_path):
    inner = Dataset()
    inner.add_new(0x00091002, "OW", bytes([5, 0, 6, 0]))
    data = dataset(values(), OtherPatientIDsSequence=Sequence([inner]))
    data.add_new(0x00091001, "OW", bytes([1, 2, 3, 4]))
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    data.PixelData = values().astype(">u2").tobytes()
    data.save_as(tmp_path / "in.dcm", enforce_file_format=True)
    radiograph = dicom.read(tmp_path / "in.dcm")
    assert np.array_equal(radiograph.stored, values())
    derived.write(tmp_path / "out.dcm", derive(radiograph, np.kron(values(), np.ones((2, 2), int))))
    out = dcmread(tmp_path / "out.dcm")
    assert out[0x00091001].value == bytes([2, 1, 4, 3])
    assert out.OtherPatientIDsSequence[0][0x00091002].value == bytes([0, 5, 0, 6])
    assert out.Rows == 36
    assert out.PatientName == "Doe^Jane"


def as_jpeg(stored, **options):
    """Return 8-bit JPEG, as Pillow has it."""
    buffer = io.BytesIO()
    Image.fromarray(stored.astype(np.uint8)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def lossy(stored, bits, syntax, encoded=None):
    data = dataset(stored, bits)
    if encoded is None:
        data.compress(syntax, jls_error=2, generate_instance_uid=False)
    else:
        data.PixelData = encapsulate([encoded])
        data.file_meta.TransferSyntaxUID = syntax
    return data


def test_lossy_images_are_read_as_other_decoders_do_and_called_lossy(tmp_path):
    smooth = cv2.GaussianBlur(np.random.default_rng(0).random((40, 32)), (0, 0), 2)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    eight, twelve = ((smooth * most).round().astype(int) for most in (255, 4095))
    baseline = as_jpeg(eight, quality=80)
    for data, expected, off in (
        (lossy(eight, 8, JPEGBaseline8Bit, baseline), np.asarray(Image.open(io.BytesIO(baseline))), 0),
        (lossy(eight, 8, JPEGExtended12Bit, baseline), np.asarray(Image.open(io.BytesIO(baseline))), 0),
        (lossy(eight, 8, JPEGLSNearLossless), eight, 2),
        (lossy(twelve, 12, JPEGLSNearLossless), twelve, 2),
    ):
        data.save_as(tmp_path / "in.dcm", enforce_file_format=True)
        radiograph = dicom.read(tmp_path / "in.dcm")
        assert np.abs(radiograph.stored - expected).max() == off
        larger = np.kron(radiograph.stored, np.ones((2, 2), int))
        derived.write(tmp_path / "out.dcm", derive(radiograph, larger))
        out = dcmread(tmp_path / "out.dcm")
        assert out.LossyImageCompression == "01"
        assert np.array_equal(out.pixel_array, larger)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_lossy_jpeg_of_up_to_12_bits_is_read(tmp_path, monkeypatch, capfd, bits, signed):
    monkeypatch.setitem(BY_GDCM, JPEGExtended12Bit, gdcm.TransferSyntax.JPEGExtendedProcess2_4)
    steps = np.linspace(values(bits, signed).min(), values(bits, signed).max(), 32).round().astype(int)
    stored = np.tile(steps, (24, 1))
    path = save(dataset(stored, bits, signed), tmp_path / "in.dcm", JPEGExtended12Bit)
    capfd.readouterr()
    assert np.abs(dicom.read(path).stored - stored).max() <= 1
    assert capfd.readouterr() == ("", "")  # of libraries, which try one depth after the other


@pytest.mark.parametrize(
    ("photometric", "more", "black", "white"),
    [
        ("MONOCHROME2", {}, 0, 4095),
        ("MONOCHROME1", {}, 4095, 0),
        ("MONOCHROME2", {"WindowCenter": 2048.5, "WindowWidth": 2001}, 1048, 3048),
        ("MONOCHROME1", {"WindowCenter": 2048.5, "WindowWidth": 2001}, 3048, 1048),
        ("MONOCHROME2", {"WindowCenter": [1000.5, 7], "WindowWidth": [501, 9]}, 750, 1250),
        ("MONOCHROME2", {"WindowCenter": 1000.5, "WindowWidth": 2001, "RescaleSlope": 2, "RescaleIntercept": -1000}, 500, 1500),
        ("MONOCHROME2", {"WindowCenter": 0.5, "WindowWidth": 2001, "RescaleSlope": -1, "RescaleIntercept": 2000}, 3000, 1000),
        ("MONOCHROME2", {"RescaleSlope": -1, "RescaleIntercept": 0}, 4095, 0),
        ("MONOCHROME2", {"WindowCenter": 90000, "WindowWidth": 10}, 0, 4095),  # shows nothing of this image
        ("MONOCHROME2", {"WindowCenter": 9, "WindowWidth": 1}, 0, 4095),
        ("MONOCHROME2", {"WindowCenter": None, "WindowWidth": None, "RescaleSlope": None}, 0, 4095),
    ],
)
def test_black_and_white_are_the_ends_of_the_window_or_of_the_values(tmp_path, photometric, more, black, white):
    radiograph = dicom.read(save(dataset(values(), photometric=photometric, **more), tmp_path / "in.dcm"))
    curve = radiograph.display.curve
    assert (curve[black], curve[white]) == (0, 1)
    middle = (black + white) // 2
    assert curve[middle] == pytest.approx((middle - black) / (white - black))


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("more", [{}, {"WindowCenter": 100, "WindowWidth": 50}])
def test_what_the_network_adds_nothing_to_is_the_bicubic_image(tmp_path, bits, scale, more):
    network = VDSR()
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    model = Model("vdsr", {scale: network}, {scale: network}, {}, "", torch.device("cpu"), torch.float32)
    stored = values(bits, signed=True)
    radiograph = dicom.read(save(dataset(stored, bits, True, "MONOCHROME1", **more), tmp_path / "in.dcm"))
    found = radiograph.values(enhance_stored(model, radiograph.image(), scale, radiograph.display))
    size = tuple(scale * length for length in stored.shape)
    exact = F.interpolate(torch.tensor(stored)[None, None].double(), size, mode="bicubic", antialias=True)[0, 0].numpy()
    exact = exact.clip(-(1 << bits - 1), (1 << bits - 1) - 1)
    assert np.abs(found - exact).max() <= 0.5 + 0.05  # which is what float32 leaves of a level of 16 bits


def test_a_derived_image_says_so(tmp_path):
    source = dataset(
        values(), LossyImageCompression="01", ShutterLeftVerticalEdge=3, VerticesOfThePolygonalShutter=[1, 2, 3, 4],
        IconImageSequence=Sequence([Dataset()]), DerivationDescription="Window changed",
    )  # fmt: skip
    source.add_new(0x60000010, "US", 18)  # rows of an overlay
    source.add_new(0x00091001, "LO", "private")
    radiograph = dicom.read(save(source, tmp_path / "in.dcm"))
    larger = np.kron(radiograph.stored, np.ones((2, 2), int))
    data = derive(radiograph, larger)
    assert list(data.ImageType) == ["DERIVED", "PRIMARY", "AP"]
    assert [str(length) for length in data.PixelSpacing] == ["0.1", "0.15"]
    assert [float(length) for length in data.ImagerPixelSpacing] == [0.0715, 0.0715]
    assert (data.Rows, data.Columns) == larger.shape
    assert (data.PatientName, data.PatientID, data.StudyInstanceUID) == ("Doe^Jane", "4711", "1.2.3")
    assert data.SOPInstanceUID != "1.2.3.4"
    assert data.SeriesInstanceUID != "1.2.3.5"
    (reference,) = data.SourceImageSequence
    assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (ComputedRadiographyImageStorage, "1.2.3.4")
    assert data.DerivationDescription == "Window changed; Enhanced x2, by a test"
    assert data.LossyImageCompression == "01"
    assert (data.ShutterLeftVerticalEdge, list(data.VerticesOfThePolygonalShutter)) == (6, [2, 4, 6, 8])
    assert "IconImageSequence" not in data
    assert 0x60000010 not in data
    assert data[0x00091001].value == "private"
    assert source.PixelSpacing == [0.2, 0.3]


@pytest.mark.parametrize(
    ("more", "spacing", "told"),
    [
        ({"PixelSpacing": 0.2}, ["0.1", "0.1"], "Thorax Enhanced x2"),
        ({"SeriesDescription": ["Thorax", "AP"]}, ["0.1", "0.15"], ["Thorax", "AP Enhanced x2"]),
    ],
)
def test_what_writers_get_wrong_is_taken_as_it_is_meant(tmp_path, more, spacing, told):
    radiograph = dicom.read(save(dataset(values(), **more), tmp_path / "in.dcm"))
    derived.write(tmp_path / "out.dcm", derive(radiograph, np.kron(radiograph.stored, np.ones((2, 2), int))))
    out = dcmread(tmp_path / "out.dcm")
    assert [str(length) for length in out.PixelSpacing] == spacing
    assert out.SeriesDescription == told


def test_equal_sources_and_makers_get_equal_uids_and_others_do_not(tmp_path):
    radiograph = dicom.read(save(dataset(values()), tmp_path / "in.dcm"))
    larger = np.kron(radiograph.stored, np.ones((2, 2), int))
    first, again = derive(radiograph, larger), derive(radiograph, larger)
    other = derived.derived(radiograph, larger, 2, "", "another")
    assert (first.SOPInstanceUID, first.SeriesInstanceUID) == (again.SOPInstanceUID, again.SeriesInstanceUID)
    assert first.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID != other.SeriesInstanceUID


def test_a_file_without_meta_header_is_read_as_implicit_little_endian(tmp_path):
    data = dataset(values())
    data.file_meta = FileMetaDataset()
    data.save_as(tmp_path / "in.dcm", implicit_vr=True, little_endian=True)
    assert np.array_equal(dicom.read(tmp_path / "in.dcm").stored, values())


def test_what_lies_above_the_stored_bits_is_no_part_of_the_image(tmp_path):
    data = dataset(values() | 0x8000, bits=12)
    assert np.array_equal(dicom.read(save(data, tmp_path / "in.dcm")).stored, values())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"PhotometricInterpretation": "RGB"}, "RGB, not MONOCHROME1 or 2"),
        ({"NumberOfFrames": "3"}, "3 frames; save each by itself"),
        ({"BitsStored": 4}, "4 bits a pixel, not 8 to 16"),
        ({"Rows": 60000, "Columns": 60000}, "more than 100,000,000 pixels"),
        ({"Rows": 0}, "no DICOM image"),
        ({"Rows": 19}, "pixel data"),
    ],
)
def test_what_cannot_be_enlarged_is_named(tmp_path, change, reason):
    with pytest.raises(Unusable, match=reason):
        dicom.read(save(dataset(values(), **change), tmp_path / "in.dcm"))


def test_an_element_that_cannot_be_understood_is_told_when_it_is_needed(tmp_path, recwarn):
    path = save(dataset(values(), StudyID="7"), tmp_path / "in.dcm")
    content = path.read_bytes()
    for broken in (content.replace(b"0.2\\0.3", b"0.2\\0,3"), content.replace(b"\x20\x00\x10\x00SH", b"\x20\x00\x10\x00S\x07")):
        assert broken != content
        path.write_bytes(broken)
        radiograph = dicom.read(path)
        with pytest.raises(Unusable) as error:
            derived.write(tmp_path / "out.dcm", derive(radiograph, np.kron(values(), np.ones((2, 2), int))))
        assert "\n" not in str(error.value)
        assert not (tmp_path / "out.dcm").exists()
    assert not recwarn.list


@pytest.mark.parametrize("content", [b"", b"x" * 5000, bytes(200), b"\x89PNG\r\n"])
def test_what_is_no_dicom_is_told(tmp_path, content):
    (tmp_path / "in.dcm").write_bytes(content)
    with pytest.raises(Unusable):
        dicom.read(tmp_path / "in.dcm")
