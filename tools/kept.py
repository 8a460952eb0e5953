"""Keep the figures of an evaluation, for the tables of pages: `python -m tools.kept WORKSPACE NAME [--diagnosis]`.

WORKSPACE/metrics/statistics.json, as the stage evaluate wrote it, becomes benchmarks/results/NAME.csv. A row is the mean of a
metric over the images of a group, by a model, or a mean difference, of a pair of models; p is adjusted by Holm's method.
With --diagnosis it is WORKSPACE/metrics/diagnose.json, as the stage diagnose wrote it. A row is the area under the ROC curve of
a view, the difference of a pair of views, of all images or of the matched pairs, the area of a shortcut, or a count.
`python -m tools.tables` makes tables of either.
"""

import argparse
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import whole, write_table
from cxr.foundation.place import ROOT
from stages.diagnose import METRICS
from stages.evaluate import STATISTICS

RESULTS = ROOT / "benchmarks/results"
ALL, MATCHED = "all", "matched"
MEAN, DIFFERENCE, AREA, SHORTCUT, COUNT = "mean", "difference", "area", "shortcut", "count"
COLUMNS = (
    *("what", "group", "of", "degradation", "metric"),
    *("images", "patients", "mean", "low", "high", "wins", "p"),
)
DIAGNOSIS_COLUMNS = "what", "group", "of", "degradation", "value", "low", "high", "detectable"


def rows(statistics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the records of `statistics` by COLUMNS, None where one says nothing."""
    means = [{**record, "what": MEAN, "of": record["model"]} for record in statistics["means"]]
    differences = [
        {**record, "what": DIFFERENCE, "of": record["pair"], "p": record["p_holm"]} for record in statistics["differences"]
    ]
    return [{column: record.get(column) for column in COLUMNS} for record in (*means, *differences)]


def diagnosis_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the stage diagnose found by DIAGNOSIS_COLUMNS. Raises UserError where it could measure nothing."""
    if reason := metrics.get("not_measured"):
        raise UserError(f"there is no diagnosis to keep: {reason}")
    (found,) = metrics["measured"]
    counts = {**{name: found[name] for name in ("images", "patients", "negatives")}, "pairs": found["matched"]["pairs"]}
    records = [
        *({**record, "what": AREA, "group": ALL, "of": record["view"]} for record in found["intervals"]),
        *({**record, "what": AREA, "group": MATCHED, "of": record["view"]} for record in found["matched_intervals"]),
        *({**record, "what": DIFFERENCE, "group": ALL, "of": record["pair"]} for record in found["differences"]),
        *({**record, "what": DIFFERENCE, "group": MATCHED, "of": record["pair"]} for record in found["matched_differences"]),
        *({**record, "what": SHORTCUT, "group": ALL, "of": record["measure"]} for record in found["shortcut_intervals"]),
        *({"what": COUNT, "group": ALL, "of": name, "value": count} for name, count in counts.items()),
    ]
    return [{column: record.get(column) for column in DIAGNOSIS_COLUMNS} for record in records]


class Kind(NamedTuple):
    """A kind of figures."""

    source: Path
    """The file of a workspace that has them."""
    rows: Callable[[Mapping[str, Any]], list[dict[str, Any]]]
    """What makes rows of that file's content."""
    columns: tuple[str, ...]
    """Of the rows."""


EVALUATION = Kind(STATISTICS, rows, COLUMNS)
DIAGNOSIS = Kind(METRICS, diagnosis_rows, DIAGNOSIS_COLUMNS)


def keep(workspace: Path, name: str, results: Path = RESULTS, kind: Kind = EVALUATION) -> Path:
    """Write the figures of `workspace` that are of that kind to `results` under that name; return the path.

    Raises UserError where that name has figures of another kind.
    """
    if not re.fullmatch(r"\w+", name):
        raise UserError(f"NAME is {name!r}; name it with letters, digits and _ alone")
    source, path = workspace / kind.source, results / f"{name}.csv"
    if path.exists() and not path.read_bytes().startswith(f"{','.join(kind.columns)}\n".encode()):
        raise UserError(f"{path} has figures of another kind; give another NAME, or remove it")
    with whole(source):
        found = kind.rows(json.loads(source.read_text(encoding="utf-8")))
    write_table(path, found)
    return path


def main() -> None:
    """Keep, and say where."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("name")
    parser.add_argument("--diagnosis", action="store_true", help="what the stage diagnose found, instead of evaluate's figures")
    given = parser.parse_args()
    print(keep(given.workspace, given.name, kind=DIAGNOSIS if given.diagnosis else EVALUATION))


if __name__ == "__main__":
    with one_line_errors():
        main()
