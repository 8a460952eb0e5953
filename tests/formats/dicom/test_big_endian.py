"""Files in big-endian order (DICOM PS3.5, A.3): what is derived from them is little-endian, and says the same."""

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from cxr.formats.dicom import radiograph as dicom
from cxr.formats.dicom.derived import derived, write
from tests.support.dicom_files import dataset, save, values

JIS = b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
KATAKANA = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3\\x~y"
KOREAN = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"
TEXTS = {
    "katakana": ("ISO_IR 13", KATAKANA),
    "kanji alone": ("ISO 2022 IR 87", b"Yamada^Tarou=" + JIS),
    "kanji second": ("\\ISO 2022 IR 87", b"Yamada^Tarou=" + JIS),
    "korean alone": ("ISO 2022 IR 149", KOREAN),
    "misspelt": ("ISO 2022-IR 87", JIS),
    "none of DICOM's": ("ISO_IR 999", b"M\xfcller^A "),
    "another than said": ("ISO_IR 192", b"M\xfcller^A "),
    "not said": ("", b"M\xfcller^A "),
    "Chinese": ("GB18030", "王^小东".encode("gb18030")),
    "Thai": ("ISO_IR 166", b"\xca\xc1\xaa\xd2\xc2"),
}


def made(path):
    found = dicom.read(path)
    write(path.with_name("out.dcm"), derived(found, np.kron(found.stored, np.ones((2, 2), int)), 2, "Enhanced", "maker"))
    return path.with_name("out.dcm")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, ExplicitVRLittleEndian], ids=["big", "little"])
@pytest.mark.parametrize("kind", TEXTS)
def test_text_keeps_its_bytes_whatever_set_of_characters_is_said(tmp_path, kind, syntax):
    said, text = TEXTS[kind]
    text += b" " * (len(text) % 2)
    letters = {
        tag: bytes([65 + index]) * len(text)
        for index, tag in enumerate(("PatientName", "Institution", "Comments", "In", "Maker", "Own"))
    }
    inner = Dataset()
    inner.PatientName = letters["In"].decode()
    data = dataset(values(), PatientName=letters["PatientName"].decode(), InstitutionName=letters["Institution"].decode())
    data.SpecificCharacterSet = "S" * (len(said) + len(said) % 2) if said else None
    data.PatientComments, data.OtherPatientIDsSequence = letters["Comments"].decode(), [inner]
    data.add_new(0x00290010, "LO", letters["Maker"].decode())
    data.add_new(0x00291001, "LO", letters["Own"].decode())
    path = save(data, tmp_path / "in.dcm", syntax)
    content = path.read_bytes()
    for letter in letters.values():
        assert content.count(letter) == 1
        content = content.replace(letter, text)
    path.write_bytes(content.replace(b"S" * (len(said) + len(said) % 2), said.encode().ljust(len(said) + len(said) % 2)))
    content = made(path).read_bytes()
    assert content.count(text) == 6
    assert said.encode() in content


def test_numbers_of_every_kind_are_turned_wherever_they_are(tmp_path):
    kinds = {
        "US": [1, 515], "SS": [-2, 3], "UL": [1, 1 << 30], "SL": [-5, 6], "FL": [1.5, -2.25], "FD": [0.1, 1e300],
        "SV": [-(1 << 60), 7], "UV": [1 << 63, 8], "AT": [0x00100020, 0x7FE00010],
    }  # fmt: skip
    words = {"OW": "u2", "OL": "u4", "OF": "f4", "OD": "f8", "OV": "u8"}

    def filled():
        data = Dataset()
        data.add_new(0x00090010, "LO", "SOMEONE")
        for place, (kind, numbers) in enumerate(kinds.items()):
            data.add_new(0x00091000 + place, kind, numbers)
        for place, (kind, size) in enumerate(words.items()):
            data.add_new(0x00091080 + place, kind, np.array([1, 515, 7], f">{size}").tobytes())
        return data

    data = dataset(values(), OtherPatientIDsSequence=[filled()])
    data.update(filled())
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    data.PixelData = values().astype(">u2").tobytes()
    data.save_as(tmp_path / "in.dcm", enforce_file_format=True)
    out = dcmread(made(tmp_path / "in.dcm"))
    for found in (out, out.OtherPatientIDsSequence[0]):
        for place, numbers in enumerate(kinds.values()):
            assert [float(each) for each in found[0x00091000 + place].value] == pytest.approx(numbers)
        for place, size in enumerate(words.values()):
            assert np.frombuffer(found[0x00091080 + place].value, f"<{size}").tolist() == [1, 515, 7]
