import pytest

from cxr.sources.matching import match

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
        ("00000001_000", 0),
        ("00000001_000.jpg", 0),  # converted
        ("other/images_001/00000001_000.jpg", 0),
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
    assert match(PATHS, [text]) == ({text: PATHS[number]}, [])


def test_an_umlaut_is_one_in_one_character_or_in_two():
    assert match(["Mu\u0308ller.png"], ["M\u00fcller.png"]).found == {"M\u00fcller.png": "Mu\u0308ller.png"}


@pytest.mark.parametrize(
    "text", ["", "1.2.840", "y.png", "00000001", "cfab.dcm", "images/00000001_000.png", "patient00003/study1/view1_frontal.jpg"]
)
def test_what_is_not_there(text):
    assert match(PATHS, [text]) == ({}, [])


def test_a_name_of_several_files_means_none():
    assert match(PATHS, ["view1_frontal.jpg"]) == ({}, ["view1_frontal.jpg"])


def chexpert(*numbers, top="CheXpert-v1.0-small/train"):
    return [f"{top}/patient{number:05d}/study1/view1_frontal.jpg" for number in numbers]


def test_a_table_larger_than_the_folder():
    texts, there = chexpert(*range(1, 50)), chexpert(3, 7, top="train")
    assert match(there, texts) == ({texts[2]: there[0], texts[6]: there[1]}, [])


def test_an_absent_patients_row_means_no_other_patients_file():
    there = [*chexpert(1, top="train"), "train/patient00001/study2/view1_lateral.jpg"]
    texts = chexpert(1, 3, top="CheXpert/train")
    assert match(there, texts) == ({texts[0]: there[0]}, [])
    assert match(there, texts[1:]) == ({}, [])


def test_folders_are_cut_by_one_amount():
    there = [f"ward/{i}/a.png" for i in range(5)]
    texts = [f"old/ward/{i}/a.png" for i in range(4)] + ["archive/old/ward/4/a.png"]
    assert match(there, texts).found == dict(zip(texts[:4], there, strict=False))


@pytest.mark.parametrize(
    "texts",
    [["a/1.png", "b/1.png"], ["x/a/1.png", "y/a/1.png"], ["1.png", "1.jpg"], ["set/a/1.png", "1.png"], ["a/1.png", "1"]],
)
def test_two_texts_never_mean_one_file(texts):
    found, several = match(["set/a/1.png"], texts)
    assert len(found) <= 1
    assert all(text in {"set/a/1.png", "a/1.png"} for text in found)
    assert not {*found} & {*several}


def test_a_flat_folder_may_lack_the_tables_folders():
    assert match(["1.png", "2.png"], ["old/1.png", "old/2.png"]).found == {"old/1.png": "1.png", "old/2.png": "2.png"}


def test_a_deeper_cut_does_not_make_one_folders_file_anothers():
    assert match(["train/1/a.png", "train/2/a.png"], ["train/1/a.png", "train/3/a.png", "test/2/a.png"]) == (
        {"train/1/a.png": "train/1/a.png"},
        [],
    )
