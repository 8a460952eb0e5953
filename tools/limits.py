"""Write where a bundled network may be used: `python -m tools.limits`, from CSVs in benchmarks/results/.

CONDITIONS are of `python -m benchmarks.conditions`, TWINS of `python -m benchmarks.twins` of some of their networks. A
network's cap in a condition at a scale is 0 where its gain over bicubic interpolation, with its interval, is not above zero, or
more than 2% of the images are worse by 0.05 dB; else the least cap of any finding there that bicubic interpolation shows. So
twins are needed only of conditions in which the network gains. Where there are none it is limited by its gain alone: then
`findings` is 0, and else 1. Noise is written as an estimator finds it.
`native`, for which there are no twins, counts by its gain alone, and for every radiograph: none tells that it was reduced.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_table
from cxr.foundation.place import ROOT
from cxr.superres.estimation.expected import expected, expected_rough
from cxr.superres.limits import FILE
from cxr.superres.settings import NATIVE, Condition, Degradation, conditions
from tools.results import share

RESULTS = ROOT / "benchmarks/results"
CONDITIONS, TWINS = ("conditions.csv", "clean_networks.csv"), ("twins.csv",)
MOST_WORSE = 0.02
MANY = {
    "nodule": "nodules",
    "pleural edge": "pleural edges",
    "catheter": "catheters",
    "miliary": "miliary dots",
    "reticular": "nets",
}
"""What several findings of a kind are called, where that is not its name."""
Key = tuple[str, str, str, int]
"""Network, digest, condition and scale."""


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of the CSV `path`. Raises UserError when there is none."""
    if not path.is_file():
        raise UserError(f"{path} is no file; name what benchmarks.conditions or benchmarks.twins has written")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def key(row: Mapping[str, str]) -> Key:
    """Return what `row` is of."""
    return row["network"], row["digest"], row["condition"], int(row["scale"])


def found_of(degradation: Degradation) -> tuple[str, str]:
    """Return how an estimator finds the noise of `degradation`, and at medium frequencies, in grey levels of 255."""
    return f"{expected(degradation).noise:.3g}", f"{expected_rough(degradation):.3g}"


def limits(
    quality: Iterable[Mapping[str, str]], twins: Iterable[Mapping[str, str]], known: Mapping[str, Condition]
) -> list[dict[str, Any]]:
    """Return a row of COLUMNS for each network, condition and scale of `quality`.

    Raises UserError for a condition that is not `known`.
    """
    harms: dict[Key, list[Mapping[str, str]]] = defaultdict(list)
    for row in twins:
        harms[key(row)].append(row)
    rows = []
    for row in quality:
        native = row["condition"] == NATIVE
        if not native and row["condition"] not in known:
            raise UserError(f"{row['condition']} is none of the conditions of params.yaml; run benchmarks.conditions anew")
        condition = Condition() if native else known[row["condition"]]
        degradation = condition.at(int(row["scale"]), row["condition"])
        where = "in native radiographs" if native else _where(degradation)
        named = {name: row[name] for name in ("network", "digest", "scale", "condition")}
        cells = harms[key(row)]
        why = _no_gain(row, where)
        cap, why = (0.0, why) if why else _cap(cells, where)
        rows.append(
            {
                **named,
                **dict(zip(("noise", "rough"), found_of(degradation), strict=True)),
                "jpeg": condition.jpeg,
                "cap": f"{cap:g}",
                "why": why,
                "findings": int(native or any(int(cell["seen"]) for cell in cells)),
            }
        )
    return rows


def _where(degradation: Degradation) -> str:
    return f"with {degradation.spoilt_by}" if degradation.spoilt_by else "in clean copies"


def _no_gain(row: Mapping[str, str], where: str) -> str:
    """Return why no gain was measured in `row`, which is of images as `where` says; nothing where one was."""
    if not row["low"]:
        return f"it was measured on too few patients to tell, {where}"
    if float(row["low"]) <= 0:
        if float(row["high"]) < 0:
            return f"it is {-float(row['gain']):.2f} dB worse than bicubic interpolation {where}"
        return f"what it gains over bicubic interpolation may be nothing {where}"
    if float(row["worse"]) > MOST_WORSE:
        return f"it makes {share(row, 'worse')} of images worse than bicubic interpolation {where}"
    return ""


def _cap(cells: Iterable[Mapping[str, str]], where: str) -> tuple[float, str]:
    """Return the least cap of `cells` that show a finding, and why it is less than 1."""
    worst = min((cell for cell in cells if int(cell["seen"])), key=lambda cell: float(cell["cap"]), default=None)
    if worst is None or float(worst["cap"]) == 1:
        return 1.0, ""
    kind, pixels = MANY.get(worst["kind"], worst["kind"]), "1 pixel" if worst["size"] == "1" else f"{worst['size']} pixels"
    finding = f"{kind} of {pixels} and {worst['contrast']} grey levels"
    return float(worst["cap"]), f"it harms small findings, such as {finding}, {where}"


def made() -> list[dict[str, Any]]:
    """Return the rows of `limits.csv`. Raises UserError when a CSV is missing."""
    quality, twins = ([row for name in names for row in read(RESULTS / name)] for names in (CONDITIONS, TWINS))
    return limits(quality, twins, conditions(ROOT / "params.yaml"))


def main() -> None:
    """Write `limits.csv` beside the bundled networks."""
    rows = made()
    write_table(ROOT / "pretrained" / FILE, rows)
    for row in rows:
        if float(row["cap"]) < 1:
            print(f"{row['network']} x{row['scale']} {row['condition']}: cap {row['cap']}, {row['why']}")


if __name__ == "__main__":
    with one_line_errors():
        main()
