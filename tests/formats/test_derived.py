"""What a derived DICOM image says of itself, beside its pixels."""

import struct
from datetime import datetime

import gdcm
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    UltrasoundImageStorage,
)

from cxr.formats.decode import Unusable
from cxr.formats.dicom import radiograph as dicom
from cxr.formats.dicom.derived import derived, write
from cxr.formats.dicom.geometry import refuse_unknown
from tests.support.dicom_files import compress, dataset, save, values

NOW = datetime(2026, 3, 4, 5, 6, 7)


def made(path, scale=2, now=None, change=0):
    found = dicom.read(path, any_modality=True)
    larger = np.kron(found.stored, np.ones((scale, scale), int))
    larger[-1, -1] ^= change
    out = path.with_name("out.dcm")
    write(out, derived(found, larger, scale, "Enhanced x2, by a test", "maker", now))
    return dcmread(out)


def test_the_last_pixel_too_makes_another_instance(tmp_path):
    path = save(dataset(values(height=64, width=64)), tmp_path / "in.dcm")
    first, other = made(path), made(path, change=1)
    assert first.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID == other.SeriesInstanceUID


def test_it_says_when_and_by_what_it_was_made(tmp_path):
    before = Dataset()
    before.Manufacturer = "another"
    more = {"SeriesNumber": "3", "ContributingEquipmentSequence": [before], "ContentDate": "20200101", "ContentTime": "101010"}
    out = made(save(dataset(values(), **more), tmp_path / "in.dcm"), now=NOW)
    for date, time in (
        ("InstanceCreationDate", "InstanceCreationTime"),
        ("ContentDate", "ContentTime"),
        ("SeriesDate", "SeriesTime"),
    ):
        assert (out[date].value, out[time].value) == ("20260304", "050607")
    assert out.StudyDate == "20260101"
    assert out.SeriesNumber == 9003
    first, own = out.ContributingEquipmentSequence
    assert first.Manufacturer == "another"
    assert (own.Manufacturer, own.ContributionDateTime) == ("chest-xray-superres", "20260304050607")
    assert own.PurposeOfReferenceCodeSequence[0].CodeValue == "109103"  # PS3.16, CID 7005
    assert [code.CodeValue for code in out.DerivationCodeSequence] == ["113085"]  # CID 7203


def test_without_a_time_nothing_says_one(tmp_path):
    out = made(save(dataset(values()), tmp_path / "in.dcm"))
    assert "InstanceCreationDate" not in out
    assert "ContributionDateTime" not in out.ContributingEquipmentSequence[0]


def test_compressed_icons_are_dropped_wherever_they_are(tmp_path):
    icon, item, deeper = Dataset(), Dataset(), Dataset()
    icon.PixelData = b"\xff\xd8icon"
    icon["PixelData"].VR = "OB"
    deeper.IconImageSequence, deeper.TextString = [icon], "kept"
    item.IconImageSequence, item.ReferencedSeriesSequence, item.TextString = [icon], [deeper], "kept"
    data = dataset(values(), ReferencedImageEvidenceSequence=[item], IconImageSequence=[icon])
    path = save(data, tmp_path / "in.dcm")
    assert path.read_bytes().count(b"\xff\xd8icon") == 3
    out = made(path)
    assert b"\xff\xd8icon" not in (tmp_path / "out.dcm").read_bytes()
    kept = out.ReferencedImageEvidenceSequence[0]
    assert (kept.TextString, kept.ReferencedSeriesSequence[0].TextString) == ("kept", "kept")


def lossy_jpeg_2000(path, bits=12):
    """Write what GDCM makes of `values()` with the irreversible transformation."""
    save(dataset(values(bits)), path)
    codec = gdcm.JPEG2000Codec()
    codec.SetReversible(False)
    codec.SetRate(0, 8)
    compress(path, gdcm.TransferSyntax.JPEG2000, codec)
    return path


def test_loss_is_told_of_jpeg_2000_that_has_some(tmp_path):
    path = lossy_jpeg_2000(tmp_path / "in.dcm")
    data = dcmread(path)
    for name in ("LossyImageCompression", "LossyImageCompressionMethod", "LossyImageCompressionRatio"):
        if name in data:
            del data[name]
    data.save_as(path)
    out = made(path)
    assert (out.LossyImageCompression, out.LossyImageCompressionMethod) == ("01", "ISO_15444_1")
    assert float(out.LossyImageCompressionRatio) == pytest.approx(18 * 14 * 2 / len(data.PixelData), rel=0.2)


@pytest.mark.parametrize("syntax", [JPEG2000, JPEG2000Lossless])
def test_and_not_of_jpeg_2000_that_has_none(tmp_path, syntax):
    out = made(save(dataset(values(), LossyImageCompression="00"), tmp_path / "in.dcm", syntax))
    assert out.LossyImageCompression == "00"
    assert "LossyImageCompressionRatio" not in out


def test_loss_of_before_stays_told(tmp_path):
    more = {"LossyImageCompression": "01", "LossyImageCompressionMethod": "ISO_10918_1", "LossyImageCompressionRatio": "7"}
    out = made(save(dataset(values(), **more), tmp_path / "in.dcm"))
    assert [out[name].value for name in more] == ["01", "ISO_10918_1", 7]


