"""Bicubic interpolation and the two trained networks, side by side on one radiograph."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from superres import modelfile
from superres.dataset import Images
from superres.degrade import crop_to_multiple, low_resolution, observe, to_levels
from superres.errors import UserError
from superres.inference import enhance
from superres.models.srcnn import SRCNN
from superres.models.vdsr import VDSR

MODELS = ("bicubic", "srcnn", "vdsr")


class Restorers:
    """Every method at every scale, ready to restore."""

    def __init__(self, srcnn: Path, vdsr: Path, scales: tuple[int, ...], device: torch.device) -> None:
        """Load the model files that the stages train_srcnn and train_vdsr wrote.

        Raises UserError when a file is missing, is no model, or lacks one of `scales`.
        """
        self.device = device
        per_scale, _ = modelfile.read(srcnn)
        for_all, described = modelfile.read(vdsr)
        if missing := [scale for scale in scales if f"x{scale}" not in per_scale]:
            raise UserError(f"{srcnn} has no network for scale {missing[0]}; run dvc repro, which trains it")
        if missing := [scale for scale in scales if scale not in described["scales"]]:
            raise UserError(f"{vdsr} was not trained for scale {missing[0]}; run dvc repro, which trains it")
        self.srcnn = {scale: SRCNN() for scale in scales}
        for scale, network in self.srcnn.items():
            network.load_state_dict(per_scale[f"x{scale}"])
            network.to(device)
        self.vdsr = VDSR()
        self.vdsr.load_state_dict(for_all["vdsr"])
        self.vdsr.to(device)

    def restore(self, image: Images, scale: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Degrade `image` (H, W) by `scale` and return the ground truth and what each of MODELS makes of the rest.

        All are grey levels, uint8 (1, 1, H', W') on the device, H' and W' being the largest multiples of `scale` in H and W.
        Computed in float32, so that the figures do not depend on what the hardware likes best.
        """
        truth = crop_to_multiple(torch.from_numpy(np.array(image)).to(self.device)[None, None], scale)
        bicubic = observe(truth.float() / 255, scale)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            restored = {
                "bicubic": bicubic,
                "srcnn": enhance(self.srcnn[scale], bicubic),
                "vdsr": enhance(self.vdsr, bicubic),
            }
        return truth, {model: to_levels(image) for model, image in restored.items()}


def inconsistency(restored: Tensor, truth: Tensor, scale: int) -> Tensor:
    """Return how far `restored`, degraded again, is from the degraded `truth`: the RMS difference in grey levels (N,).

    Both are uint8 (N, 1, H, W). A network that invents structure which the low-resolution image contradicts shows here:
    the data consistency of Bahat and Michaeli, "Explorable Super Resolution", CVPR 2020, section 3.
    """
    again, observed = (low_resolution(images.float() / 255, scale) * 255 for images in (restored, truth))
    return (again - observed).square().mean(dim=(1, 2, 3)).sqrt()
