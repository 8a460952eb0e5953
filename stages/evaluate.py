"""Measure bicubic interpolation and each network on the test split."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxr.compute.device import choose_device
from cxr.compute.memory import keep_freed_memory
from cxr.dataset import packed
from cxr.foundation import params
from cxr.foundation.errors import one_line_errors
from cxr.foundation.files import replacing, replacing_folder, write_json, write_table
from cxr.foundation.provenance import made_with
from cxr.foundation.runtime import Runtime
from cxr.superres.evaluation.archive import Archive
from cxr.superres.evaluation.report import gains_by_image, means, summary, table
from cxr.superres.evaluation.restore import Restorers, measured
from cxr.superres.methods import NAMES
from cxr.superres.settings import Degrade

PARAMS = Path("params.yaml")
IMAGES, TABLE, SPLIT = Path("data/images.npy"), Path("data/images.csv"), Path("data/split.csv")
MODELS = Path("models")
PER_IMAGE = Path("plots/per_image.csv")
CHARTS = {"psnr": Path("plots/psnr.csv"), "ssim": Path("plots/ssim.csv")}
GAINS = Path("plots/gains.csv")
ERRORS, RESTORED = Path("data/mean_errors.npz"), Path("data/restored")
METRICS, STATISTICS = Path("metrics/evaluate.json"), Path("metrics/statistics.json")


def run(workspace: Path) -> None:
    """Evaluate the models of `workspace` on its test split; write metrics, tables, mean error maps and restored images."""
    degrade = params.read(workspace / PARAMS, "degrade", Degrade)
    device = choose_device(params.read(workspace / PARAMS, "runtime", Runtime).device)
    data = packed.load(workspace / IMAGES, workspace / TABLE, workspace / SPLIT)
    restorers = Restorers(workspace / MODELS, degrade, device)
    rows = data.rows("test")
    per_model: list[dict[str, str | float]] = []
    errors: dict[str, np.ndarray] = {}
    identities = data.table["id"].iloc[rows].tolist()
    with (
        replacing_folder(workspace / RESTORED) as folder,
        Archive.writer(folder, identities, data.images.shape[1], degrade.degradations) as writer,
    ):
        for row in tqdm(rows, "evaluate", unit="image", disable=None):
            described = data.table.iloc[row]
            for degradation in degrade.degradations:
                restored = restorers.restore(data.images[row], described["id"], degradation)
                writer.add(restored, degradation)
                quality = measured(restored, degradation.scale)
                for number, model in enumerate(NAMES):
                    name = f"{model}_{degradation.name}"
                    error = (restored.images[model].float() - restored.truth.float()).abs()[0, 0].cpu().numpy() / len(rows)
                    errors[name] = errors.get(name, 0) + error
                    per_model.append(
                        {
                            "image": described["id"],
                            "class": described["class"],
                            "patient": described["patient"],
                            "model": model,
                            "degradation": degradation.name,
                            **{metric: values[number] for metric, values in quality.items()},
                        }
                    )
    per_image = pd.DataFrame(per_model)
    in_the_mean = means(per_image, NAMES)
    write_table(workspace / PER_IMAGE, per_image)
    for metric, path in CHARTS.items():
        bars = [
            {"degradation": degradation, "model": model, metric: quality[metric]}
            for model, by_degradation in in_the_mean.items()
            for degradation, quality in by_degradation.items()
        ]
        write_table(workspace / path, bars)
    write_table(workspace / GAINS, gains_by_image(per_image))
    with replacing(workspace / ERRORS) as partial:
        np.savez(partial, allow_pickle=False, **errors)
    precisions = {name: str(model.precision).removeprefix("torch.") for name, model in restorers.models.items()}
    made = {**made_with("evaluate"), "device": device.type, "precision": precisions}
    write_json(workspace / STATISTICS, {**summary(per_image), "made_with": [made]})  # a list, which metrics diff leaves out
    write_json(workspace / METRICS, {**in_the_mean, "test_set": packed.digest(data.images, rows)[:12]})
    print(table(per_image))


def main() -> None:
    """Run in the current folder."""
    keep_freed_memory()
    run(Path())


if __name__ == "__main__":
    with one_line_errors():
        main()
