import pytest

from cxr.sources.patients import patient


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("person100_bacteria_477.jpeg", "person100"),
        ("PNEUMONIA/person1_virus_6.jpeg", "person1"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("IM-0666-0001-0002.jpeg", "IM-0666"),
        ("NORMAL2-IM-0374-0001.jpeg", "IM-0374"),
        ("NORMAL2-IM-0374-0001-0002.jpeg", "IM-0374"),
        ("NORMAL-1049278-0001.jpeg", "ID-1049278"),
        ("BACTERIA-1008087-0003.jpeg", "ID-1008087"),
        ("VIRUS-1008087-0001.jpeg", "ID-1008087"),
        ("NORMAL/my scan.v2.png", "my scan.v2"),
        ("person1_virus.jpeg", "person1_virus"),
        ("IM-0115.jpeg", "IM-0115"),
        ("xIM-0115-0001.jpeg", "xIM-0115-0001"),
    ],
)
def test_patient_of_each_family_of_names(name, expected):
    assert patient(name) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("person3_bacteria_10.jpeg", "person3_virus_15.jpeg"),  # numbers may restart by disease; together errs on the safe side
        ("IM-0374-0001.jpeg", "NORMAL2-IM-0374-0001-0001.jpeg"),
        ("IM-0374-0001.jpeg", "IM-374-0002.jpeg"),
    ],
)
def test_equal_numbers_are_one_patient(one, other):
    assert patient(one) == patient(other)


def test_a_longer_number_is_another_patient():
    assert len({patient(f"person{n}_virus_1.jpeg") for n in (1, 10, 11, 100, 110)}) == 5
