"""A table inside a source, which says of each radiograph what `download.columns` names."""

import csv
import io
import math
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cxr.formats.dicom.header import known_view
from cxr.foundation.errors import UserError
from cxr.sources import findings
from cxr.sources import table as listing
from cxr.sources.settings import Download

_PARTS = {
    **dict.fromkeys(("train", "training", "trainset", "train set", "training set"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "validation set", "val set", "dev"), "val"),
    **dict.fromkeys(("test", "tests", "testing", "test set", "testset"), "test"),
    **dict.fromkeys(("external", "external test", "external validation", "external test set"), "external"),
    **dict.fromkeys(("holdout", "hold out", "held out"), "external"),
}

# What a column that stands for one finding holds; CheXpert and MIMIC write -1 where a report is uncertain.
_YES, _NO = {"1", "true", "yes", "y"}, {"", "0", "-1", "false", "no", "n", "nan"}
_AGE = re.compile(r"(\d+(?:\.\d*)?)\s*([YMWD]?)", re.IGNORECASE)
_A_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}  # units of DICOM's AS (PS3.5, 6.2)
_OLDEST = 150  # years
_SEXES = {"MALE": "M", "MAN": "M", "FEMALE": "F", "WOMAN": "F", "OTHER": "O", "M": "M", "F": "F", "O": "O"}
_UNKNOWN_SEXES = frozenset(("U", "N", "UNKNOWN", "NOT KNOWN", "NAN"))  # an answer, though it tells nothing
_LONGEST = 600  # characters of what a line lists


class Box(NamedTuple):
    """Where something is ill: pixels of a frame whose size is None when it is the image's own."""

    finding: str
    left: float
    top: float
    width: float
    height: float
    frame: tuple[int, int] | None


class Row(NamedTuple):
    """What one row, or several joined, say of a radiograph: texts as in `table.Listed`, files as the table names them."""

    file: str
    patient: str = ""
    findings: tuple[str, ...] = ()
    split: str = ""
    spacing: str = ""
    view: str = ""
    age: str = ""
    sex: str = ""
    boxes: tuple[Box, ...] = ()
    mask: str = ""


class Read(NamedTuple):
    """The rows of a table, and lines on values that mean nothing."""

    rows: list[Row]
    notes: list[str]


def read(content: bytes, where: str, settings: Download) -> Read:
    """Read the CSV `content`, UTF-8 with commas, semicolons or tabs, by `settings`.

    Raises UserError, beginning with `where`, for what is no such table, for columns that it lacks, and for boxes that are none.
    """
    try:
        text = content.decode("utf-8-sig")
        header = text.partition("\n")[0]
        lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), restval="", restkey="")
        present = list(lines.fieldnames or ())
        rows = list(lines)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: no table of UTF-8 text ({error}); save it as CSV") from None
    _refuse_missing(present, where, settings)
    reader = _Reader(present, where, settings)
    return Read([reader.row(row) for row in rows], reader.notes())


def merged(one: Row, other: Row, where: str) -> Row:
    """Return what two rows say of the same radiograph. Raises UserError when they name two patients."""
    if one.patient and other.patient and one.patient != other.patient:
        raise UserError(f"{where}: {one.file} is of two patients; give it one")
    return one._replace(
        patient=one.patient or other.patient,
        findings=tuple(dict.fromkeys(one.findings + other.findings)),
        split=max(one.split, other.split, key=("", *listing.PARTS).index),
        boxes=tuple(dict.fromkeys(one.boxes + other.boxes)),
        **{name: getattr(one, name) or getattr(other, name) for name in ("spacing", "view", "age", "sex", "mask")},
    )


