"""Boxes in the part of a radiograph that is kept, against boxes that are drawn and cut out."""

import numpy as np
import pytest

from cxr.dataset.boxes import Window, within

BOXES = "NODULE 0.25 0.5 0.125 0.25|PNEUMONIA 0 0 1 0.25|0.9 0.1 0.1 0.1"


def drawn(boxes, rows, columns):
    """Return what lies in one of `boxes`, drawn on an image of `rows` and `columns`, by finding."""
    found = {}
    for box in boxes.split("|") if boxes else []:
        *finding, left, top, width, height = box.split()
        picture = found.setdefault(" ".join(finding), np.zeros((rows, columns), bool))
        across = slice(round(float(left) * columns), round((float(left) + float(width)) * columns))
        picture[round(float(top) * rows) : round((float(top) + float(height)) * rows), across] = True
    return found


@pytest.mark.parametrize(("rows", "columns"), [(400, 800), (800, 400), (400, 400)])
def test_boxes_in_a_square_are_what_of_them_lies_there(rows, columns):
    window = Window.of(rows, columns, "square")
    inside = within(window, rows, columns, BOXES)
    cut = (slice(window.top, window.top + window.rows), slice(window.left, window.left + window.columns))
    expected = {name: picture[cut] for name, picture in drawn(BOXES, rows, columns).items() if picture[cut].any()}
    found = drawn(inside, window.rows, window.columns)
    assert found.keys() == expected.keys()
    for name, picture in expected.items():
        np.testing.assert_array_equal(found[name], picture)
    shares = [float(number) for box in inside.split("|") for number in box.split()[-4:]]
    assert all(0 <= share <= 1 for share in shares)


def test_boxes_of_a_whole_frame_stay_as_they_are():
    assert within(Window.of(400, 800, "whole"), 400, 800, BOXES) == BOXES
    assert within(Window.of(400, 800, "square"), 400, 800, "") == ""
