import gdcm
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from superres import dicom
from superres.decode import Unusable
from superres.inference import Model, enhance_beyond
from superres.models.vdsr import VDSR

BY_PYDICOM = ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless
BY_GDCM = {
    JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    JPEGLSLossless: gdcm.TransferSyntax.JPEGLSLossless,
    JPEG2000Lossless: gdcm.TransferSyntax.JPEG2000Lossless,
}


def values(bits=12, signed=False, height=18, width=14):
    least = -(1 << bits - 1) if signed else 0
    drawn = np.random.default_rng(bits).integers(least, least + (1 << bits), (height, width))
    drawn[0, :2] = least, least + (1 << bits) - 1
    return drawn


def dataset(stored, bits=12, signed=False, photometric="MONOCHROME2", **more):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = ComputedRadiographyImageStorage, "1.2.3.4"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", "1.2.3.5"
    data.PatientName, data.PatientID, data.PatientBirthDate = "Doe^Jane", "4711", "19700101"
    data.StudyDate, data.AccessionNumber, data.InstitutionName = "20260101", "A1", "St Elsewhere"
    data.ImageType, data.Modality, data.SeriesDescription = ["ORIGINAL", "PRIMARY", "AP"], "CR", "Thorax"
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, photometric
    data.BitsAllocated = 8 if bits == 8 else 16
    data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, int(signed)
    data.PixelSpacing, data.ImagerPixelSpacing = [0.2, 0.3], [0.143, 0.143]
    data.PixelData = stored.astype(f"<{'i' if signed else 'u'}{data.BitsAllocated // 8}").tobytes()
    data["PixelData"].VR = "OB" if bits == 8 else "OW"
    for name, value in more.items():
        setattr(data, name, value)
    return data


def save(data, path, syntax=ExplicitVRLittleEndian):
    data.file_meta.TransferSyntaxUID = syntax if syntax in BY_PYDICOM[:3] else ExplicitVRLittleEndian
    if syntax == RLELossless:
        data.compress(RLELossless, generate_instance_uid=False)
    data.save_as(path, enforce_file_format=True)
    if syntax in BY_GDCM:
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(BY_GDCM[syntax]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(path))
        assert writer.Write()
        assert dcmread(path).file_meta.TransferSyntaxUID == syntax
    return path


def derive(radiograph, stored, scale=2, anonymise=False):
    return dicom.derived(radiograph, stored, scale, "Enhanced x2, by a test", "maker", anonymise)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", [*BY_PYDICOM, *BY_GDCM], ids=lambda syntax: syntax.name.replace(" ", ""))
def test_stored_values_go_through_unchanged(tmp_path, syntax, bits, signed, photometric):
    stored = values(bits, signed)
    radiograph = dicom.read(save(dataset(stored, bits, signed, photometric), tmp_path / "in.dcm", syntax))
    assert np.array_equal(radiograph.stored, stored)
    assert np.array_equal(radiograph.values(radiograph.levels()), stored)
    larger = np.kron(stored, np.ones((2, 2), int))
    dicom.write(tmp_path / "out.dcm", derive(radiograph, larger))
    out = dcmread(tmp_path / "out.dcm")
    assert np.array_equal(out.pixel_array, larger)
    for name in ("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PatientID"):
        assert out[name].value == dcmread(tmp_path / "in.dcm")[name].value


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
        ("MONOCHROME2", {"PixelPaddingValue": 4095}, 0, None),
    ],
)
def test_black_and_white_are_the_ends_of_the_window_or_of_the_values(tmp_path, photometric, more, black, white):
    radiograph = dicom.read(save(dataset(values(), photometric=photometric, **more), tmp_path / "in.dcm"))
    assert radiograph.black == black
    assert radiograph.white == (sorted(set(values().flatten()))[-2] if white is None else white)


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("more", [{}, {"WindowCenter": 100, "WindowWidth": 50}])
def test_what_the_network_adds_nothing_to_is_the_bicubic_image(tmp_path, bits, scale, more):
    network = VDSR()
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    model = Model("vdsr", {scale: network}, {}, "", torch.device("cpu"), torch.float32)
    stored = values(bits, signed=True)
    radiograph = dicom.read(save(dataset(stored, bits, True, "MONOCHROME1", **more), tmp_path / "in.dcm"))
    found = radiograph.values(enhance_beyond(model, radiograph.levels(), scale))
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


def test_equal_sources_and_makers_get_equal_uids_and_others_do_not(tmp_path):
    radiograph = dicom.read(save(dataset(values()), tmp_path / "in.dcm"))
    larger = np.kron(radiograph.stored, np.ones((2, 2), int))
    first, again = derive(radiograph, larger), derive(radiograph, larger)
    other = dicom.derived(radiograph, larger, 2, "", "another", False)
    assert (first.SOPInstanceUID, first.SeriesInstanceUID) == (again.SOPInstanceUID, again.SeriesInstanceUID)
    assert first.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID != other.SeriesInstanceUID


def test_an_anonymous_image_holds_nothing_of_the_patient(tmp_path):
    source = dataset(values(), KVP="120", ReferencedStudySequence=Sequence([dataset(values(8), 8)]), PatientComments="Jane")
    source.add_new(0x00091001, "LO", "Jane")
    radiograph = dicom.read(save(source, tmp_path / "in.dcm"))
    data = derive(radiograph, np.kron(radiograph.stored, np.ones((2, 2), int)), anonymise=True)
    dicom.write(tmp_path / "out.dcm", data)
    written = (tmp_path / "out.dcm").read_bytes()
    for secret in (b"Doe", b"Jane", b"4711", b"19700101", b"20260101", b"Elsewhere", b"Thorax", b"1.2.3.4", b"1.2.3.5", b"A1"):
        assert secret not in written
    out = dcmread(tmp_path / "out.dcm")
    assert np.array_equal(out.pixel_array, np.kron(radiograph.stored, np.ones((2, 2), int)))
    assert (out.PatientIdentityRemoved, out.PatientName, out.KVP) == ("YES", "", 120)
    assert out.StudyInstanceUID not in {"", "1.2.3"}


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


@pytest.mark.parametrize("content", [b"", b"x" * 5000, bytes(200), b"\x89PNG\r\n"])
def test_what_is_no_dicom_is_told(tmp_path, content):
    (tmp_path / "in.dcm").write_bytes(content)
    with pytest.raises(Unusable):
        dicom.read(tmp_path / "in.dcm")