class _Reader:
    def __init__(self, present: list[str], where: str, settings: Download) -> None:
        self.present, self.where, self.columns = present, where, settings.columns
        self.meanings = settings.meanings
        self.odd: dict[str, Counter[str]] = {name: Counter() for name in ("split", "spacing", "view", "age", "sex")}

    def row(self, cells: Mapping[str, str]) -> Row:
        def cell(name: str) -> str:
            return cells[self.columns[name]].strip() if name in self.columns else ""

        file = cell("file")
        found = tuple(self._findings(cells))
        return Row(
            file=file,
            patient=cell("patient"),
            findings=found,
            split=self._known("split", cell("split"), _split(cell("split"))),
            spacing=self._known("spacing", cell("spacing"), _spacing(cell("spacing"))),
            view=self._known("view", cell("view"), known_view(cell("view"))),
            age=self._known("age", cell("age"), _age(cell("age"))),
            sex=self._sex(cell("sex")),
            boxes=tuple(self._boxes(cells, file, found)),
            mask=cell("mask"),
        )

    def notes(self) -> list[str]:
        lines = []
        for name, values in self.odd.items():
            if values:
                told = f"{sum(values.values())} values of {self.columns[name]} mean nothing as {name}"
                all_of_them = ", ".join(f"{count} {value!r}" for value, count in sorted(values.items()))
                listed = textwrap.shorten(all_of_them, _LONGEST, placeholder=" and more")
                lines.append(f"{self.where}: {told}{f': {listed}' if name == 'split' else f', such as {next(iter(values))!r}'}")
        return lines

    def _sex(self, cell: str) -> str:
        return "" if cell.upper() in _UNKNOWN_SEXES else self._known("sex", cell, _SEXES.get(cell.upper(), ""))

    def _known(self, name: str, cell: str, value: str) -> str:
        """Return `value`, which `cell` means, and remember a cell that means nothing."""
        if cell and not value:
            self.odd[name][cell] += 1
        return value

    def _findings(self, cells: Mapping[str, str]) -> Iterable[str]:
        columns = self.columns.get("findings", [])
        if isinstance(columns, str):
            yield from findings.of_cell(cells[columns], self.meanings)
            return
        for column in columns:
            value = cells[column].strip().lower()
            value = str(int(float(value))) if re.fullmatch(r"-?\d+\.0*", value) else value
            if value in _YES:
                yield from findings.of_cell(column, self.meanings)
            elif value not in _NO:
                yield from findings.of_cell(cells[column], self.meanings)

    def _boxes(self, cells: Mapping[str, str], file: str, found: Iterable[str]) -> Iterable[Box]:
        columns = self.columns.get("boxes", "")
        if not columns:
            return
        ill = [name for name in found if name != findings.NORMAL]
        finding = ill[0] if len(ill) == 1 else ""  # of several, the table does not say which is in the box
        texts = [cells[columns]] if isinstance(columns, str) else [" ".join(cells[column] for column in columns)]
        for text in (text for each in texts for text in re.split(r"[|;]", each) if text.strip()):
            numbers = re.split(r"[\s,]+", text.strip("[](), \t"))
            if all(number.lower() in {"", "nan"} for number in numbers):
                continue
            try:
                left, top, width, height = map(float, numbers)
                if not (width > 0 and height > 0 and math.isfinite(left + top + width + height)):
                    raise ValueError
            except ValueError:
                raise UserError(f"{self.where}: a box of {file} is {text!r}; expected left, top, width and height") from None
            yield Box(finding, left, top, width, height, self._frame(cells, file))

    def _frame(self, cells: Mapping[str, str], file: str) -> tuple[int, int] | None:
        frame: Any = self.columns.get("frame", "")
        text = cells[frame] if frame in self.present else str(frame)
        if not text.strip():
            return None
        numbers = [round(float(number)) for number in re.findall(r"\d+(?:\.\d*)?", text)]
        if len(numbers) not in {1, 2} or not all(numbers):
            raise UserError(f"{self.where}: the frame of {file} is {text!r}; expected a number of pixels, or width and height")
        return numbers[0], numbers[-1]


def _refuse_missing(present: list[str], where: str, settings: Download) -> None:
    for name, columns in settings.columns.items():
        for column in columns if isinstance(columns, list) else [columns]:
            if present.count(column) > 1:
                raise UserError(f"{where}: two columns are called {column!r}, which download.columns.{name} names; rename one")
            size = name == "frame" and re.fullmatch(r"\d+(\D+\d+)?", str(column))
            if column not in present and not size:
                listed = textwrap.shorten(", ".join(present), _LONGEST, placeholder=" and more")
                raise UserError(f"{where}: no column {column!r}, which download.columns.{name} names; there are: {listed}")


def _split(cell: str) -> str:
    return _PARTS.get(" ".join(re.split(r"[\s_-]+", cell.casefold())), "")


def _spacing(cell: str) -> str:
    """Return the millimetres in `cell`, one number, or the same for rows and columns."""
    try:
        values = {float(text) for text in re.split(r"[\s,;\\]+", cell.strip("[]()"))}
    except ValueError:
        return ""
    return f"{values.pop():.6g}" if len(values) == 1 and 0 < min(values) < 10 else ""


def _age(cell: str) -> str:
    match = _AGE.fullmatch(cell)
    years = float(match[1]) / _A_YEAR[match[2].upper()] if match else _OLDEST + 1
    return f"{years:.4g}" if years <= _OLDEST else ""
