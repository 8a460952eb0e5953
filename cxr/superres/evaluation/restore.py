"""Bicubic interpolation and the trained networks, side by side on the test images."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from cxr.dataset.packed import Dataset, Frame
from cxr.foundation.errors import UserError
from cxr.measures.quality import psnr, ssim
from cxr.superres.degradation import WHITE, in_unit_range, low_resolution, to_levels
from cxr.superres.evaluation.archive import Archive
from cxr.superres.evaluation.mean_errors import MeanErrors
from cxr.superres.evaluation.observed import Restored, degraded
from cxr.superres.methods import NAMES, NETWORKS
from cxr.superres.model import Model, load_model, restore
from cxr.superres.settings import Degradation, Degrade


class Evaluated(NamedTuple):
    """What the test images have been measured to be: a row for each image, degradation and method, and where they err."""

    per_image: pd.DataFrame
    """Columns image, findings, patient, bits, model, degradation, psnr (dB), ssim, inconsistency (grey levels of 255)."""
    errors: MeanErrors


class Restorers:
    """Every method at every scale, ready to restore."""

    def __init__(self, models: Path, degrade: Degrade, device: torch.device) -> None:
        """Load the files NAME.safetensors in the folder `models`, which the training stages wrote.

        Raises UserError when one is missing, is no model, or was not trained for what `degrade` asks.
        """
        self.degrade, self.device = degrade, device
        self.models = {name: _loaded(models / f"{name}.safetensors", name, degrade, device) for name in NETWORKS}

    def evaluate(self, data: Dataset, folder: Path) -> Evaluated:
        """Restore and measure the test images of `data` at every degradation, and keep in `folder` what was restored."""
        rows = data.rows("test")
        errors, measurements = MeanErrors(data.images.shapes[rows]), []
        with Archive.writer(folder, data, self.degrade.degradations) as writer:
            for row in tqdm(rows, "evaluate", unit="image", disable=None):
                described, image = data.table.iloc[row], data.images[row]
                of_image = {"image": described["id"], "findings": described["findings"], "patient": described["patient"]}
                for degradation in self.degrade.degradations:
                    restored = self.restore(image, described["id"], degradation)
                    writer.add(restored, degradation)
                    errors.add(restored, degradation)
                    of_image |= {"bits": image.bits, "degradation": degradation.name}
                    measurements += [{**of_image, **each} for each in measured(restored, degradation.scale)]
        columns = ["image", "findings", "patient", "bits", "model", "degradation", "psnr", "ssim", "inconsistency"]
        return Evaluated(pd.DataFrame(measurements)[columns], errors)

    def restore(self, image: Frame, identity: str, degradation: Degradation) -> Restored:
        """Degrade `image`, whose id is `identity`, and return it with what each of the methods makes of the rest."""
        seen = degraded(image, identity, degradation, self.degrade, self.device)
        enhanced = self.enhanced(seen.bicubic, degradation.scale)
        return seen.restored({name: to_levels(each, seen.white) for name, each in enhanced.items()})

    def enhanced(self, bicubic: Tensor, scale: int) -> dict[str, Tensor]:
        """Return what each of the networks makes of the bicubically enlarged image (1, 1, H, W), float32 in [0, 1].

        It multiplies in what its model chose when it was loaded (`cxr.superres.model.Model.precision`).
        """
        return {name: restore(model, bicubic, scale) for name, model in self.models.items()}

    def precisions(self) -> dict[str, str]:
        """Return by network what it multiplies in."""
        return {name: str(model.precision).removeprefix("torch.") for name, model in self.models.items()}


def inconsistency(restored: Tensor, low: Tensor, scale: int, white: int = WHITE) -> Tensor:
    """Return how far `restored`, degraded again, is from what it was made of: the RMS difference in grey levels of 255 (N,).

    `restored` is in grey levels from 0 to `white` (N, 1, H, W), `low` the low-resolution image (N, 1, H/scale, W/scale). A
    network that invents structure which `low` contradicts shows here: the data consistency of Bahat and Michaeli, "Explorable
    Super Resolution", CVPR 2020, section 3. Where `low` has noise, a perfect restoration differs from it by that noise.
    """
    again = low_resolution(in_unit_range(restored, white), scale, white=white) * white
    return (again - low.to(again.dtype)).square().mean(dim=(1, 2, 3)).sqrt() * (WHITE / white)


def measured(restored: Restored, scale: int) -> list[dict[str, str | float]]:
    """Return a row for each of the methods: model, psnr in dB and ssim on the image's own range, inconsistency."""
    images = torch.cat([restored.images[model] for model in NAMES])
    low = restored.low.expand(len(images), -1, -1, -1)
    quality = (measure(images, restored.truth, scale, restored.white) for measure in (psnr, ssim))
    found = *quality, inconsistency(images, low, scale, restored.white)
    return [
        {"model": model, "psnr": value, "ssim": similarity, "inconsistency": off}
        for model, value, similarity, off in zip(NAMES, *(each.tolist() for each in found), strict=True)
    ]


def _loaded(path: Path, name: str, degrade: Degrade, device: torch.device) -> Model:
    """Return the model in `path`. Raises UserError unless it is the network `name`, trained for all that `degrade` asks."""
    model = load_model(path, device)
    if model.name != name:
        raise UserError(f"{path} holds {model.name}, not {name}; train it again")
    for what, wanted in degrade.levels.items():
        if missing := [level for level in wanted if level not in model.described[what]]:
            raise UserError(f"{path} was not trained for {what} {missing[0]:g}; run dvc repro, which trains it")
    return model
