"""Measure how often heat maps of a detector point to the finding: `python -m benchmarks.heat_maps WORKSPACE -o FILE.csv`.

WORKSPACE is one in which train_detector has run, and whose table has boxes. Of each finding, and of test and of external
radiographs, the first one of each patient with a box in the central square counts. Rows have the share of heat maps that are
greatest in a box, and the same of a network with random weights, with intervals. Beside these stand the mean share of the
square that boxes cover, which is chance, and how often boxes hold the one place that lies in most boxes of the other patients;
then the mean of Spearman's correlation between both maps. Where there are no boxes, or no maps, there is no row.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cxr.compute.device import choose_device, repeatable
from cxr.compute.memory import keep_freed_memory
from cxr.dataset import packed
from cxr.dataset.boxes import Box
from cxr.detection import detector
from cxr.detection.detector import Detector
from cxr.detection.evaluation.heat import RASTER, looks, pointing
from cxr.detection.evaluation.report import rounded
from cxr.detection.evaluation.views import Group
from cxr.detection.explaining import inside
from cxr.detection.frames import levels
from cxr.detection.labels import labels
from cxr.foundation import params
from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_table
from cxr.foundation.runtime import Runtime
from cxr.measures.intervals import Truths
from cxr.measures.ratios import share
from cxr.superres.methods import ORIGINAL
from stages.train_detector import MODEL, PARAMS, PIXELS, SPLIT, TABLE

JUDGED: tuple[packed.Part, ...] = ("test", "external")
HIT, RANDOMISED, ONE_PLACE, CHANCE, CORRELATION = "hit", "randomised", "one place", "chance", "correlation"
"""What a row tells."""
COLUMNS = "finding", "group", "images", "of", "value", "low", "high"


def groups(data: packed.Dataset, trained: Detector) -> list[Group]:
    """Return the test and the external radiographs of `data`, as they are, of which there are any."""
    found = []
    for name in JUDGED:
        if len(rows := data.rows(name)):
            seen = [trained.looks(levels(data.images[row])) for row in tqdm(rows, name, unit="image", disable=None)]
            logits, distances = (np.array([each[which] for each in seen], float) for which in (0, 1))
            found.append(Group(name, rows, {(ORIGINAL, ""): logits}, distances))
    return found


def one_place(boxes: Sequence[list[Box]]) -> Truths:
    """Return of which patients (N,) the `boxes` hold the place that lies in most boxes of the others, the first of equals."""
    places = (np.arange(RASTER) + 0.5) / RASTER
    held = np.array([inside(each, *np.meshgrid(places, places)).ravel() for each in boxes])
    most = (held.sum(axis=0) - held).argmax(axis=1)
    found: Truths = held[np.arange(len(held)), most]
    return found


def measured(workspace: Path) -> list[dict[str, object]]:
    """Return the rows of the CSV, by COLUMNS. Raises UserError where there is no detector, or nothing to measure."""
    device = choose_device(params.read(workspace / PARAMS, "runtime", Runtime).device)
    trained = detector.read(workspace / MODEL, device)
    if trained is None:
        raise UserError(f"{workspace / MODEL} holds no network, since no finding could be learnt")
    data = packed.load(*(workspace / name for name in (PIXELS, TABLE, SPLIT)))
    known = labels(data.table, trained.findings, bool(trained.description["settings"]["complete"]))
    with repeatable():
        judged = groups(data, trained)
    cases = [(finding, group.name) for finding in trained.findings for group in judged]
    rows: list[dict[str, object]] = []
    for (finding, group), looked in zip(cases, looks(data, known, trained, judged), strict=True):
        told = pointing(looked)
        if not looked:
            continue
        told |= {ONE_PLACE: rounded(share(one_place([each.boxes for each in looked])))}
        for of in (HIT, RANDOMISED, ONE_PLACE, CHANCE, CORRELATION):
            value = told[of] if isinstance(told[of], dict) else {"value": told[of]}
            rows.append(
                {**dict.fromkeys(COLUMNS), "finding": finding, "group": group, "images": told["images"], "of": of, **value}
            )
    if not rows:
        raise UserError(f"{workspace} has nothing to measure: no box of a finding, or a network without heat maps")
    return rows


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    keep_freed_memory()
    rows = measured(given.workspace)
    for each in rows:
        print(", ".join(f"{name} {value}" for name, value in each.items() if value is not None))
    write_table(given.output, rows)


if __name__ == "__main__":
    with one_line_errors():
        main()
