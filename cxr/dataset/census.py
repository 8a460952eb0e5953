"""How many radiographs there are of what, and how large they were."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, get_args

import numpy as np
import pandas as pd

from cxr.dataset.findings import having, names, several
from cxr.formats.decode import Kind

ALL = "all"

Counts = dict[str, int]
"""Images by finding, and all of them: an image with several findings counts for each, once among all."""


def counted(found: Iterable[str], usable: pd.DataFrame, used: pd.DataFrame, rejected: pd.DataFrame) -> dict[str, Counts]:
    """Count what became of files with the findings `found`: tables of what could be used, is used, and was set aside."""
    found = list(found)
    in_order = names(found)

    def count(findings: Iterable[str]) -> Counts:
        findings = list(findings)
        each = Counter(name for text in findings for name in several(text))
        return {ALL: len(findings), **{name: each[name] for name in in_order}}

    use, useful = count(used["findings"]), count(usable["findings"])
    kinds = {kind.replace(" ", "_"): rejected["findings"][rejected["kind"] == kind] for kind in get_args(Kind)}
    return {
        "found": count(found),
        "used": use,
        "left_out": {name: useful[name] - use[name] for name in use},
        **{kind: count(findings) for kind, findings in kinds.items()},
    }


def natives(used: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return by finding how large the files of the table `used` were: both their size and their shape can tell a class.

    Medians of rows, columns and width over height, and the 5th and 95th percentiles of the latter; and how many have how many
    bits.
    """
    found = {}
    for name in (ALL, *names(used["findings"])):
        of = used if name == ALL else used[having(used["findings"], name)]
        ratios = of["native_columns"] / of["native_rows"]
        low, middle, high = np.percentile(ratios, [5, 50, 95])
        found[name] = {
            "images": len(of),
            "median_rows": float(of["native_rows"].median()),
            "median_columns": float(of["native_columns"].median()),
            "width_over_height": {"p5": round(low, 3), "median": round(middle, 3), "p95": round(high, 3)},
            "bits": {str(bits): int(count) for bits, count in sorted(of["bits"].value_counts().items())},
        }
    return found
