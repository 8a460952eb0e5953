import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from cxr.formats.decode import Unusable
from cxr.formats.dicom.header import begins_dicom, header, is_dicom
from cxr.formats.read import read
from tests.support.dicom_files import BY_GDCM, BY_PYDICOM, dataset, save, values


def written(path, **more):
    """Write a header of `more`; what is None is left out."""
    data = dataset(values())
    for name, value in more.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    return save(data, path)


@pytest.mark.parametrize("syntax", [*BY_PYDICOM, *BY_GDCM], ids=lambda syntax: syntax.name.replace(" ", ""))
def test_dicom_is_told_by_its_content(tmp_path, syntax):
    path = save(dataset(values()), tmp_path / "a.jpeg", syntax)
    assert is_dicom(path)
    assert header(path).modality == "CR"


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_dicom_without_preamble_is_told_by_its_elements(tmp_path, implicit, little):
    data = dataset(values())
    del data.file_meta
    data.save_as(tmp_path / "a", implicit_vr=implicit, little_endian=little)
    assert is_dicom(tmp_path / "a")
    assert header(tmp_path / "a").patients[0] == "number 4711"


def test_dicom_with_a_meta_header_but_no_preamble_is_told(tmp_path):
    path = save(dataset(values()), tmp_path / "a")
    path.write_bytes(path.read_bytes()[132:])
    assert is_dicom(path)
    assert header(path).patients[0] == "number 4711"
    assert np.array_equal(read(path).pixels, values())


@pytest.mark.parametrize(
    "content",
    [b"", b"DICM", bytes(200), b"\x08\0" * 300, b"\x08\x00\x05\x00", b"text, and more text " * 50, b"PK\x03\x04" + bytes(500)],
)
def test_what_is_no_dicom_is_told(tmp_path, content):
    (tmp_path / "a.dcm").write_bytes(content)
    assert not is_dicom(tmp_path / "a.dcm")
    assert not begins_dicom(content)
    with pytest.raises(Unusable, match="no DICOM file") as error:
        header(tmp_path / "a.dcm")
    assert error.value.kind == "damaged"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_images_are_no_dicom(tmp_path, kind):
    Image.fromarray(values(8).astype(np.uint8)).save(tmp_path / "a", kind)
    assert not is_dicom(tmp_path / "a")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"PatientID": "1"}, {"PatientID": "1", "PatientName": "Roe^Jane"}, True),
        ({"PatientID": "1"}, {"PatientID": " 1 "}, True),
        ({"PatientID": "ab1"}, {"PatientID": "AB1", "PatientName": "Roe^Jane"}, True),
        ({"PatientID": "1"}, {"PatientID": "2"}, True),  # the same name and date of birth
        ({"PatientID": "1"}, {"PatientID": "2", "PatientName": "Roe^Jane"}, False),
        ({"PatientID": "1", "PatientBirthDate": ""}, {"PatientID": "2", "PatientBirthDate": ""}, False),
        ({"PatientID": "1", "PatientBirthDate": "19000101"}, {"PatientID": "2", "PatientBirthDate": "19000101"}, False),
        ({"PatientID": "1", "IssuerOfPatientID": "A"}, {"PatientID": "1", "PatientName": "D^J"}, True),
        ({"PatientID": "1"}, {"PatientID": ""}, True),
        ({"PatientID": "ANON"}, {"PatientID": "ANON", "PatientName": "Roe^Jane"}, False),
        ({"PatientID": "0000"}, {"PatientID": "0000", "PatientBirthDate": "19800101"}, False),
        ({"PatientID": "", "PatientName": "Doe^Jane"}, {"PatientID": "", "PatientName": "DOE^JANE^^"}, True),
        ({"PatientID": "", "PatientBirthDate": "19700101"}, {"PatientID": "", "PatientBirthDate": "19700102"}, False),
        ({"PatientID": "", "PatientName": "Doe^Jane"}, {"PatientID": "", "PatientName": "Doe^John"}, False),
    ],
)
def test_patients_are_told_apart(tmp_path, first, second, same):
    found = [header(written(tmp_path / name, **more)).patients for name, more in (("a", first), ("b", second))]
    assert all(found)
    assert bool({*found[0]} & {*found[1]}) == same


@pytest.mark.parametrize("more", [{"PatientID": "", "PatientName": ""}, {"PatientID": None, "PatientName": None}])
def test_no_patient_is_no_patient(tmp_path, more):
    found = header(written(tmp_path / "a", **more))
    assert (found.patients, found.placeholder) == ((), False)


