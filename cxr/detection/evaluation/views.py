"""What a detector makes of radiographs as each method shows them, and what tells without knowing of disease."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from cxr.compute.device import repeatable
from cxr.dataset.packed import Dataset, Integers
from cxr.detection.detector import Detector
from cxr.detection.evaluation.report import DEGRADED_VIEWS, EXTERNAL, OF, TEST, Case, View
from cxr.detection.evaluation.shortcuts import Shortcuts
from cxr.detection.frames import levels
from cxr.detection.labels import Labels
from cxr.measures.areas import Design
from cxr.measures.discrimination import matched
from cxr.measures.intervals import Floats
from cxr.superres.evaluation.archive import Archive
from cxr.superres.methods import LOW, ORIGINAL


class Group(NamedTuple):
    """Radiographs that are judged together."""

    name: str
    rows: Integers
    logits: Mapping[View, Floats]
    """By view (N, F)."""
    distances: Floats
    """How far the originals are from what is usual (N,)."""


def groups(data: Dataset, archive: Archive, detector: Detector, device: torch.device) -> list[Group]:
    """Return the test images of `data` in every view that `archive` has, and the external ones, if any, as they are.

    Where images come from several collections, those of each stand by themselves as well.
    """
    with repeatable():
        found = _groups(data, archive, detector, device)
    return [*found, *(part for group in found for part in _by_collection(data, group))]


def _by_collection(data: Dataset, group: Group) -> list[Group]:
    """Return the parts of `group` that come from one collection each; none where there is but one."""
    of = data.table["collection"].astype(str).to_numpy(str)[group.rows] if "collection" in data.table else np.array([])
    names = [name for name in sorted(set(of)) if name]
    if len(set(of)) < 2:
        return []
    return [
        Group(
            f"{group.name}{OF}{name}",
            group.rows[of == name],
            {view: logits[of == name] for view, logits in group.logits.items()},
            group.distances[of == name],
        )
        for name in names
    ]


def _groups(data: Dataset, archive: Archive, detector: Detector, device: torch.device) -> list[Group]:
    found = []
    for name, rows in ((TEST, data.rows("test")), (EXTERNAL, data.rows("external"))):
        if len(rows) or name == TEST:
            logits, distances = _originals(data, rows, detector)
            degraded = _restored(data, archive, detector, device) if name == TEST else {}
            found.append(Group(name, rows, {(ORIGINAL, ""): logits, **degraded}, distances))
    return found


def cases(data: Dataset, known: Labels, detector: Detector, judged: list[Group], shortcuts: Shortcuts) -> list[Case]:
    """Return what is to be measured of each finding and group, of the images of which the finding is known."""
    patients = data.table["patient"].to_numpy(str)
    made = []
    for number, name in enumerate(detector.findings):
        shown = known.of(name)
        directed = shortcuts.directed(known.rows(name, data.rows("train")), shown)
        for group in judged:
            rows = known.rows(name, group.rows)
            of_group = np.isin(group.rows, rows)
            labels = shown[rows]
            both = labels.any() and not labels.all()
            made.append(
                Case(
                    name,
                    group.name,
                    Design(labels, patients[rows]),
                    detector.thresholds[name],
                    {view: logits[of_group, number] for view, logits in group.logits.items()},
                    {measure: values[rows] for measure, values in directed.items()},
                    matched(shortcuts.sharpness[rows], labels) if both else np.zeros(0, np.intp),
                    detector.sets[name],
                    group.distances[of_group] > detector.usual.farthest,
                )
            )
    return made


def _originals(data: Dataset, rows: Integers, detector: Detector) -> tuple[Floats, Floats]:
    looks = [detector.looks(levels(data.images[row])) for row in tqdm(rows, "detect", unit="image", disable=None)]
    logits = np.array([each for each, _ in looks], float).reshape(len(rows), len(detector.findings))
    return logits, np.array([distance for _, distance in looks], float)


def _restored(data: Dataset, archive: Archive, detector: Detector, device: torch.device) -> dict[View, Floats]:
    rows = data.rows("test")
    found: dict[View, Floats] = {}
    for degradation in tqdm(archive.degradations, "detect", unit="degradation", disable=None):
        scale = degradation.scale
        seen: dict[str, list[Floats]] = {view: [] for view in DEGRADED_VIEWS}
        for row in rows:
            restored = archive.restored(data.images[row], data.table["id"].iloc[row], degradation, device)
            low = restored.low.repeat_interleave(scale, 2).repeat_interleave(scale, 3)  # as large pixels
            for view, image in {LOW: low, **restored.images}.items():
                seen[view].append(detector.looks(image.float() / restored.white)[0])
        for view in DEGRADED_VIEWS:
            found[view, degradation.name] = np.array(seen[view], float).reshape(len(rows), len(detector.findings))
    return found
