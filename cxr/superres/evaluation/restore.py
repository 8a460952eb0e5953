"""Bicubic interpolation and the trained networks, side by side on one radiograph."""

from pathlib import Path

import torch
from torch import Tensor

from cxr.dataset.packed import Images
from cxr.foundation.errors import UserError
from cxr.measures.quality import psnr, ssim
from cxr.superres.degradation import enlarge, low_resolution, to_levels
from cxr.superres.evaluation.archive import Restored, degraded
from cxr.superres.methods import BICUBIC, NAMES, NETWORKS
from cxr.superres.model import Model, load_model, restore
from cxr.superres.settings import Degradation, Degrade


class Restorers:
    """Every method at every scale, ready to restore."""

    def __init__(self, models: Path, degrade: Degrade, device: torch.device) -> None:
        """Load the files NAME.safetensors in the folder `models`, which the training stages wrote.

        Raises UserError when one is missing, is no model, or was not trained for what `degrade` asks.
        """
        self.degrade, self.device = degrade, device
        self.models = {name: _loaded(models / f"{name}.safetensors", name, degrade, device) for name in NETWORKS}

    def restore(self, image: Images, identity: str, degradation: Degradation) -> Restored:
        """Degrade `image` (H, W), whose id is `identity`, and return it with what each of the methods makes of the rest.

        All are (1, 1, H', W') on the device, H' and W' being the largest multiples of the scale in H and W; the low-resolution
        copy has 1/scale of that.
        """
        truth, low = degraded(image, identity, degradation, self.degrade, self.device)
        scale = degradation.scale
        restored = self.enhanced(enlarge(low, scale), scale)
        return Restored(truth, to_levels(low), {model: to_levels(image) for model, image in restored.items()})

    def enhanced(self, bicubic: Tensor, scale: int) -> dict[str, Tensor]:
        """Return what each of the methods makes of the bicubically enlarged image (1, 1, H, W), float32 in [0, 1].

        A network multiplies in what its model chose when it was loaded (`cxr.superres.model.Model.precision`).
        """
        return {BICUBIC: bicubic, **{name: restore(model, bicubic, scale) for name, model in self.models.items()}}


def inconsistency(restored: Tensor, low: Tensor, scale: int) -> Tensor:
    """Return how far `restored`, degraded again, is from what it was made of: the RMS difference in grey levels (N,).

    `restored` is uint8 (N, 1, H, W), `low` the low-resolution image, uint8 (N, 1, H/scale, W/scale). A network that invents
    structure which `low` contradicts shows here: the data consistency of Bahat and Michaeli, "Explorable Super Resolution",
    CVPR 2020, section 3. Where `low` has noise, a perfect restoration differs from it by that noise.
    """
    again = low_resolution(restored.float() / 255, scale) * 255
    return (again - low.float()).square().mean(dim=(1, 2, 3)).sqrt()


def measured(restored: Restored, scale: int) -> dict[str, list[float]]:
    """Return by metric (psnr in dB, ssim, inconsistency in grey levels) what each of the methods, in order, reaches."""
    images = torch.cat([restored.images[model] for model in NAMES])
    low = restored.low.expand(len(images), -1, -1, -1)
    return {
        "psnr": psnr(images, restored.truth, scale).tolist(),
        "ssim": ssim(images, restored.truth, scale).tolist(),
        "inconsistency": inconsistency(images, low, scale).tolist(),
    }


def _loaded(path: Path, name: str, degrade: Degrade, device: torch.device) -> Model:
    """Return the model in `path`. Raises UserError unless it is the network `name`, trained for all that `degrade` asks."""
    model = load_model(path, device)
    if model.name != name:
        raise UserError(f"{path} holds {model.name}, not {name}; train it again")
    for what, wanted in degrade.levels.items():
        if missing := [level for level in wanted if level not in model.described[what]]:
            raise UserError(f"{path} was not trained for {what} {missing[0]:g}; run dvc repro, which trains it")
    return model
