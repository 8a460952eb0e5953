"""Draw where each method errs: composed panels of chosen test images, and mean error maps."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from cxr.dataset import packed
from cxr.figures.layout import save
from cxr.figures.panels import error_panel, mean_error_maps
from cxr.foundation import params
from cxr.foundation.errors import one_line_errors
from cxr.foundation.files import replacing_folder, whole
from cxr.superres.evaluation.archive import Archive
from cxr.superres.evaluation.per_image import read
from cxr.superres.evaluation.settings import ErrorMaps
from cxr.superres.evaluation.showcase import choose
from cxr.superres.methods import BICUBIC, LEAD, NAMES, TITLES
from cxr.superres.settings import Degrade

PARAMS = Path("params.yaml")
IMAGES, TABLE, SPLIT = Path("data/images.npy"), Path("data/images.csv"), Path("data/split.csv")
PER_IMAGE, ERRORS, RESTORED = Path("plots/per_image.csv"), Path("data/mean_errors.npz"), Path("data/restored")
PANELS = Path("plots/errormaps")


def run(workspace: Path) -> None:
    """Draw the panels of `workspace` into a folder that replaces the one of an earlier run."""
    settings = params.read(workspace / PARAMS, "errormaps", ErrorMaps)
    degrade = params.read(workspace / PARAMS, "degrade", Degrade)
    data = packed.load(workspace / IMAGES, workspace / TABLE, workspace / SPLIT)
    archive = Archive.open(
        workspace / RESTORED, data.table["id"].iloc[data.rows("test")].tolist(), data.images.shape[1], degrade
    )
    per_image = read(workspace / PER_IMAGE)
    with whole(workspace / ERRORS), np.load(workspace / ERRORS, allow_pickle=False) as file:
        errors = {(model, each.name): file[f"{model}_{each.name}"] for model in NAMES for each in degrade.degradations}
    scores = {
        tuple(key): (float(psnr), float(ssim))
        for *key, psnr, ssim in per_image[["image", "degradation", "model", "psnr", "ssim"]].itertuples(index=False)
    }
    with replacing_folder(workspace / PANELS) as folder:
        for degradation in tqdm(degrade.degradations, "errormaps", unit="degradation", disable=None):
            name = degradation.name
            for number, (rule, image) in enumerate(choose(per_image, name, settings.panels), start=1):
                row = int(np.flatnonzero(data.table["id"] == image)[0])
                truth, low, restored = archive.restored(data.images[row], image, degradation, torch.device("cpu"))
                source = data.table["source"].iloc[row]
                gain = scores[image, name, LEAD][0] - scores[image, name, BICUBIC][0]
                panel = error_panel(
                    truth[0, 0].cpu().numpy(),
                    low[0, 0].cpu().numpy(),
                    {model: restored[model][0, 0].cpu().numpy() for model in NAMES},
                    {model: scores[image, name, model] for model in NAMES},
                    degradation.title,
                    f"{source}: {rule} gain of {TITLES[LEAD]} over bicubic, {gain:+.2f} dB",
                    settings.ceiling,
                    settings.inset,
                )
                save(panel, folder / f"{name}_{number}_{rule}.png")
            averages = {model: errors[model, name] for model in NAMES}
            figure = mean_error_maps(averages, degradation.title, per_image["image"].nunique(), None)
            save(figure, folder / f"{name}_mean.png")


def main() -> None:
    """Run in the current folder."""
    run(Path())


if __name__ == "__main__":
    with one_line_errors():
        main()
