"""What a source knows of its radiographs: `table.csv`, which lies beside them in the folder that download fills."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cxr.foundation.errors import UserError
from cxr.foundation.files import replacing, whole

NAME = "table.csv"
BETWEEN = "|"
"""Between several findings, or several boxes, of one radiograph."""


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


def write(folder: Path, rows: Iterable[Listed]) -> None:
    """Write `rows`, in the order of their files, to the table of `folder`, whole or not at all."""
    with replacing(folder / NAME) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Listed._fields)
        writer.writerows(sorted(rows))


def read(folder: Path) -> list[Listed]:
    """Return the rows of the table of `folder`, in the order of their files.

    Raises UserError when it is missing, damaged, or is not what `write` writes.
    """
    path = folder / NAME
    with whole(path), path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        if tuple(rows.fieldnames or ()) != Listed._fields:
            raise UserError(f"{path} does not have the columns {', '.join(Listed._fields)}; run the stage download again")
        return [Listed(**row) for row in rows]
