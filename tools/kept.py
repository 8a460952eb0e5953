"""Keep the figures of an evaluation, for the tables of pages: `python -m tools.kept WORKSPACE NAME [--detection]`.

WORKSPACE/metrics/statistics.json, as the stage evaluate wrote it, becomes benchmarks/results/NAME.csv. A row is the mean of a
metric over the images of a group, by a model, or a mean difference, of a pair of models; p is adjusted by Holm's method.
With --detection it is WORKSPACE/metrics/detect.json, as the stage detect wrote it. A row is of a finding and a group of images:
the area under the ROC curve of a view, of all images or of those that are matched in sharpness, its sensitivity or specificity,
the difference of a pair of views, the area of a shortcut, a count, a likelihood ratio, what the sets hold, how often heat maps
point to the finding, or a share that stands against WHO's target.
`python -m tools.tables` makes tables of either.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import whole, write_table
from cxr.foundation.place import ROOT
from stages.detect import METRICS
from stages.evaluate import STATISTICS

RESULTS = ROOT / "benchmarks/results"
ALL, MATCHED = "all", "matched"
MEAN, DIFFERENCE, AREA, SHORTCUT, COUNT = "mean", "difference", "area", "shortcut", "count"
RATIO, SETS, HEAT, WHO = "ratio", "sets", "heat map", "who"
OPERATING = "sensitivity", "specificity"
COLUMNS = (
    *("what", "group", "of", "degradation", "metric"),
    *("images", "patients", "mean", "low", "high", "wins", "p"),
)
DETECTION_COLUMNS = "finding", "group", "what", "of", "degradation", "value", "low", "high", "detectable"


def rows(statistics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the records of `statistics` by COLUMNS, None where one says nothing."""
    means = [{**record, "what": MEAN, "of": record["model"]} for record in statistics["means"]]
    differences = [
        {**record, "what": DIFFERENCE, "of": record["pair"], "p": record["p_holm"]} for record in statistics["differences"]
    ]
    return [{column: record.get(column) for column in COLUMNS} for record in (*means, *differences)]


def detection_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the stage detect found by DETECTION_COLUMNS. Raises UserError where it could measure nothing."""
    if reason := metrics.get("not_measured"):
        raise UserError(f"there is no detection to keep: {reason}")
    rows = []
    for found in metrics["measured"]:
        of = {"finding": found["finding"], "group": found["group"]}
        rows += [{column: {**record, **of}.get(column) for column in DETECTION_COLUMNS} for record in _records(found)]
    return rows


def _records(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what was found of a finding and a group, by what it is."""
    for name in ("images", "patients", "positives", "pairs"):
        if name in found:
            yield {"what": COUNT, "of": name, "value": found[name]}
    for what, name in ((AREA, "areas"), (MATCHED, "of_pairs")):
        yield from ({**record, "what": what, "of": record["view"]} for record in found.get(name, ()))
    for record in found.get("operating", ()):
        place = {"of": record["view"], "degradation": record["degradation"]}
        yield from ({**place, "what": name, "value": record[name]} for name in OPERATING)
    yield from ({**record, "what": DIFFERENCE, "of": record["pair"]} for record in found.get("differences", ()))
    yield from ({**record, "what": SHORTCUT, "of": record["measure"]} for record in found.get("shortcuts", ()))
    yield from ({**record, "what": RATIO, "of": record["answer"]} for record in found.get("answered", {}).get("ratios", ()))
    for what, name in ((SETS, "abstaining"), (HEAT, "heat_map"), (WHO, "who")):
        for of, value in found.get(name, {}).items():
            if value is None or isinstance(value, int | float | dict):  # of a text a CSV of figures has nothing
                yield {"what": what, "of": of, **(value if isinstance(value, dict) else {"value": value})}


class Kind(NamedTuple):
    """A kind of figures."""

    source: Path
    """The file of a workspace that has them."""
    rows: Callable[[Mapping[str, Any]], list[dict[str, Any]]]
    """What makes rows of that file's content."""
    columns: tuple[str, ...]
    """Of the rows."""


EVALUATION = Kind(STATISTICS, rows, COLUMNS)
DETECTION = Kind(METRICS, detection_rows, DETECTION_COLUMNS)


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
    parser.add_argument("--detection", action="store_true", help="what the stage detect found, instead of evaluate's figures")
    given = parser.parse_args()
    print(keep(given.workspace, given.name, kind=DETECTION if given.detection else EVALUATION))


if __name__ == "__main__":
    with one_line_errors():
        main()
