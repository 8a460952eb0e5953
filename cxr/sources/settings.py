"""Where radiographs come from: section `download` of params.yaml."""

import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cxr.foundation.errors import UserError

COLUMNS = ("file", "patient", "findings", "split", "spacing", "view", "age", "sex", "boxes", "frame", "mask")
"""What of a radiograph a table can say; `frame` has the size in pixels of the image in which boxes are given."""

_short = reprlib.repr  # a few lines of YAML can stand for a value that fills the memory when it is printed


@dataclass(frozen=True)
class Download:
    """Section `download` of params.yaml: where the radiographs come from, and what is known of them."""

    source: Literal["phantom", "local", "kaggle"]
    path: str
    table: str
    columns: dict[str, Any]
    findings: dict[Any, str]
    patient: str
    external: str

    def __post_init__(self) -> None:
        """Raise ValueError when the source lacks a path, and for columns, findings or an expression that cannot be."""
        if self.source == "local" and not self.path.strip():
            raise ValueError("path is empty; with the source local it names a zip or a folder")
        self._check_columns()
        for value, finding in self.findings.items():
            if not isinstance(value, str | int) or isinstance(value, bool) or not isinstance(finding, str):
                raise ValueError(
                    f'findings has {_short(value)}: {_short(finding)}; expected texts, such as "Lung Opacity": PNEUMONIA'
                )
        for name, expression in (("patient", self.patient), ("external", self.external)):
            try:
                re.compile(expression)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"{name} is {_short(expression)}, which is no regular expression: {error}") from None

    @property
    def meanings(self) -> dict[str, str]:
        """What values of a table, or names of folders, mean."""
        return {str(value): finding for value, finding in self.findings.items()}

    def is_outside(self, path: str) -> bool:
        """Tell whether the file `path`, below the source, is of another source than those that are learnt from.

        Upper and lower case count as equal, as in the names that tell patients and findings.
        """
        return bool(self.external and re.search(self.external, path, re.IGNORECASE))

    def refuse_unfound(self, paths: Sequence[str]) -> None:
        """Raise UserError when `external` names another source, but is found in none of the radiographs' `paths`."""
        if self.external and paths and not any(map(self.is_outside, paths)):
            many = f"none of {len(paths)} radiographs, such as {min(paths)!r}"
            remedy = "nothing would be external; mend it, or leave it empty"
            raise UserError(f"download.external is {_short(self.external)}, which is found in the path of {many}; {remedy}")

    def _check_columns(self) -> None:
        for name, column in self.columns.items():
            if name not in COLUMNS:
                raise ValueError(f"columns has the name {_short(name)}, which is unknown; known here: {', '.join(COLUMNS)}")
            if not _is_good(name, column):
                raise ValueError(f"columns has {name}: {_short(column)}; expected {_expected(name)}")
        if self.columns and not self.table:
            raise ValueError("columns are those of a table, but table is empty; name a CSV inside the source")
        if self.table and "file" not in self.columns:
            raise ValueError("columns lacks file; say which column of the table names the radiographs")


def _is_good(name: str, column: Any) -> bool:
    if name == "frame" and type(column) is int:
        return column > 0
    if isinstance(column, list) and name in {"findings", "boxes"}:
        return all(isinstance(each, str) and each for each in column) and (
            len(column) == 4 if name == "boxes" else bool(column)
        )
    return isinstance(column, str) and bool(column)


def _expected(name: str) -> str:
    if name == "frame":
        return "a number of pixels, 'WIDTH HEIGHT', or the name of a column"
    several = {"findings": ", or a list of columns", "boxes": ", or a list of four: left, top, width and height"}
    return f"the name of a column{several.get(name, '')}"