@pytest.mark.parametrize("scale", [2, 3])
def test_the_corner_of_a_slice_moves_to_the_first_new_pixel(tmp_path, scale):
    more = {"ImagePositionPatient": [10, 20, 30], "ImageOrientationPatient": [0, 1, 0, 0, 0, -1], "PixelSpacing": [0.6, 0.3]}
    out = made(save(dataset(values(), Modality="CT", **more), tmp_path / "in.dcm"), scale)
    # The image's own corner, half a pixel before the first centre, stays where it is.
    row, column = np.array([0, 1, 0]), np.array([0, 0, -1])
    corner = np.array([10, 20, 30]) - 0.5 * (0.3 * row + 0.6 * column)
    down, along = out.PixelSpacing
    found = np.array(out.ImagePositionPatient, float) - 0.5 * (along * row + down * column)
    assert found == pytest.approx(corner)


def test_regions_of_ultrasound_grow_and_their_lengths_shrink(tmp_path):
    region = Dataset()
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.02, 0.04
    region.RegionLocationMinX0, region.RegionLocationMinY0, region.RegionLocationMaxX1, region.RegionLocationMaxY1 = (
        1,
        2,
        13,
        17,
    )
    data = dataset(values(), Modality="US", SOPClassUID=UltrasoundImageStorage, SequenceOfUltrasoundRegions=[region])
    (out,) = made(save(data, tmp_path / "in.dcm")).SequenceOfUltrasoundRegions
    assert (out.PhysicalDeltaX, out.PhysicalDeltaY) == (0.01, 0.02)
    bounds = out.RegionLocationMinX0, out.RegionLocationMinY0, out.RegionLocationMaxX1, out.RegionLocationMaxY1
    assert bounds == (2, 4, 26, 34)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"Modality": "PT"}, "of modality PT, whose geometry"),
        ({"SharedFunctionalGroupsSequence": [Dataset()]}, "with SharedFunctionalGroupsSequence"),
        ({"Modality": "CT"}, ""),
        ({}, ""),
    ],
)
def test_images_whose_geometry_is_not_known_are_refused(more, reason):
    data = dataset(values(), **more)
    if not reason:
        refuse_unknown(data)
        return
    with pytest.raises(Unusable, match=reason):
        refuse_unknown(data)


def with_name(path, said, written, syntax=ExplicitVRLittleEndian):
    """Write an image whose patient's name has the bytes `written`, though the header says that it is in `said`."""
    data = dataset(values(), PatientName="N" * len(written), SeriesDescription="Thorax")
    if said:
        data.SpecificCharacterSet = said
    save(data, path, syntax)
    content = path.read_bytes()
    assert content.count(b"N" * len(written)) == 1
    path.write_bytes(content.replace(b"N" * len(written), written))
    return path


NAMES = [
    ("ISO_IR 192", "Müller^Änne".encode("latin-1") + b" "),  # as Latin-1 under UTF-8's name
    ("ISO_IR 100", "Müller^Änne ".encode()),
    ("ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B^Taro "),  # alone, where the standard wants another before it
    (["", "ISO 2022 IR 87"], b"Yamada^Taro=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B "),
    ("", b"M\xfcller^A"),
    ("NO SUCH SET", b"M\xfcller^A"),
]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(("said", "written"), NAMES)
def test_a_name_keeps_its_bytes_whatever_the_file_says_they_are(tmp_path, said, written, syntax):
    out = made(with_name(tmp_path / "in.dcm", said, written, syntax))
    content = (tmp_path / "out.dcm").read_bytes()
    assert written in content
    assert b"Thorax Enhanced x2" in content
    assert out.SeriesDescription == "Thorax Enhanced x2"


def test_unknown_bytes_of_a_big_endian_file_stay_as_they_are(tmp_path):
    data = dataset(values())
    data.add_new(0x00090010, "LO", "SOMEONE")
    data.add_new(0x00091001, "UN", b"\1\2\3\4\5\6")
    data.add_new(0x00091002, "OW", b"\1\2\3\4")
    path = save(data, tmp_path / "in.dcm", ExplicitVRBigEndian)
    out = made(path)
    # UN is a string of bytes whose order nobody knows (PS3.5, 6.2.2); words are turned.
    assert out[0x00091001].value == b"\1\2\3\4\5\6"
    assert struct.unpack("<2H", out[0x00091002].value) == struct.unpack(">2H", dcmread(path)[0x00091002].value)


@pytest.mark.parametrize("long", [64, 60])
def test_a_description_that_is_full_stays_as_it_is(tmp_path, long):
    out = made(save(dataset(values(), SeriesDescription="x" * long), tmp_path / "in.dcm"))
    assert out.SeriesDescription == "x" * long


def test_the_preamble_is_zeros_whatever_the_source_has_in_it(tmp_path):
    data = dataset(values())
    data.preamble = b"II*\0Doe^Jane".ljust(128, b"\1")
    made(save(data, tmp_path / "in.dcm"))
    assert (tmp_path / "out.dcm").read_bytes()[:132] == bytes(128) + b"DICM"
