"""The charts of what a detector makes of each finding, and pictures of where it looks."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxr.dataset.packed import Dataset
from cxr.detection.evaluation.heat import Looked
from cxr.detection.evaluation.report import DEGRADED_VIEWS, OF, TEST, Case, pointed
from cxr.detection.explaining import shown
from cxr.figures import charts
from cxr.figures.heat_maps import Panel, heat_maps
from cxr.figures.layout import save
from cxr.superres.methods import ORIGINAL
from cxr.superres.settings import Degradation

MAP = 256
"""Rows and columns of a heat map as it is drawn."""
CHOSEN = "least", "middle", "greatest"
"""Which radiographs are drawn, by their logits of the finding."""


def draw(
    data: Dataset,
    cases: Sequence[Case],
    found: Sequence[dict[str, Any]],
    looked: Sequence[Sequence[Looked] | None],
    degradations: Sequence[Degradation],
    folder: Path,
) -> None:
    """Draw into `folder` what was `found` of `cases` of `data`, and where the detector `looked` for each finding."""
    draw_charts(cases, found, degradations, folder)
    draw_heat_maps(data, cases, found, looked, folder)


def draw_charts(
    cases: Sequence[Case], found: Sequence[dict[str, Any]], degradations: Sequence[Degradation], folder: Path
) -> None:
    """Draw into `folder` what was `found` of those `cases` of the test images that have images with and without the finding."""
    for case, record, name in zip(cases, found, _names(cases), strict=True):
        if case.group != TEST or "areas" not in record:
            continue
        for degradation in degradations:
            seen = {
                view: case.scores[view, degradation.name if view != ORIGINAL else ""] for view in (ORIGINAL, *DEGRADED_VIEWS)
            }
            figure = charts.roc_curves(seen, case.design.labels, case.finding, degradation.title)
            save(figure, folder / f"{name}_roc_{degradation.name}.png")
        save(charts.auc_by_degradation(record["areas"], case.finding), folder / f"{name}_auc.png")
        save(charts.reliability(record["reliability"], case.finding), folder / f"{name}_reliability.png")


def draw_heat_maps(
    data: Dataset,
    cases: Sequence[Case],
    found: Sequence[dict[str, Any]],
    looked: Sequence[Sequence[Looked] | None],
    folder: Path,
) -> None:
    """Draw into `folder` where the detector looks on radiographs of each of `cases` that have boxes, and what was `found`.

    Of the radiographs that were `looked` at, those whose logit of the finding is the least, in the middle and the greatest.
    """
    for case, record, each, name in zip(cases, found, looked, _names(cases), strict=True):
        if each and OF not in case.group:
            rows = [_panels(data, drawn, which) for which, drawn in chosen(each)]
            title = f"{case.finding}, {case.group}: outlined what its source calls ill, and what speaks for it to a network"
            figure = heat_maps(rows, title, pointed(record["heat_map"]))
            save(figure, folder / f"{name}_heat_maps{'' if case.group == TEST else f'_{case.group}'}.png")


def chosen(looked: Sequence[Looked]) -> list[tuple[str, Looked]]:
    """Return by CHOSEN those of `looked` with the least, middle and greatest logit, each once."""
    order = sorted(looked, key=lambda each: (each.logit, each.row))
    places = dict(zip(np.linspace(0, len(order) - 1, len(CHOSEN)).round().astype(int).tolist(), CHOSEN, strict=True))
    return [(which, order[place]) for place, which in places.items()]


def _panels(data: Dataset, looked: Looked, which: str) -> list[Panel]:
    frame = data.images[looked.row]
    pixels = (frame.pixels / frame.white).astype(np.float32)
    source = str(data.table["source"].iloc[looked.row]).rpartition("/")[2]
    return [
        Panel(f"{which} logit: {source}", pixels, None, looked.boxes),
        Panel("as the detector has it", pixels, shown(looked.trained, MAP), looked.boxes),
        Panel("as random weights have it", pixels, shown(looked.random, MAP), looked.boxes),
    ]


def _names(cases: Sequence[Case]) -> Iterator[str]:
    """Yield what begins the name of each case's pictures: equal for one finding, and for no two."""
    names: dict[str, str] = {}
    for case in cases:
        name = re.sub(r"\W+", "_", case.finding).lower()
        names.setdefault(case.finding, name if name not in names.values() else f"{name}_{len(names)}")
        yield names[case.finding]
