import pytest

from cxr.sources.findings import joined, of_cell, of_name, spelled
from cxr.sources.patients import patient


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Normal", "NORMAL"),
        ("No Finding", "NORMAL"),
        ("no_finding", "NORMAL"),
        ("pneumonia", "PNEUMONIA"),
        ("TB", "TUBERCULOSIS"),
        ("Nodules", "NODULE"),
        ("COVID", "COVID"),
        ("COVID-19", "COVID-19"),
        ("Viral Pneumonia", "Viral Pneumonia"),
        ("  Pleural   Effusion ", "Pleural Effusion"),
    ],
)
def test_spellings(name, expected):
    assert spelled(name) == expected


@pytest.mark.parametrize("between", ["|", ";", ",", " | ", "; "])
def test_several_findings_of_a_cell(between):
    assert of_cell(between.join(("Effusion", "Nodule")), {}) == ["Effusion", "NODULE"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Lung Opacity", ["PNEUMONIA"]),
        ("No Lung Opacity / Not Normal", []),
        ("Normal", ["NORMAL"]),
        ("Lung Opacity|Nodule", ["PNEUMONIA", "NODULE"]),
        ("Mass, large", ["NODULE", "Mass"]),  # a whole cell comes before its parts
        ("both", ["PNEUMONIA", "NODULE"]),
        ("", []),
    ],
)
def test_meanings_of_values(cell, expected):
    meanings = {
        "Lung Opacity": "PNEUMONIA",
        "No Lung Opacity / Not Normal": "",
        "Mass, large": "NODULE|Mass",
        "both": "PNEUMONIA|NODULE",
    }
    assert of_cell(cell, meanings) == expected


@pytest.mark.parametrize(("cell", "expected"), [("0", ["NORMAL"]), ("1", ["NODULE"]), ("12", ["NODULE"]), ("", [])])
def test_a_star_stands_for_every_other_value(cell, expected):
    assert of_cell(cell, {"0": "NORMAL", "*": "NODULE"}) == expected


def test_an_empty_cell_may_mean_something():
    assert of_cell("", {"": "NORMAL"}) == ["NORMAL"]


def test_equal_findings_are_equal_texts():
    assert joined(["NODULE", "Effusion", "NODULE"]) == joined(["Effusion", "NODULE"]) == "Effusion|NODULE"
    assert joined([]) == ""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("CXR_png/CHNCXR_0001_0.png", ["NORMAL"]),
        ("CHNCXR_0662_1", ["TUBERCULOSIS"]),
        ("montgomery/images/mcucxr_0399_1.PNG", ["TUBERCULOSIS"]),
        ("MCUCXR_0001_0_mask.png", ["NORMAL"]),
        ("images_CHNCXR_0001_1 (1).png", ["TUBERCULOSIS"]),  # a set laid flat, and a copy
        ("MCUCXR_0001_1 2.png", ["TUBERCULOSIS"]),  # marks of copies that `patients.patient` forgives
        ("MCUCXR_0001_1_512x512.png", ["TUBERCULOSIS"]),
        ("CHNCXR_0001_1_1.png", ["TUBERCULOSIS"]),
        ("CHNCXR_0001_0_1.png", ["NORMAL"]),
        ("CHNCXR_0001_0_mask 2.png", ["NORMAL"]),
        ("XCHNCXR_0001_1.png", []),
        ("CHNCXR_0001_2.png", []),
        ("CHNCXR_0001.png", []),
        ("a/00000013_001.png", []),
    ],
)
def test_shenzhen_and_montgomery_say_in_the_name_whether_it_is_tuberculosis(path, expected):
    assert of_name(path) == expected


@pytest.mark.parametrize("mark", ["", " 2", "_512x512", "_1", "_0 3", " (1)", "_1 (2)", " - Copy", "_2_resized"])
def test_a_copy_in_a_folder_of_another_name_has_the_patient_and_the_finding_of_its_original(mark):
    path = f"NORMAL/MCUCXR_0001_1{mark}.png"
    assert (patient(path), of_name(path)) == ("MCUCXR-1", ["TUBERCULOSIS"])
