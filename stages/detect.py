"""Measure what the detector makes of the test images as each method shows them, and of radiographs of another source."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

from pathlib import Path

import numpy as np

from cxr.compute.device import choose_device
from cxr.compute.memory import keep_freed_memory
from cxr.dataset import packed
from cxr.detection import detector, labels
from cxr.detection.evaluation import heat, pictures
from cxr.detection.evaluation.report import for_metrics, measured, table
from cxr.detection.evaluation.shortcuts import Shortcuts
from cxr.detection.evaluation.views import cases, groups
from cxr.detection.settings import Detection
from cxr.foundation import environment, errors, files, params, provenance
from cxr.foundation.runtime import Runtime
from cxr.superres.evaluation.archive import Archive, test_set

PARAMS = Path("params.yaml")
PIXELS, TABLE, SPLIT = Path("data/pixels.npy"), Path("data/images.csv"), Path("data/split.csv")
RESTORED, MODEL = Path("data/restored"), Path("models/detector.safetensors")
METRICS, FIGURES = Path("metrics/detect.json"), Path("plots/detect")


def run(workspace: Path) -> None:
    """Report what the detector of `workspace` makes of its test split in every view, and of its external radiographs.

    Where none could be trained, the metrics say why.
    """
    settings = params.read(workspace / PARAMS, "detection", Detection)
    device = choose_device(params.read(workspace / PARAMS, "runtime", Runtime).device)
    data = packed.load(workspace / PIXELS, workspace / TABLE, workspace / SPLIT)
    archive, trained = Archive.open(workspace / RESTORED, data), detector.read(workspace / MODEL, device)
    if trained is None:
        print("Nothing can be said of detection: no finding could be learnt")
        files.write_json(workspace / METRICS, {"not_measured": "no finding could be learnt"})
        with files.replacing_folder(workspace / FIGURES):
            return
    known, judged = labels.labels(data.table, trained.findings, settings.complete), groups(data, archive, trained, device)
    shortcuts = Shortcuts.of(data, np.concatenate([data.rows("train"), *(each.rows for each in judged)]))
    found = cases(data, known, trained, judged, shortcuts)
    looked = heat.looks(data, known, trained, judged)
    told = [{**measured(each), "heat_map": heat.pointing(maps)} for each, maps in zip(found, looked, strict=True)]
    made_with = {**provenance.made_with("detect"), "device": device.type, "detector": trained.digest}
    more = {"test_set": test_set(data, archive.degradations, archive.seed), "made_with": [made_with]}
    files.write_json(workspace / METRICS, {**for_metrics(told), **more})
    with files.replacing_folder(workspace / FIGURES) as folder:
        pictures.draw(data, found, told, looked, archive.degradations, folder)
    print(table(told))


if __name__ == "__main__":
    with errors.one_line_errors():
        keep_freed_memory()
        environment.expect("detect", {environment.DEVICE: choose_device(params.read(PARAMS, "runtime", Runtime).device).type})
        run(Path())
