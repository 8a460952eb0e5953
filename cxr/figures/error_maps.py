"""The error maps of a run: panels of chosen test images, and the mean over all of them, for one degradation after another."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from cxr.dataset.packed import Dataset
from cxr.figures.panels import error_panel, mean_error_maps
from cxr.superres.evaluation.archive import Archive
from cxr.superres.evaluation.observed import Restored
from cxr.superres.evaluation.settings import ErrorMaps
from cxr.superres.evaluation.showcase import choose
from cxr.superres.methods import BICUBIC, LEAD, NAMES, TITLES
from cxr.superres.settings import Degradation


def panels(
    data: Dataset, archive: Archive, per_image: pd.DataFrame, degradation: Degradation, settings: ErrorMaps
) -> Iterator[tuple[str, Figure]]:
    """Yield a file's stem and the panel for each of the test images of `data` that `choose` shows of `degradation`.

    `archive` holds what the networks made of them, and `per_image`, as evaluate wrote it, how good that is.
    """
    rows = per_image[per_image["degradation"] == degradation.name]
    named = zip(rows["image"], rows["model"], strict=True)
    scores = dict(zip(named, zip(rows["psnr"], rows["ssim"], strict=True), strict=True))
    for number, (rule, image) in enumerate(choose(per_image, degradation.name, settings.panels), start=1):
        row = int(np.flatnonzero(data.table["id"] == image)[0])
        restored = archive.restored(data.images[row], image, degradation, torch.device("cpu"))
        gain = scores[image, LEAD][0] - scores[image, BICUBIC][0]
        title = f"{data.table['source'].iloc[row]}: {rule} gain of {TITLES[LEAD]} over bicubic, {gain:+.2f} dB"
        of_image = {model: scores[image, model] for model in NAMES}
        yield f"{degradation.name}_{number}_{rule}", panel(restored, of_image, degradation, title, settings)


def panel(
    restored: Restored, scores: Mapping[str, tuple[float, float]], degradation: Degradation, title: str, settings: ErrorMaps
) -> Figure:
    """Return the panel of one image, of which `scores` are the PSNR (dB) and SSIM by model."""
    shown = {model: restored.in_8_bits(restored.images[model])[0, 0].numpy() for model in NAMES}
    truth, low = (restored.in_8_bits(each)[0, 0].numpy() for each in (restored.truth, restored.low))
    errors = {model: restored.error(model).numpy() for model in NAMES}
    return error_panel(truth, low, shown, errors, scores, degradation.title, title, settings.ceiling, settings.inset)


def mean_map(errors: dict[str, np.ndarray], per_image: pd.DataFrame, degradation: Degradation) -> tuple[str, Figure]:
    """Return a file's stem and the mean error maps of `degradation`, of which `errors` holds those of each method (H, W)."""
    return f"{degradation.name}_mean", mean_error_maps(errors, degradation.title, per_image["image"].nunique(), None)
