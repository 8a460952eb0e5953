"""Train a classifier on the original images, and measure what it makes of the test images as each method shows them."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

from pathlib import Path

from cxr.compute.device import choose_device
from cxr.compute.memory import keep_freed_memory
from cxr.dataset import packed
from cxr.detection.diagnosis import diagnose, obstacle
from cxr.detection.report import DEGRADED_VIEWS, for_metrics, table
from cxr.detection.settings import Diagnose
from cxr.figures import charts
from cxr.figures.layout import save
from cxr.foundation import environment, errors, files, params, provenance
from cxr.foundation.runtime import Runtime
from cxr.superres.evaluation.archive import Archive, test_set
from cxr.superres.methods import ORIGINAL

PARAMS = Path("params.yaml")
PIXELS, TABLE, SPLIT = Path("data/pixels.npy"), Path("data/images.csv"), Path("data/split.csv")
RESTORED = Path("data/restored")
METRICS, FIGURES = Path("metrics/diagnose.json"), Path("plots/diagnose")


def run(workspace: Path) -> None:
    """Train on the training split of `workspace`, choose on its validation split, and report the test split in every view.

    A set in which a part lacks a class ends with that reason in the metrics, since the other stages need no classes.
    """
    settings = params.read(workspace / PARAMS, "diagnose", Diagnose)
    device = choose_device(params.read(workspace / PARAMS, "runtime", Runtime).device)
    data = packed.load(workspace / PIXELS, workspace / TABLE, workspace / SPLIT)
    archive = Archive.open(workspace / RESTORED, data)
    if reason := obstacle(data):
        print(f"Nothing can be said of diagnosis: {reason}")
        files.write_json(workspace / METRICS, {"not_measured": reason})
        with files.replacing_folder(workspace / FIGURES):
            return
    scores, labels, found = diagnose(data, archive, settings, device)
    made_with = [{**provenance.made_with("diagnose"), "device": device.type}]
    name = test_set(data, archive.degradations, archive.seed)
    files.write_json(workspace / METRICS, {**for_metrics(found), "test_set": name, "made_with": made_with})
    with files.replacing_folder(workspace / FIGURES) as folder:
        for degradation in archive.degradations:
            views = {view: scores[view, degradation.name if view != ORIGINAL else ""] for view in (ORIGINAL, *DEGRADED_VIEWS)}
            save(charts.roc_curves(views, labels, degradation.title), folder / f"roc_{degradation.name}.png")
        save(charts.auc_by_degradation(found["intervals"]), folder / "auc.png")
    print(table(found))


if __name__ == "__main__":
    with errors.one_line_errors():
        keep_freed_memory()
        environment.expect("diagnose", {environment.DEVICE: choose_device(params.read(PARAMS, "runtime", Runtime).device).type})
        run(Path())
