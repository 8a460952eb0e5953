import itertools
import re

import pytest

from cxr.sources.patients import copies, patient

# Of each public set: two images of one patient, then one of another, as unpacked. The names are those that the sets have.
SETS = {
    "Kermany, person": (
        "NORMAL/person3_bacteria_10.jpeg",
        "PNEUMONIA/person3_virus_15.jpeg",
        "PNEUMONIA/person31_virus_15.jpeg",
    ),
    "Kermany, IM": ("NORMAL/IM-0374-0001.jpeg", "NORMAL/NORMAL2-IM-0374-0001-0002.jpeg", "NORMAL/IM-0375-0001.jpeg"),
    "Kermany, Mendeley": ("PNEUMONIA/BACTERIA-13-0001.jpeg", "PNEUMONIA/VIRUS-13-0003.jpeg", "NORMAL/NORMAL-131-0001.jpeg"),
    "NIH": ("images_001/images/00000013_005.png", "images_002/images/00000013_026.png", "images_001/images/00000131_005.png"),
    "CheXpert": (
        "CheXpert-v1.0-small/train/patient00013/study1/view1_frontal.jpg",
        "CheXpert-v1.0-small/train/patient00013/study2/view2_lateral.jpg",
        "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg",
    ),
    "MIMIC": (
        "files/p10/p10000013/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.dcm",
        "files/p10/p10000013/s53189527/2a2277a9-b0ded155-c0de8eb9-c124d10e-82c5caab.dcm",
        "files/p10/p10000131/s50414267/174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962.dcm",
    ),
    "Open-i": ("CXR13_1_IM-0001-3001.png", "CXR13_1_IM-0001-4001.png", "CXR131_1_IM-0374-1001.png"),
    "Open-i, Kaggle": (
        "images/13_IM-0374-1001.dcm.png",
        "images/13_IM-0374-1001-0001.dcm.png",
        "images/131_IM-0374-1001.dcm.png",
    ),
    "Shenzhen": ("CXR_png/CHNCXR_0013_0.png", "mask/CHNCXR_0013_0_mask.png", "CXR_png/CHNCXR_0131_1.png"),
    "Montgomery": ("CXR_png/MCUCXR_0013_0.png", "ManualMask/leftMask/MCUCXR_0013_0.png", "CXR_png/MCUCXR_0131_1.png"),
    "JSRT": ("Nodule154images/JPCLN013.IMG.png", "JPCLN013.png", "JPCNN013.png"),
    "LIDC": (
        "LIDC-IDRI-0013/01-01-2000-30178/3000566-03192/1-001.dcm",
        "LIDC-IDRI-0013/01-01-2000-98329/3000522-04919/000001.dcm",
        "LIDC-IDRI-0131/01-01-2000-94866/3000611-03264/1-001.dcm",
    ),
    "BIMCV": (
        "sub-S00013/ses-E06064/mod-rx/sub-S00013_ses-E06064_run-1_bp-chest_vp-ap_cr.png",
        "sub-S00013/ses-E07003/mod-rx/sub-S00013_ses-E07003_run-1_bp-chest_vp-pa_dx.png",
        "sub-S00131/ses-E06064/mod-rx/sub-S00131_ses-E06064_run-1_bp-chest_vp-ap_cr.png",
    ),
    "VinDr": (
        "train/0005e8e3701dfb1dd93d53e2ff537b6e.dicom",
        "0005e8e3701dfb1dd93d53e2ff537b6e.png",
        "train/0006e0a85696f6bb578e84fafa9a5607.dicom",
    ),
    "RSNA": (
        "stage_2_train_images/0004cfab-14fd-4e49-80ba-63a80b6bddd6.dcm",
        "0004cfab-14fd-4e49-80ba-63a80b6bddd6.png",
        "stage_2_train_images/00313ee0-9eaa-42f4-b0ab-c148ed3241cd.dcm",
    ),
    "phantoms": ("PNEUMONIA/phantom-0013-bacteria-45.jpeg", "NORMAL/phantom-0013-normal-6.jpeg", "phantom-0131-virus-9.jpeg"),
}
MARKS = (
    " (1)",
    "_hflip",
    "_vflip",
    "_zoom",
    "_jpeg.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "_png.rf.1a2b",
    "_aug0",
    "_resized",
    "-copy",
    " - Copy",
    " - Copy (2)",
    "_aug12_resized",
    " copy 2",
)


