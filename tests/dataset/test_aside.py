"""Which usable images are set aside: copies, and what else shows external patients."""

import itertools

import pytest

from cxr.dataset.aside import unwanted


def rows(*told):
    """Return rows of texts such as "a.png p1 external A": file, patient, wish (- for none), and which pixels."""
    names = ("file", "patient", "split_wish", "sha256")
    return [dict(zip(names, text.replace(" - ", "  ").split(" "), strict=True)) for text in told]


def why(found):
    return {file: each.kind for file, each in found.items()}


def test_of_equal_images_the_first_is_used():
    assert why(unwanted(rows("a 1 - A", "b 1 - A", "c 2 - B"), set())) == {"b": "duplicate"}


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_of_equal_images_the_external_one_is_used_whatever_the_order(order):
    told = rows("a 1 - A", "b 3 external A", "c 1 - B")
    found = unwanted([told[i] for i in order], set())
    assert why(found) == {"a": "external patient", "c": "external patient"}  # 1 and 3 are one person


def test_one_person_under_three_names_is_external_under_all():
    told = rows("a 1 - A", "b 2 - A", "c 2 - B", "d 3 external B", "e 4 - C", "f 1 - D")
    assert why(unwanted(told, set())) == dict.fromkeys("abcf", "external patient")


def test_a_patient_whose_external_image_is_unusable_is_external():
    assert why(unwanted(rows("a 1 - A", "b 2 - B"), {"1"})) == {"a": "external patient"}


def test_copies_among_external_images_are_copies():
    told = rows("a 1 external A", "b 1 external A", "c 1 train A")
    assert why(unwanted(told, set())) == {"b": "duplicate", "c": "external patient"}
