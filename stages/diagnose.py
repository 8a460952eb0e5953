"""Train a classifier on the original images, and measure what it makes of the test images as each method shows them."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from cxr.compute.device import choose_device
from cxr.compute.memory import keep_freed_memory
from cxr.dataset import packed
from cxr.detection.classifier import POSITIVE, lacking, predicted, train
from cxr.detection.report import DEGRADED_VIEWS, findings, table
from cxr.detection.settings import Diagnose
from cxr.figures import charts
from cxr.figures.layout import save
from cxr.foundation import params
from cxr.foundation.errors import one_line_errors
from cxr.foundation.files import replacing_folder, write_json
from cxr.foundation.provenance import made_with
from cxr.foundation.runtime import Runtime
from cxr.measures.discrimination import auc, matched, sharpness
from cxr.superres.evaluation.archive import Archive
from cxr.superres.methods import LOW, ORIGINAL
from cxr.superres.settings import Degrade

PARAMS = Path("params.yaml")
IMAGES, TABLE, SPLIT = Path("data/images.npy"), Path("data/images.csv"), Path("data/split.csv")
RESTORED = Path("data/restored")
METRICS, FIGURES = Path("metrics/diagnose.json"), Path("plots/diagnose")


def run(workspace: Path) -> None:
    """Train on the training split of `workspace`, choose on its validation split, and report the test split in every view.

    A set in which a part lacks a class ends with that reason in the metrics, since the other stages need no classes.
    """
    settings = params.read(workspace / PARAMS, "diagnose", Diagnose)
    degrade = params.read(workspace / PARAMS, "degrade", Degrade)
    device = choose_device(params.read(workspace / PARAMS, "runtime", Runtime).device)
    data = packed.load(workspace / IMAGES, workspace / TABLE, workspace / SPLIT)
    is_positive = (data.table["class"] == POSITIVE).to_numpy()
    train_rows, val_rows, test_rows = (data.rows(part) for part in ("train", "val", "test"))
    archive = Archive.open(workspace / RESTORED, data.table["id"].iloc[test_rows].tolist(), data.images.shape[1], degrade)
    if reason := lacking(is_positive, {"training": train_rows, "validation": val_rows, "test": test_rows}):
        print(f"Nothing can be said of diagnosis: {reason}")
        write_json(workspace / METRICS, {"not_measured": reason})
        with replacing_folder(workspace / FIGURES):
            return
    network = train(data.images, is_positive, train_rows, val_rows, settings, device)

    logits = {(ORIGINAL, ""): predicted(network, data.images, test_rows)}
    for degradation in tqdm(degrade.degradations, "diagnose", unit="degradation", disable=None):
        scale = degradation.scale
        seen: dict[str, list[torch.Tensor]] = {view: [] for view in DEGRADED_VIEWS}
        for row in test_rows:
            restored = archive.restored(data.images[row], data.table["id"].iloc[row], degradation, device)
            low = restored.low.repeat_interleave(scale, 2).repeat_interleave(scale, 3)  # as large pixels
            for view, image in {LOW: low, **restored.images}.items():
                seen[view].append(predicted(network, [image]))
        for view in DEGRADED_VIEWS:
            logits[view, degradation.name] = torch.cat(seen[view])
    scores = {view: found.double().cpu().numpy() for view, found in logits.items()}

    native = data.table[["height", "width"]].min(axis=1).to_numpy(float)
    sharpnesses = np.array([sharpness(image) for image in tqdm(data.images, "sharpness", unit="image", disable=None)])
    # Which way a measure points is learnt, too, and not looked up on the test images.
    shortcuts = {
        name: np.sign(auc(measure[train_rows], is_positive[train_rows])[0] - 0.5) * measure[test_rows]
        for name, measure in {"native_size": native, "sharpness": sharpnesses}.items()
    }
    patients = data.table["patient"].to_numpy(str)[test_rows]
    matched_rows = matched(sharpnesses[test_rows], is_positive[test_rows])
    found = findings(scores, shortcuts, is_positive[test_rows], patients, matched_rows)
    made = {**made_with("diagnose"), "device": device.type}
    write_json(workspace / METRICS, {**found, "made_with": [made]})
    with replacing_folder(workspace / FIGURES) as folder:
        for degradation in degrade.degradations:
            views = {ORIGINAL: scores[ORIGINAL, ""], **{view: scores[view, degradation.name] for view in DEGRADED_VIEWS}}
            save(charts.roc_curves(views, is_positive[test_rows], degradation.title), folder / f"roc_{degradation.name}.png")
        save(charts.auc_by_degradation(found["intervals"]), folder / "auc.png")
    print(table(found))


def main() -> None:
    """Run in the current folder."""
    keep_freed_memory()
    run(Path())


if __name__ == "__main__":
    with one_line_errors():
        main()
