"""Where something is ill: boxes as `cxr.sources.table` writes them, in shares of an image's width and height."""

from typing import NamedTuple

from cxr.dataset.settings import Frame
from cxr.sources.table import BETWEEN

Box = tuple[float, float, float, float]
"""Left, top, width and height, in shares of the image."""


class Window(NamedTuple):
    """What of a radiograph is kept, in its own pixels."""

    top: int
    left: int
    rows: int
    columns: int

    @classmethod
    def of(cls, rows: int, columns: int, frame: Frame) -> "Window":
        """Return all of a radiograph of so many pixels, or its central square."""
        if frame == "whole":
            return cls(0, 0, rows, columns)
        side = min(rows, columns)
        return cls((rows - side) // 2, (columns - side) // 2, side, side)


def within(window: Window, rows: int, columns: int, boxes: str) -> str:
    """Return `boxes` in an image of `rows` and `columns` as boxes in the `window` of it: cut off there, left out beyond.

    >>> within(Window(0, 50, 100, 100), 100, 200, "NODULE 0.5 0.25 0.1 0.2|NODULE 0 0 0.1 0.1")
    'NODULE 0.5 0.25 0.2 0.2'
    """
    if (window.rows, window.columns) == (rows, columns):
        return boxes
    found = []
    for box in boxes.split(BETWEEN) if boxes else []:
        *finding, left, top, width, height = box.split()
        across = _cut(float(left), float(width), columns, window.left, window.columns)
        down = _cut(float(top), float(height), rows, window.top, window.rows)
        if across[1] > 0 and down[1] > 0:
            shares = across[0], down[0], across[1], down[1]
            found.append(" ".join([*finding, *(f"{share:.6g}" for share in shares)]))
    return BETWEEN.join(found)


def of_finding(boxes: str, finding: str) -> list[Box]:
    """Return which of `boxes` are of `finding`; a box of which the table does not say what is in it is of none.

    >>> of_finding("NODULE 0.5 0.25 0.1 0.2|0 0 0.1 0.1", "NODULE")
    [(0.5, 0.25, 0.1, 0.2)]
    """
    found = []
    for box in boxes.split(BETWEEN) if boxes else []:
        *name, left, top, width, height = box.split()
        if " ".join(name) == finding:
            found.append((float(left), float(top), float(width), float(height)))
    return found


def _cut(start: float, length: float, whole: int, first: int, kept: int) -> tuple[float, float]:
    """Return where, and for how long, a stretch lies in the part of a line that is `kept`; both in shares of that."""
    begin, end = ((place * whole - first) / kept for place in (start, start + length))
    begin, end = max(begin, 0.0), min(end, 1.0)
    return begin, end - begin
