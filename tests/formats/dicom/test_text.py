"""Text of a derived image keeps its bytes, in whatever character set it is and wherever it lies."""

import struct
from datetime import datetime

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cxr.formats.decode import Unusable
from cxr.formats.dicom import radiograph as dicom
from cxr.formats.dicom.derived import derived, write
from tests.support.dicom_files import dataset, save, values

TEXTS = {
    "ISO_IR 192": "M\xfcller AG 1".encode("latin-1"),
    "ISO_IR 100": b"ABC\x80\x81xyz",
    "ISO_IR 13": b"\xb1\xb2\xb3 \\x",
    "\\ISO 2022 IR 87": b"\x1b$B;3ED\x1b(BAB",
}


def made(path, now=None):
    found = dicom.read(path)
    doubled = np.kron(found.stored, np.ones((2, 2), int))
    write(path.with_name("out.dcm"), derived(found, doubled, 2, "Enhanced", "maker", now))
    return dcmread(path.with_name("out.dcm"))


def with_text(path, data, text, syntax=ExplicitVRLittleEndian):
    """Write `data`, in which some element holds as many letters Q, with `text` in their place."""
    content = save(data, path, syntax).read_bytes()
    assert content.count(b"Q" * len(text)) == 1
    path.write_bytes(content.replace(b"Q" * len(text), text))
    return path


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("characters", TEXTS)
def test_the_name_of_who_made_private_elements_keeps_its_bytes(tmp_path, characters, syntax):
    text = TEXTS[characters] + b" " * (len(TEXTS[characters]) % 2)
    data = dataset(values(), SpecificCharacterSet=characters.split("\\"))
    data.add_new(0x00290010, "LO", "Q" * len(text))
    data.add_new(0x00291001, "UN", bytes(4))
    out = made(with_text(tmp_path / "in.dcm", data, text, syntax))
    assert out.get_item(0x00290010).value == text


@pytest.mark.parametrize("hour", [b"+0100 \xfc ", b"+0100   "])
def test_the_time_zone_keeps_its_bytes_and_is_understood(tmp_path, hour):
    data = dataset(values(), SpecificCharacterSet="ISO_IR 192", TimezoneOffsetFromUTC="Q" * 8)
    out = made(with_text(tmp_path / "in.dcm", data, hour), datetime(2026, 1, 2).astimezone())
    assert out.get_item(0x00080201).value == hour


def test_what_lies_in_an_unknown_sequence_of_unknown_length_keeps_its_bytes(tmp_path):
    """Its items have no value representations, whatever the file is written in (PS3.5, 6.2.2, note 5)."""
    text, order = "M\xfcll".encode("latin-1"), "<HHL"
    item = struct.pack(order, 0x0008, 0x103E, 4) + text
    item += struct.pack(order, 0x0028, 0x0106, 2) + struct.pack("<H", 7)  # of a kind that other elements tell
    item += struct.pack(order, 0x0029, 0x0010, 4) + text + struct.pack(order, 0x0029, 0x1001, 4) + text
    inner = struct.pack(order, 0x0008, 0x0104, 4) + text
    nested = struct.pack(order, 0x0008, 0x1032, 8 + len(inner)) + struct.pack(order, 0xFFFE, 0xE000, len(inner)) + inner
    item = nested + item
    sequence = struct.pack("<HH2sHL", 0x0029, 0x1010, b"UN", 0, 0xFFFFFFFF)
    sequence += struct.pack(order, 0xFFFE, 0xE000, len(item)) + item + struct.pack(order, 0xFFFE, 0xE0DD, 0)
    data = dataset(values(), SpecificCharacterSet="ISO_IR 192")
    data.add_new(0x00290010, "LO", "SOMEONE")
    content = save(data, tmp_path / "in.dcm").read_bytes()
    place = content.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    (tmp_path / "in.dcm").write_bytes(content[:place] + sequence + content[place:])
    (found,) = made(tmp_path / "in.dcm")[0x00291010].value
    assert (tmp_path / "out.dcm").read_bytes().count(text) == 4
    assert found.get_item(0x0008103E).value == found.get_item(0x00290010).value == found.get_item(0x00291001).value == text
    assert found.SmallestImagePixelValue == 7
    assert found[0x00081032].value[0].get_item(0x00080104).value == text


def test_what_is_no_text_is_refused_by_its_name(tmp_path):
    data = dataset(values())
    data.add_new(0x0008103E, "SQ", [Dataset()])
    with pytest.raises(Unusable, match="SeriesDescription is no text") as error:
        made(save(data, tmp_path / "in.dcm"))
    assert error.value.kind == "damaged"
