"""The charts of what a detector makes of each finding."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxr.detection.evaluation.report import DEGRADED_VIEWS, TEST, Case
from cxr.figures import charts
from cxr.figures.layout import save
from cxr.superres.methods import ORIGINAL
from cxr.superres.settings import Degradation


def draw(cases: Sequence[Case], found: Sequence[dict[str, Any]], degradations: Sequence[Degradation], folder: Path) -> None:
    """Draw into `folder` what was `found` of those `cases` of the test images that have images with and without the finding."""
    names: set[str] = set()
    for case, record in zip(cases, found, strict=True):
        if case.group != TEST or "areas" not in record:
            continue
        name = re.sub(r"\W+", "_", case.finding).lower()
        name = name if name not in names else f"{name}_{len(names)}"
        names.add(name)
        for degradation in degradations:
            seen = {
                view: case.scores[view, degradation.name if view != ORIGINAL else ""] for view in (ORIGINAL, *DEGRADED_VIEWS)
            }
            figure = charts.roc_curves(seen, case.design.labels, case.finding, degradation.title)
            save(figure, folder / f"{name}_roc_{degradation.name}.png")
        save(charts.auc_by_degradation(record["areas"], case.finding), folder / f"{name}_auc.png")
        save(charts.reliability(record["reliability"], case.finding), folder / f"{name}_reliability.png")
