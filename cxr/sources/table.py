"""What a source knows of its radiographs: `table.csv`, which lies beside them in the folder that download fills."""

import csv
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cxr.foundation.errors import UserError
from cxr.foundation.files import replacing, whole

NAME = "table.csv"
BETWEEN = "|"
"""Between several findings, or several boxes, of one radiograph."""
EXTERNAL = "external"
PARTS = ("train", "val", "test", EXTERNAL)
"""From the least to the most secluded."""

_SIDES = 4  # numbers of a box
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PATHS = frozenset(("file", "name", "mask"))


class Listed(NamedTuple):
    """A radiograph, as the table lists it: all texts, empty where the source says nothing."""

    file: str
    """Its path below the folder, with forward slashes."""
    name: str
    """What tables and pictures call it: `file`, or, where that could tell whom it shows, a number such as p00001-0001."""
    patient: str = ""
    findings: str = ""
    """NORMAL, PNEUMONIA, TUBERCULOSIS, NODULE or others by the source's name, several joined by BETWEEN."""
    split: str = ""
    """The part that the source wants it in: train, val, test or external."""
    view: str = ""
    """PA, AP, LL and others (DICOM, View Position, 0018,5101)."""
    age: str = ""
    """Years."""
    sex: str = ""
    """M, F or O."""
    spacing: str = ""
    """Millimetres from one pixel to the next."""
    boxes: str = ""
    """What is ill, joined by BETWEEN: the finding, if known, left, top, width and height, as shares of the image's sides."""
    mask: str = ""
    """The path, below the folder, of an image that is not black where something is ill."""
    collection: str = ""
    """Which of several sets of radiographs it is of, by its folder in the source."""


def plain(path: str) -> str:
    """Return `path` with blanks for control characters other than ends of lines: csv quotes only those."""
    return "\n".join(_CONTROL.sub(" ", line) for line in path.split("\n"))


def write(folder: Path, rows: Iterable[Listed]) -> None:
    """Write `rows`, in the order of their files, to the table of `folder`, whole or not at all.

    Control characters become blanks; ends of lines stay in paths, which are those of files.
    """
    with replacing(folder / NAME) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Listed._fields)
        for row in sorted(rows):
            cells = row._asdict().items()
            writer.writerow([plain(cell) if name in _PATHS else _CONTROL.sub(" ", cell) for name, cell in cells])


def read(folder: Path) -> list[Listed]:
    """Return the rows of the table of `folder`, in the order of their files.

    Raises UserError when it is missing, damaged, or is not what `write` writes.
    """
    path = folder / NAME
    with whole(path), path.open(encoding="utf-8", newline="") as file:
        try:
            rows = list(csv.reader(file, strict=True))
        except csv.Error as error:
            raise UserError(f"{path} is damaged ({error}); run the stage download again") from None
    if not rows or tuple(rows[0]) != Listed._fields:
        raise UserError(f"{path} does not have the columns {', '.join(Listed._fields)}; run the stage download again")
    for number, row in enumerate(rows[1:], 1):
        if problem := _problem(row):
            raise UserError(f"{path}: row {number} has {problem}; run the stage download again")
    return [Listed(*row) for row in rows[1:]]


def _problem(cells: Sequence[str]) -> str:
    """Return what is wrong with a row of these `cells`, empty when nothing is."""
    if len(cells) != len(Listed._fields):
        return f"{len(cells)} cells"
    row = Listed(*cells)
    if not row.file:
        return "no file"
    if row.split not in ("", *PARTS):
        return f"the split {row.split!r}"
    if row.spacing and not _is_length(row.spacing):
        return f"the spacing {row.spacing!r}"
    for box in row.boxes.split(BETWEEN) if row.boxes else []:
        if len(box.split()) < _SIDES or not all(map(_is_number, box.split()[-_SIDES:])):
            return f"the box {box!r}"
    return ""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_length(text: str) -> bool:
    return _is_number(text) and float(text) > 0
