"""Bicubic interpolation and the two trained networks, side by side on one radiograph."""

from pathlib import Path

import torch
from torch import Tensor

from cxr.dataset.packed import Images
from cxr.foundation.errors import UserError
from cxr.measures.quality import psnr, ssim
from cxr.superres.degradation import enlarge, low_resolution, to_levels
from cxr.superres.evaluation.archive import MODELS, Restored, degraded
from cxr.superres.model import Model, load_model, restore
from cxr.superres.settings import Degradation, Degrade


class Restorers:
    """Every method at every scale, ready to restore."""

    def __init__(self, srcnn: Path, vdsr: Path, degrade: Degrade, device: torch.device) -> None:
        """Load the model files that the stages train_srcnn and train_vdsr wrote.

        Raises UserError when a file is missing, is no model, or was not trained for what `degrade` asks.
        """
        self.degrade, self.device = degrade, device
        self.srcnn, self.vdsr = load_model(srcnn, device), load_model(vdsr, device)
        _check(srcnn, "srcnn", self.srcnn, degrade)
        _check(vdsr, "vdsr", self.vdsr, degrade)
        self.precision = self.vdsr.precision

    def restore(self, image: Images, identity: str, degradation: Degradation) -> Restored:
        """Degrade `image` (H, W), whose id is `identity`, and return it with what each of MODELS makes of the rest.

        All are (1, 1, H', W') on the device, H' and W' being the largest multiples of the scale in H and W; the low-resolution
        copy has 1/scale of that.
        """
        truth, low = degraded(image, identity, degradation, self.degrade, self.device)
        scale = degradation.scale
        restored = self.enhanced(enlarge(low, scale), scale)
        return Restored(truth, to_levels(low), {model: to_levels(image) for model, image in restored.items()})

    def enhanced(self, bicubic: Tensor, scale: int) -> dict[str, Tensor]:
        """Return what each of MODELS makes of the bicubically enlarged image (1, 1, H, W), float32 in [0, 1].

        VDSR multiplies in bfloat16 when it was trained so and the hardware has it, the rest in float32.
        """
        return {"bicubic": bicubic, "srcnn": restore(self.srcnn, bicubic, scale), "vdsr": restore(self.vdsr, bicubic, scale)}


def inconsistency(restored: Tensor, low: Tensor, scale: int) -> Tensor:
    """Return how far `restored`, degraded again, is from what it was made of: the RMS difference in grey levels (N,).

    `restored` is uint8 (N, 1, H, W), `low` the low-resolution image, uint8 (N, 1, H/scale, W/scale). A network that invents
    structure which `low` contradicts shows here: the data consistency of Bahat and Michaeli, "Explorable Super Resolution",
    CVPR 2020, section 3. Where `low` has noise, a perfect restoration differs from it by that noise.
    """
    again = low_resolution(restored.float() / 255, scale) * 255
    return (again - low.float()).square().mean(dim=(1, 2, 3)).sqrt()


def measured(restored: Restored, scale: int) -> dict[str, list[float]]:
    """Return by metric (psnr in dB, ssim, inconsistency in grey levels) what each of MODELS, in order, reaches."""
    images = torch.cat([restored.images[model] for model in MODELS])
    low = restored.low.expand(len(images), -1, -1, -1)
    return {
        "psnr": psnr(images, restored.truth, scale).tolist(),
        "ssim": ssim(images, restored.truth, scale).tolist(),
        "inconsistency": inconsistency(images, low, scale).tolist(),
    }


def _check(path: Path, name: str, model: Model, degrade: Degrade) -> None:
    """Raise UserError when `path` does not hold the network `name`, trained for every scale and noise of `degrade`."""
    if model.name != name:
        raise UserError(f"{path} holds {model.name}, not {name}; train it again")
    for what, wanted in degrade.levels.items():
        if missing := [level for level in wanted if level not in model.described[what]]:
            raise UserError(f"{path} was not trained for {what} {missing[0]:g}; run dvc repro, which trains it")
