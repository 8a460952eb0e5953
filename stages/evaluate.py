"""Measure bicubic interpolation and each network on the test split."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

import sys
from pathlib import Path

from cxr.compute.device import choose_device, resolved
from cxr.compute.memory import keep_freed_memory
from cxr.dataset import packed
from cxr.foundation import environment, errors, files, params, provenance
from cxr.foundation.runtime import Runtime
from cxr.superres.evaluation.archive import test_set
from cxr.superres.evaluation.report import bars, for_metrics, gains_by_image, means, summary, table
from cxr.superres.evaluation.restore import Restorers
from cxr.superres.methods import NAMES
from cxr.superres.settings import Degrade, Evaluate, chosen, conditions

PARAMS = Path("params.yaml")
PIXELS, TABLE, SPLIT = Path("data/pixels.npy"), Path("data/images.csv"), Path("data/split.csv")
MODELS, RESTORED, ERRORS = Path("models"), Path("data/restored"), Path("data/mean_errors.npz")
CHARTS = {"psnr": Path("plots/psnr.csv"), "ssim": Path("plots/ssim.csv")}
PER_IMAGE, GAINS = Path("plots/per_image.csv"), Path("plots/gains.csv")
CHECKPOINTS = Path("checkpoints")
METRICS, STATISTICS = Path("metrics/evaluate.json"), Path("metrics/statistics.json")


def run(workspace: Path) -> None:
    """Evaluate the models of `workspace` on its test split; write metrics, tables, mean error maps and restored images."""
    path = workspace / PARAMS
    degrade, evaluate = params.read(path, "degrade", Degrade), params.read(path, "evaluate", Evaluate)
    degradations = chosen(conditions(path), evaluate.conditions, degrade.scales, path)
    device = choose_device(params.read(workspace / PARAMS, "runtime", Runtime).device)
    data = packed.load(workspace / PIXELS, workspace / TABLE, workspace / SPLIT)
    restorers = Restorers(workspace / MODELS, degradations, degrade.seed, device)
    with files.replacing_folder(workspace / RESTORED) as folder:
        per_image, mean_errors = restorers.evaluate(data, folder)
    mean_errors.save(workspace / ERRORS)
    files.write_table(workspace / PER_IMAGE, per_image)
    in_the_mean = means(per_image, NAMES)
    for metric, path in CHARTS.items():
        files.write_table(workspace / path, bars(in_the_mean, metric))
    files.write_table(workspace / GAINS, gains_by_image(per_image))
    # In a list, which metrics diff leaves out.
    made = [{**provenance.made_with("evaluate"), "device": device.type, "precision": restorers.precisions()}]
    measured = {"test_set": test_set(data, degradations, degrade.seed)}
    files.write_json(workspace / STATISTICS, {**summary(per_image), "costs": restorers.costs(), **measured, "made_with": made})
    files.write_json(workspace / METRICS, {**for_metrics(in_the_mean), **measured})
    sys.stderr.writelines(f"{line}\n" for line in restorers.elsewhere())
    print(table(per_image), restorers.cost_table(workspace / CHECKPOINTS), sep="\n\n")


if __name__ == "__main__":
    with errors.one_line_errors():
        keep_freed_memory()
        environment.expect("evaluate", resolved(params.read(PARAMS, "runtime", Runtime).device))
        run(Path())
