"""What the Basic Application Level Confidentiality Profile does with each element, and the terms that may stay.

`e1_1.csv` is table E.1-1 of DICOM PS3.15 2026c, column Basic Profile, as KitwareMedical/dicom-anonymizer 2.1.0 gives it.
`terms.csv` holds enumerated values and defined terms of PS3.3 for elements of CR, DX and SC images, and of PS3.16, annex L.
"""

import csv
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from pydicom.tag import BaseTag


class Row(NamedTuple):
    """A row of table E.1-1."""

    tag: str
    """Eight hexadecimal digits, of which `xx` stands for any."""
    action: str
    """X remove, Z empty, D replace by a dummy, U replace a UID, or a choice of these, such as X/Z (PS3.15, table E.1-1a)."""
    name: str


@lru_cache(maxsize=1)
def profile() -> dict[str, Row]:
    """Return the rows of table E.1-1, by tag."""
    return {row["tag"].upper(): Row(row["tag"].upper(), row["action"], row["name"]) for row in _rows("e1_1.csv")}


@lru_cache(maxsize=1)
def terms() -> dict[str, frozenset[str]]:
    """Return the terms that an element may hold, by its keyword."""
    return {row["keyword"]: frozenset(row["terms"].split("|")) for row in _rows("terms.csv")}


def action(tag: BaseTag) -> str:
    """Return the action of table E.1-1 for `tag`, X for private elements, or "" where the table has no row for it."""
    if tag.is_private:
        return "X"
    exact = f"{tag:08X}"
    for name in (exact, f"{exact[:2]}XX{exact[4:]}", f"{exact[:2]}XXXXXX"):
        if row := profile().get(name):
            return row.action
    return ""


def _rows(name: str) -> list[dict[str, str]]:
    text = (files(__package__) / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
