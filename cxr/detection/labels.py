"""What is known of which finding on which radiograph."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from cxr.dataset.findings import UNKNOWN, having, names
from cxr.dataset.packed import Integers, Part
from cxr.measures.intervals import Truths

NEGATIVE = "NORMAL"
"""What a radiograph without findings is labelled with."""
LEARNT: tuple[Part, ...] = ("train", "val")
"""The parts whose labels say which findings there are."""
FEW = 2
"""Images with a finding, and without, that training and validation need each."""


class Labels(NamedTuple):
    """Which findings there are, and what is known of them on N radiographs."""

    names: tuple[str, ...]
    """F of them, sorted."""
    known: Truths
    """Whether somebody has said whether the radiograph shows it (N, F)."""
    shown: Truths
    """Whether it does (N, F); false where nothing is known."""

    def rows(self, finding: str, rows: Integers) -> Integers:
        """Return those of `rows` of which `finding` is known."""
        found: Integers = rows[self.known[rows, self.names.index(finding)]]
        return found

    def of(self, finding: str) -> Truths:
        """Return which radiographs show `finding` (N,)."""
        found: Truths = self.shown[:, self.names.index(finding)]
        return found


def labels(table: pd.DataFrame, findings: Sequence[str], complete: bool) -> Labels:
    """Return what `table` (columns `findings` and `split`) says of each of `findings`.

    NORMAL says that there are none. What names other findings says nothing of those that it does not name, unless labels are
    `complete`; what names none says nothing.
    """
    given = table["findings"]
    normal = having(given, NEGATIVE)
    said = ~having(given, UNKNOWN) & ~having(given, "")
    shown = np.array([having(given, each) for each in findings], bool).reshape(len(findings), len(table)).T
    known = shown | (said if complete else normal)[:, None]
    return Labels(tuple(findings), known, shown)


def learnable(table: pd.DataFrame, complete: bool) -> tuple[list[str], str]:
    """Return which findings can be learnt, and why others cannot, in a line.

    Those of which FEW images of the training part, and of the validation part, show one, and as many show none.
    What other parts are labelled with has no say.
    """
    parts = {part: (table["split"] == part).to_numpy() for part in LEARNT}
    there = names(table["findings"][np.logical_or.reduce(list(parts.values()))])
    candidates = [name for name in there if name not in (NEGATIVE, UNKNOWN)]
    found = labels(table, candidates, complete)
    lacking: dict[str, str] = {}
    for number, name in enumerate(candidates):
        for part, rows in parts.items():
            ill = int(found.shown[rows, number].sum())
            well = int(found.known[rows, number].sum()) - ill
            if min(ill, well) < FEW and name not in lacking:
                lacking[name] = f"{name}: {ill} with it and {well} without in {part}"
    reason = "; ".join(lacking.values()) if candidates else f"no radiograph shows anything but {NEGATIVE}"
    return [name for name in candidates if name not in lacking], reason
