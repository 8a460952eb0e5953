"""What a derived image holds at every depth of its sequences."""

import shutil
import struct
import subprocess

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.tag import Tag

from cxr.formats.decode import Unusable
from cxr.formats.dicom import radiograph as dicom
from cxr.formats.dicom.derived import derived, write
from tests.support.dicom_files import dataset, save, values

FRAGMENTS = encapsulate([b"\xff\xd8picture\xff\xd9"])


def made(path):
    found = dicom.read(path)
    write(path.with_name("out.dcm"), derived(found, np.kron(found.stored, np.ones((2, 2), int)), 2, "Enhanced", "maker"))
    return dcmread(path.with_name("out.dcm"))


def fragments(tag):
    """Return an element whose value is compressed pixels, as it is written."""
    return RawDataElement(Tag(tag), "OB", 0xFFFFFFFF, FRAGMENTS, 0, False, True)


def holding(*tags):
    item = Dataset()
    item.TextString = "beside"
    for tag in tags:
        item[tag] = fragments(tag)
    item.set_original_encoding(False, True, "iso8859")
    return item


@pytest.mark.parametrize("place", ["private", "public", "deeper", "element"])
def test_compressed_pixels_other_than_the_images_own_are_dropped(tmp_path, place):
    data = dataset(values())
    data.add_new(0x00290010, "LO", "SOMEONE")
    kept = Dataset()
    kept.TextString = "kept"
    if place == "private":
        data.add_new(0x00291010, "SQ", [kept, holding(0x7FE00010)])
    elif place == "public":
        data.ReferencedSeriesSequence = [kept, holding(0x7FE00010)]
    elif place == "deeper":
        kept.ReferencedImageSequence = [holding(0x7FE00010)]
        data.ReferencedSeriesSequence = [kept]
    else:
        data[0x00291010] = fragments(0x00291010)
        data.ReferencedSeriesSequence = [kept]
    data.set_original_encoding(False, True, "iso8859")
    path = save(data, tmp_path / "in.dcm")
    assert b"picture" in path.read_bytes()
    out = made(path)
    assert b"picture" not in (tmp_path / "out.dcm").read_bytes()
    (found,) = out[0x00291010].value if place == "private" else out.ReferencedSeriesSequence
    assert found.TextString == "kept"
    assert "ReferencedImageSequence" not in found
    if shutil.which("dcmconv"):
        subprocess.run(["dcmconv", "+ti", tmp_path / "out.dcm", tmp_path / "other.dcm"], check=True)


def test_what_should_be_a_sequence_and_is_text_is_named(tmp_path):
    path = save(dataset(values(), InstanceNumber="123456"), tmp_path / "in.dcm")
    element = struct.pack("<HH2sH", 0x0020, 0x0013, b"IS", 6) + b"123456"
    content = path.read_bytes()
    assert content.count(element) == 1
    path.write_bytes(content.replace(element, element + struct.pack("<HH2sH", 0x0040, 0x0555, b"LO", 6) + b"abcdef"))
    with pytest.raises(Unusable, match="AcquisitionContextSequence is no sequence"):
        made(path)
