"""Bicubic interpolation and the trained networks, side by side on the test images."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from cxr.dataset.packed import Dataset, Images
from cxr.foundation.errors import UserError
from cxr.measures.quality import psnr, ssim
from cxr.superres.degradation import low_resolution, to_levels
from cxr.superres.evaluation.archive import Archive
from cxr.superres.evaluation.mean_errors import MeanErrors
from cxr.superres.evaluation.observed import Restored, degraded
from cxr.superres.methods import NAMES, NETWORKS
from cxr.superres.model import Model, load_model, restore
from cxr.superres.settings import Degradation, Degrade


class Evaluated(NamedTuple):
    """What the test images have been measured to be: a row for each image, degradation and method, and where they err."""

    per_image: pd.DataFrame
    """Columns image, class, patient, model, degradation, psnr (dB), ssim, inconsistency (grey levels)."""
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
        errors, measurements = MeanErrors(len(rows)), []
        ids = data.table["id"].iloc[rows].tolist()
        with Archive.writer(folder, ids, data.images.shape[1], self.degrade.degradations) as writer:
            for row in tqdm(rows, "evaluate", unit="image", disable=None):
                described = data.table.iloc[row]
                of_image = {"image": described["id"], "class": described["class"], "patient": described["patient"]}
                for degradation in self.degrade.degradations:
                    restored = self.restore(data.images[row], described["id"], degradation)
                    writer.add(restored, degradation)
                    errors.add(restored, degradation)
                    of_image["degradation"] = degradation.name
                    measurements += [{**of_image, **each} for each in measured(restored, degradation.scale)]
        columns = ["image", "class", "patient", "model", "degradation", "psnr", "ssim", "inconsistency"]
        return Evaluated(pd.DataFrame(measurements)[columns], errors)

    def restore(self, image: Images, identity: str, degradation: Degradation) -> Restored:
        """Degrade `image` (H, W), whose id is `identity`, and return it with what each of the methods makes of the rest."""
        seen = degraded(image, identity, degradation, self.degrade, self.device)
        enhanced = self.enhanced(seen.bicubic, degradation.scale)
        return seen.restored({name: to_levels(image) for name, image in enhanced.items()})

    def enhanced(self, bicubic: Tensor, scale: int) -> dict[str, Tensor]:
        """Return what each of the networks makes of the bicubically enlarged image (1, 1, H, W), float32 in [0, 1].

        It multiplies in what its model chose when it was loaded (`cxr.superres.model.Model.precision`).
        """
        return {name: restore(model, bicubic, scale) for name, model in self.models.items()}

    def precisions(self) -> dict[str, str]:
        """Return by network what it multiplies in."""
        return {name: str(model.precision).removeprefix("torch.") for name, model in self.models.items()}


def inconsistency(restored: Tensor, low: Tensor, scale: int) -> Tensor:
    """Return how far `restored`, degraded again, is from what it was made of: the RMS difference in grey levels (N,).

    `restored` is uint8 (N, 1, H, W), `low` the low-resolution image, uint8 (N, 1, H/scale, W/scale). A network that invents
    structure which `low` contradicts shows here: the data consistency of Bahat and Michaeli, "Explorable Super Resolution",
    CVPR 2020, section 3. Where `low` has noise, a perfect restoration differs from it by that noise.
    """
    again = low_resolution(restored.float() / 255, scale) * 255
    return (again - low.float()).square().mean(dim=(1, 2, 3)).sqrt()


def measured(restored: Restored, scale: int) -> list[dict[str, str | float]]:
    """Return a row for each of the methods: model, psnr in dB, ssim, inconsistency in grey levels."""
    images = torch.cat([restored.images[model] for model in NAMES])
    low = restored.low.expand(len(images), -1, -1, -1)
    found = psnr(images, restored.truth, scale), ssim(images, restored.truth, scale), inconsistency(images, low, scale)
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
