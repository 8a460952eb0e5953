import pytest

from cxr.sources.layout import class_of, classes, common, is_mask, unknown


@pytest.mark.parametrize(
    ("path", "klass"),
    [
        ("chest_xray/train/NORMAL/IM-0115-0001.jpeg", "NORMAL"),
        ("COVID-19/a.png", "COVID-19"),
        ("Aortic enlargement/a.png", "Aortic enlargement"),
        ("ward/a.png", "ward"),
        ("结核/a.png", "结核"),
        ("Viral Pneumonia/images/a.png", "Viral Pneumonia"),
        ("ward/png/train/a.png", "ward"),
        ("Pneumonia/Doe Jane/a.png", "Pneumonia"),
        ("TB/patient7/study1/a.png", "TB"),
    ],
)
def test_folders_that_are_classes(path, klass):
    assert class_of(path, ["ward", "结核"])[0] == klass


@pytest.mark.parametrize(
    "path",
    [
        "a.png",
        "images/a.png",
        "images_001/images/00000001_000.png",
        "CXR_png/CHNCXR_0001_0.png",
        "NLMCXR_png/CXR1_1_IM-0001-3001.png",
        "train/patient00001/study1/view1_frontal.jpg",
        "files/p10/p10000032/s50414267/02aa804e.dcm",
        "LIDC-IDRI-0125/01-01-2000-30178/3000566-03192/1-001.dcm",
        "sub-S03047/ses-E06064/mod-rx/a.png",
        "DICOM/PA000001/ST000001/SE000001/IM000001",
        "1.2.840.113619.2.1/1.2.840.113619.2.2/1.2.3",
        "0004cfab-14fd-4e49-80ba-63a80b6bddd6/a.dcm",
        "2026-01-03/a.png",
        "0004711/a.png",
        "Doe^Jane/a.png",
        "Doe^Jane/study 1/a.png",  # above a study lies a patient, whose name is no finding
    ],
)
def test_folders_that_are_none(path):
    assert class_of(path) == ("", False)
    assert unknown(path, 0) == ("Doe^Jane" if path == "Doe^Jane/a.png" else "")


def test_a_folder_that_may_be_a_class_is_told():
    assert [unknown("all/odd/png/a.png", shared) for shared in (0, 1, 2)] == ["odd", "odd", ""]


def test_a_folder_for_each_patient_is_no_class():
    people = ["Mueller Hans/a.png", "Mueller Hans/a.dcm", "Schmidt Eva/1.2.3"]
    assert classes([*people, "TB/a.png"]) == dict.fromkeys(people, ("", False)) | {"TB/a.png": ("TB", True)}


@pytest.mark.parametrize(
    ("paths", "count"),
    [
        (["a/b/1", "a/b/2"], 2),
        (["a/b/1", "a/c/1"], 1),
        (["a/b/1", "a/2"], 1),
        (["a", "b"], 0),
        (["a/x/1", "a/b"], 1),
        (["ab/1", "a/1"], 0),
        ([], 0),
    ],
)
def test_common_folders(paths, count):
    assert common(paths) == count


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("COVID/masks/a.png", True),
        ("ManualMask/leftMask/MCUCXR_0001_0.png", True),
        ("mask/CHNCXR_0001_0_mask.png", True),
        ("CHNCXR_0001_0_mask.png", True),
        ("unmasked/a.png", False),
        ("NORMAL/mask ward.png", False),
    ],
)
def test_masks(path, expected):
    assert is_mask(path) == expected
