import pytest

from cxr.foundation.errors import UserError
from cxr.sources.matching import Index

PATHS = [
    "set/images_001/00000001_000.png",
    "set/train/patient00001/study1/view1_frontal.jpg",
    "set/train/patient00002/study1/view1_frontal.jpg",
    "set/dicom/0004cfab.dcm",
    "set/1.2.840.5",
    "set/1.2.840.6.dcm",
    "set/images/x.png",
    "set/masks/x.png",
    "x.png",
]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("set/images_001/00000001_000.png", 0),
        ("00000001_000.png", 0),  # NIH
        ("images/00000001_000.png", 0),  # a folder that is not there
        ("00000001_000", 0),
        ("00000001_000.jpg", 0),  # converted
        ("CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg", 1),
        ("train\\patient00002\\study1\\view1_frontal.jpg", 2),
        ("0004cfab", 3),  # RSNA
        ("1.2.840.5", 4),
        ("1.2.840.6", 5),
        ("masks/x.png", 7),
        ("x.png", 8),  # that very path
    ],
)
def test_what_a_table_writes_finds_its_file(text, number):
    assert Index(PATHS, "t.csv").find(text) == PATHS[number]


def test_an_umlaut_is_one_in_one_character_or_in_two():
    assert Index(["Mu\u0308ller.png"], "t.csv").find("M\u00fcller.png") == "Mu\u0308ller.png"


@pytest.mark.parametrize("text", ["", "1.2.840", "y.png", "00000001", "cfab.dcm"])
def test_what_is_not_there(text):
    assert not Index(PATHS, "t.csv").find(text)


def test_a_name_of_several_files_is_refused_with_two_of_them():
    with pytest.raises(
        UserError, match=r"t\.csv: 'view1_frontal\.jpg' may be set/train/patient00001/.* or set/train/patient00002/"
    ):
        Index(PATHS, "t.csv").find("view1_frontal.jpg")