@pytest.mark.parametrize("number", ["", "0", "000000", "anon", "ANONYMIZED", "Unknown", "null", "NONE"])
@pytest.mark.parametrize("name", ["Anonymous", "ANON^PATIENT", "Unknown^Unknown", "Anonymised^^"])
def test_placeholders_are_no_patients(tmp_path, number, name):
    found = header(written(tmp_path / "a", PatientID=number, PatientName=name))
    assert (found.patients, found.placeholder) == ((), True)


@pytest.mark.parametrize("number", ["ANON0012", "ANON 0012", "10"])
def test_pseudonyms_are_patients(tmp_path, number):
    found = header(written(tmp_path / "a", PatientID=number, PatientName="Anonymous"))
    assert (found.patients, found.placeholder) == ((f"number {number}",), True)


@pytest.mark.parametrize(
    ("more", "age"),
    [
        ({"PatientAge": "045Y"}, 45),
        ({"PatientAge": "011M"}, 0.92),
        ({"PatientAge": "006W"}, 0.11),
        ({"PatientAge": "010D"}, 0.03),
        ({"PatientAge": "000D"}, 0),
        ({"PatientAge": "45"}, 56.0),  # without a unit, so from the dates: born in 1970, seen in 2026
        ({}, 56.0),
        ({"StudyDate": "", "AcquisitionDate": "20000101"}, 30.0),
        ({"PatientBirthDate": "19650312"}, 61.0),
        ({"PatientBirthDate": "20300101"}, None),
        ({"PatientBirthDate": ""}, None),
        ({"PatientBirthDate": "19701399"}, None),
    ],
)
def test_age_is_in_years(tmp_path, more, age):
    found = header(written(tmp_path / "a", **more)).age
    assert found == (None if age is None else pytest.approx(age, abs=0.006))


@pytest.mark.parametrize(
    ("more", "spacing"),
    [
        ({}, 0.2),
        ({"PixelSpacing": 0.2}, 0.2),
        ({"PixelSpacing": None}, 0.143),
        ({"PixelSpacing": None, "EstimatedRadiographicMagnificationFactor": 1.1}, 0.13),
        ({"PixelSpacing": [0, 0]}, 0.143),
        ({"PixelSpacing": None, "ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.175, 0.175]}, 0.175),
        ({"PixelSpacing": None, "ImagerPixelSpacing": None}, None),
    ],
)
def test_spacing_is_that_of_the_patient_or_else_of_the_detector(tmp_path, more, spacing):
    found = header(written(tmp_path / "a", **more)).spacing
    assert found == (None if spacing is None else pytest.approx(spacing))


def test_view_sex_and_modality_are_normalised(tmp_path):
    found = header(written(tmp_path / "a", ViewPosition="pa ", PatientSex="f", Modality="dx"))
    assert (found.view, found.sex, found.modality) == ("PA", "F", "DX")
    assert header(written(tmp_path / "a", ViewPosition="AP_Supine")).view == "AP SUPINE"
    found = header(written(tmp_path / "a", PatientSex="X", ViewPosition="PA HR MUELLER"))
    assert (found.view, found.sex) == ("", "")


def test_what_cannot_be_understood_counts_as_not_said(tmp_path, recwarn):
    path = written(tmp_path / "a", PatientAge="045Y")
    path.write_bytes(path.read_bytes().replace(b"0.2\\0.3", b"0,2\\0.3").replace(b"045Y", b"0\xff5Y"))
    found = header(path)
    assert (found.patients[0], found.spacing, found.age) == ("number 4711", 0.143, 56)
    assert not recwarn.list


@pytest.mark.parametrize("kept", [140, 400, 700])
def test_a_header_that_breaks_off_gives_what_there_is_or_is_damaged(tmp_path, kept):
    path = written(tmp_path / "a")
    path.write_bytes(path.read_bytes()[:kept])
    try:
        assert header(path).sex == ""
    except Unusable as error:
        assert error.kind == "damaged"  # noqa: PT017
        assert "\n" not in error.reason  # noqa: PT017


def test_a_dicomdir_is_no_radiograph(tmp_path):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.FileSetID = "DISC"
    data.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    with pytest.raises(Unusable, match="DICOMDIR") as error:
        read(tmp_path / "DICOMDIR")
    assert error.value.kind == "no radiograph"
