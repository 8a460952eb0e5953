"""Whether heat maps point to the finding: hits of boxes, beside chance and a network that has learnt nothing."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr
from tqdm import tqdm

from cxr.dataset.boxes import Box, Window, of_finding, within
from cxr.dataset.packed import Dataset, Integers
from cxr.detection.detector import Detector, Network
from cxr.detection.evaluation.report import rounded
from cxr.detection.evaluation.views import Group
from cxr.detection.explaining import Maps, has_map, heat_maps, inside, peak, randomised
from cxr.detection.frames import levels, seen
from cxr.detection.labels import Labels
from cxr.detection.training import DECIMALS
from cxr.measures.ratios import share

RASTER = 256
"""Rows and columns of places that tell which share of a square boxes cover."""


class Looked(NamedTuple):
    """Where a detector looks for a finding on a radiograph that shows it."""

    row: int
    logit: float
    boxes: list[Box]
    """Of the finding, in shares of the square that the detector sees."""
    trained: Maps
    """(h, w)."""
    random: Maps
    """The same of a network that has learnt nothing."""


def looks(data: Dataset, known: Labels, detector: Detector, groups: Sequence[Group]) -> list[list[Looked] | None]:
    """Return for each finding and group, in the order of `cases`, what the maps of radiographs with the finding are.

    Of each patient's first radiograph that has a box of the finding in what the detector sees. A group in which none has one
    gives none. Each is None where the network has no heat map.
    """
    if not has_map(detector.network, detector.size):
        return [None for _ in detector.findings for _ in groups]
    other = randomised(detector)
    found: list[list[Looked] | None] = []
    for number, name in enumerate(detector.findings):
        for group in groups:
            boxed = _boxed(data, known.rows(name, group.rows), name)
            rows = tqdm(list(boxed), "heat maps", unit="image", disable=None)
            logits = dict(zip(group.rows.tolist(), group.logits["original", ""][:, number].tolist(), strict=True))
            found.append(
                [_looked(data, row, boxed[row], (detector.network, other), detector.size, number, logits[row]) for row in rows]
            )
    return found


def pointing(looked: Sequence[Looked] | None) -> dict[str, Any]:
    """Return what of `looked` points to the finding: how many there are, and shares with intervals, or why there are none.

    The pointing game of Zhang et al., ECCV 2016, without tolerance: the share whose greatest value lies in a box. Chance is the
    mean share of the square that boxes cover; correlation the mean of Spearman's, between trained and random map.
    """
    if not looked:
        return {"images": 0, "reason": "this network has none" if looked is None else "no boxes"}
    alike = [_correlation(each) for each in looked]
    told = [each for each in alike if each is not None]
    return {
        "images": len(looked),
        "hit": rounded(share(hits([each.trained for each in looked], looked))),
        "randomised": rounded(share(hits([each.random for each in looked], looked))),
        "chance": round(float(np.mean([covered(each.boxes) for each in looked])), DECIMALS),
        "correlation": round(float(np.mean(told)), DECIMALS) if told else None,
    }


def hits(maps: Sequence[Maps], looked: Sequence[Looked]) -> Any:
    """Return which of `maps` (N,) is greatest in one of the boxes of what was `looked` at (N,)."""
    return np.array([inside(each.boxes, *peak(heat)).item() for heat, each in zip(maps, looked, strict=True)], bool)


def covered(boxes: list[Box]) -> float:
    """Return which share of the square `boxes` cover, each place once."""
    places = (np.arange(RASTER) + 0.5) / RASTER
    return float(inside(boxes, *np.meshgrid(places, places)).mean())


def _boxed(data: Dataset, rows: Integers, finding: str) -> dict[int, list[Box]]:
    """Return by row the boxes of `finding` in the central square, of the first of `rows` of each patient that has any."""
    found: dict[int, list[Box]] = {}
    patients: set[str] = set()
    for row in rows.tolist():
        patient, boxes = str(data.table["patient"].iloc[row]), str(data.table["boxes"].iloc[row])
        height, width = data.images.shapes[row].tolist()
        of_square = of_finding(within(Window.of(height, width, "square"), height, width, boxes), finding)
        if of_square and patient not in patients:
            patients.add(patient)
            found[row] = of_square
    return found


def _looked(
    data: Dataset, row: int, boxes: list[Box], networks: tuple[Network, Network], size: int, number: int, logit: float
) -> Looked:
    device = next(networks[0].parameters()).device
    square = seen(levels(data.images[row]).to(device), size)
    trained, random = (heat_maps(network, square)[number] for network in networks)
    return Looked(row, logit, boxes, trained, random)


def _correlation(looked: Looked) -> float | None:
    """Return Spearman's correlation of both maps; None where one of them is the same everywhere."""
    if min(np.ptp(looked.trained), np.ptp(looked.random)) == 0:
        return None
    return float(spearmanr(looked.trained.ravel(), looked.random.ravel()).statistic)
