"""Tell whether `make demo` gave here what it should: `python -m tools.verify [--write]`, or `make verify`, which runs both.

`benchmarks/reference/demo.json` has what it gave elsewhere. Bicubic interpolation must agree to all DIGITS of PSNR and SSIM: it
stands for phantoms, preprocessing, split, degradation and measures. Networks are trained anew on each machine, and must lie
within TOLERANCE; the order of all methods by both, and so what is better than bicubic interpolation, must be the same.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_json
from cxr.foundation.place import ROOT
from cxr.superres.evaluation import per_image
from cxr.superres.methods import BICUBIC
from tools.demo import DEMO, PER_IMAGE

REFERENCE = Path("benchmarks/reference/demo.json")
METRICS = Path("metrics/evaluate.json")
TOLERANCE = {"psnr": 0.15, "ssim": 0.003}
"""dB, and SSIM: what training on other processors and numbers of threads came to, and some (docs/log.md)."""
DIGITS = 10
"""Behind the point."""

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By model, degradation and measure."""


def found(demo: Path) -> dict[str, Any]:
    """Return what the demo in the folder `demo` has measured. Raises UserError when it has not run to its end."""
    for name in (PER_IMAGE, METRICS):
        if not (demo / name).is_file():
            raise UserError(f"{demo / name} is missing; run make demo first")
    named = json.loads((demo / METRICS).read_text(encoding="utf-8"))["test_set"]
    return {"test_set": named, "figures": _means(per_image.read(demo / PER_IMAGE))}


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for all that is not `here` as it was `there`; both as `found` returned them."""
    if here["test_set"] != there["test_set"]:
        yield f"the test images are others: {here['test_set']}, not {there['test_set']}"
    ours, theirs = here["figures"], there["figures"]
    if list(ours) != list(theirs) or any(list(ours[model]) != list(theirs[model]) for model in ours):
        yield "models or degradations are others; make demo must have run as it is committed"
        return
    for model, by_degradation in theirs.items():
        for degradation, measures in by_degradation.items():
            for measure, value in measures.items():
                tolerance = 0 if model == BICUBIC else TOLERANCE[measure]
                if not abs(ours[model][degradation][measure] - value) <= tolerance:  # no number is none of these, either
                    told = f"{measure} of {model} at {degradation} is {ours[model][degradation][measure]}, not {value}"
                    yield told + (f", further than {tolerance} from it" if tolerance else "")
    for degradation, measure in product(theirs[BICUBIC], TOLERANCE):
        own, town = (sorted(each, key=partial(_value, each, degradation, measure)) for each in (ours, theirs))
        if own != town:
            yield f"at {degradation} the order by {measure} is {' < '.join(own)}, not {' < '.join(town)}"


def _value(figures: Figures, degradation: str, measure: str, model: str) -> float:
    return figures[model][degradation][measure]


def _means(quality: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    means = quality.groupby(["model", "degradation"], sort=False)[list(TOLERANCE)].mean().round(DIGITS)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for row in means.reset_index().to_dict("records"):
        figures.setdefault(row["model"], {})[row["degradation"]] = {measure: float(row[measure]) for measure in TOLERANCE}
    return figures


def main() -> None:
    """Compare, or write the reference."""
    here = found(DEMO)
    if "--write" in sys.argv[1:]:
        write_json(ROOT / REFERENCE, here)
        return
    lines = list(differences(here, json.loads((ROOT / REFERENCE).read_text(encoding="utf-8"))))
    if lines:
        raise UserError("; ".join(["not reproduced", *lines]))
    networks = ", ".join(f"{measure} within {value}" for measure, value in TOLERANCE.items())
    print(f"reproduced: bicubic interpolation to {DIGITS} digits; networks, {networks}; the same order")


if __name__ == "__main__":
    with one_line_errors():
        main()
