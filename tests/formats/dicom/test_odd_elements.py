"""Elements with more values, or others, than the standard allows: taken as they are meant, or refused by their names."""

import struct

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from cxr.formats.decode import Unusable
from cxr.formats.dicom import radiograph as dicom
from cxr.formats.dicom.derived import SERIES_AFTER, derived, write
from tests.support.dicom_files import dataset, save, values


def with_element(path, tag, kind, value, **more):
    """Write an image with an element of these bytes, in the place of its own."""
    data = dataset(values(), **more)
    data[tag] = RawDataElement(Tag(tag), kind, len(value), value, 0, False, True)
    data.set_original_encoding(False, True, "iso8859")
    return save(data, path)


def made(path):
    found = dicom.read(path)
    write(path.with_name("out.dcm"), derived(found, np.kron(found.stored, np.ones((2, 2), int)), 2, "Enhanced", "maker"))
    return dcmread(path.with_name("out.dcm"))


@pytest.mark.parametrize(
    ("tag", "kind", "value", "name"),
    [
        (0x00280002, "US", struct.pack("<2H", 1, 1), "SamplesPerPixel"),
        (0x00280004, "CS", b"MONOCHROME2\\MONOCHROME2 ", "PhotometricInterpretation"),
        (0x00280008, "IS", b"1\\1 ", "NumberOfFrames"),
        (0x00280010, "US", struct.pack("<2H", 18, 18), "Rows"),
        (0x00280010, "LO", b"abcd", "Rows"),
        (0x00280011, "DS", b"14.5", "Columns"),
        (0x00280100, "US", struct.pack("<2H", 16, 16), "BitsAllocated"),
        (0x00280101, "US", struct.pack("<2H", 12, 12), "BitsStored"),
        (0x00280102, "US", struct.pack("<2H", 11, 11), "HighBit"),
        (0x00280103, "US", struct.pack("<2H", 0, 0), "PixelRepresentation"),
        (0x00280103, "US", struct.pack("<H", 2), "PixelRepresentation"),
        (0x00280120, "LO", b"abcd", "PixelPaddingValue"),
        (0x00281050, "LO", b"abcd", "WindowCenter"),
        (0x00281052, "DS", b"a.bc", "RescaleIntercept"),
        (0x00280030, "DS", b"0,2\\0,2 ", "PixelSpacing"),
        (0x00280030, "DS", b"inf\\inf ", "PixelSpacing"),
        (0x00089215, "LO", b"abcd", "DerivationCodeSequence"),
        (0x00089215, "UN", b"abcd", "DerivationCodeSequence"),
        (0x00089215, "SQ", b"abcd", "DerivationCodeSequence"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(tmp_path, tag, kind, value, name):
    with pytest.raises(Unusable, match=name) as error:
        made(with_element(tmp_path / "in.dcm", tag, kind, value))
    assert error.value.kind == "damaged"
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "number"),
    [(b"A12 ", 0), (b"1\\2 ", 1), (b"", 0), (b"99999999999999", 0), (b"1.5 ", 0), (b"nan ", 0), (b"3 ", 3)],
)
@pytest.mark.parametrize("kind", ["IS", "DS"])
def test_a_number_of_the_series_that_is_none_costs_no_image(tmp_path, kind, value, number):
    assert made(with_element(tmp_path / "in.dcm", 0x00200011, kind, value)).SeriesNumber == SERIES_AFTER + number


@pytest.mark.parametrize("intercept", [b"1e20", b"1e17"])
def test_numbers_in_which_the_values_are_lost_are_refused(tmp_path, intercept):
    with pytest.raises(Unusable, match="RescaleIntercept"):
        dicom.read(with_element(tmp_path / "in.dcm", 0x00281052, "DS", intercept, RescaleSlope=1))


def test_and_large_ones_in_which_they_are_not_are_taken(tmp_path):
    found = dicom.read(with_element(tmp_path / "in.dcm", 0x00281052, "DS", b"1e09", RescaleSlope=1))
    assert np.ptp(found.levels()) == 1