def flattened(path):
    """Return the ways in which a tree is laid flat: names alone, and folders joined to them."""
    if path.startswith(("CheXpert", "files/p", "LIDC")):  # whose names alone do not tell the patient
        return [
            path.replace("/", "_"),
            path.replace("/", "-"),
            path.removeprefix("CheXpert-v1.0-small/train/").replace("/", "_"),
        ]
    name = path.rpartition("/")[2]
    return [name] if re.match("[0-9a-f]{8}", name) else [name, path.replace("/", "_")]


def marked(path, mark):
    stem, dot, suffix = path.rpartition(".")
    return f"{stem}{mark}{dot}{suffix}"


def ways(path):
    spellings = [path, f"archive/{path}", *flattened(path)]
    return spellings + [marked(each, mark) for each in spellings for mark in MARKS]


@pytest.mark.parametrize("name", SETS)
def test_patients_of_public_sets_unpacked_flattened_and_copied(name):
    one, same, other = SETS[name]
    first, second = {patient(each) for path in (one, same) for each in ways(path)}, {patient(each) for each in ways(other)}
    assert len(first) == len(second) == 1
    assert first != second
    assert "" not in first | second


def test_no_two_schemes_give_one_name():
    names = [{patient(path) for path in paths} for set_, paths in SETS.items() if set_ != "Open-i, Kaggle"]
    assert all(not one & other for one, other in itertools.combinations(names, 2))


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # which must stay as they are: the split sorts patients by name
        ("person100_bacteria_477.jpeg", "person100"),
        ("PNEUMONIA/person1_virus_6.jpeg", "person1"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("IM-0666-0001-0002.jpeg", "IM-0666"),
        ("NORMAL2-IM-0374-0001.jpeg", "IM-0374"),
        ("IM-374-0002.jpeg", "IM-0374"),
        ("NORMAL-1049278-0001.jpeg", "ID-1049278"),
        ("BACTERIA-1008087-0003.jpeg", "ID-1008087"),
        ("phantom-0029-bacteria-45.jpeg", "phantom-0029"),
    ],
)
def test_names_of_kermanys_patients_and_of_phantoms(name, expected):
    assert patient(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "NORMAL/my scan.v2.png",
        "person1_virus.jpeg",
        "IM-0115.jpeg",
        "xIM-0115-0001.jpeg",
        "1.2.840.113619.2.1",
        "20260103_001.png",  # a day's first image is no patient of NIH's
        "sub-optimal/a.png",
        "inpatient12/a.png",
        "patients/a.png",
        "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg",  # MIMIC's, without its folders
        "d41d8cd98f00b204e9800998ecf8427e0a1b2c3d.png",
        "12345678901234567890123456789012.png",
        "p100000131/a.png",
        "tb0001.png",
        "scan_0a1b2c3d4e5f60718293a4b5c6d7e8f9.png",  # hashes of files
        "scan-0004cfab-14fd-4e49-80ba-63a80b6bddd6.png",
        "scan_jpg.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9.jpg",
        "person1_virus_x_512.jpeg",
    ],
)
def test_names_of_no_scheme(name):
    assert patient(name) == ""


@pytest.mark.parametrize("mark", ["_512", "_512x512", " 2", "_0_1234", "_512 (1)", "_hflip_512"])
@pytest.mark.parametrize("name", ["person1_virus_6.jpeg", "00000013_005.png", "CHNCXR_0013_0.png", "IM-0115-0001.jpeg"])
def test_a_number_behind_a_schemes_full_name_is_a_copys(name, mark):
    assert patient(marked(name, mark)) == patient(name) != ""


def test_macos_copies_lie_beside_their_original():
    assert copies(["6.jpeg", "6 2.jpeg", "7 2.jpeg", "8 2.jpeg", "a/7.jpeg"]) == {"6.jpeg": ["file 6"], "6 2.jpeg": ["file 6"]}


def test_a_longer_number_is_another_patient():
    assert len({patient(f"person{n}_virus_1.jpeg") for n in (1, 10, 11, 100, 110)}) == 5


@pytest.mark.parametrize("mark", MARKS)
def test_a_copy_belongs_to_its_original(mark):
    found = copies(["a/scan 7.png", f"b/{marked('scan 7.png', mark)}", "a/scan 8.png"])
    assert len(found) == 2
    assert len({tuple(names) for names in found.values()}) == 1


@pytest.mark.parametrize(
    "names",
    [
        ["chest (1).png", "chest (2).png", "chest (3).png"],  # files that Windows has renamed at once
        ["a/0001.png", "b/0001.png"],  # nothing says that these belong together
        ["scan_aug0.png"],
    ],
)
def test_what_is_no_copy(names):
    assert copies(names) == {}
