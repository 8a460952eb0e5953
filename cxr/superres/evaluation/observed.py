"""A radiograph and what the methods are given of it, made in one place for every stage that looks at the test images."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cxr.dataset.packed import Images
from cxr.superres.degradation import crop_to_multiple, enlarge, low_resolution, noise_for_image, to_levels
from cxr.superres.methods import BICUBIC
from cxr.superres.settings import Degradation, Degrade


class Restored(NamedTuple):
    """A radiograph's ground truth, its low-resolution copy, and what each of the methods made of that: grey levels, uint8.

    (1, 1, H, W), H and W being multiples of the scale; the copy has 1/scale of that.
    """

    truth: Tensor
    low: Tensor
    images: dict[str, Tensor]


class Observed(NamedTuple):
    """A radiograph's ground truth, its low-resolution copy, and that enlarged by bicubic interpolation: the networks' input.

    The truth is uint8 (1, 1, H, W), H and W being the largest multiples of the scale in the radiograph's; the others are
    float32 in [0, 1], the copy with 1/scale of that.
    """

    truth: Tensor
    low: Tensor
    bicubic: Tensor

    def restored(self, images: dict[str, Tensor]) -> Restored:
        """Return it in grey levels, with `images`, uint8 (1, 1, H, W), that the networks made of it, by name."""
        return Restored(self.truth, to_levels(self.low), {BICUBIC: to_levels(self.bicubic), **images})


def degraded(image: Images, identity: str, degradation: Degradation, degrade: Degrade, device: torch.device) -> Observed:
    """Return `image`, uint8 (H, W), whose id is `identity`, and what `degradation` leaves of it, on `device`."""
    scale = degradation.scale
    truth = crop_to_multiple(torch.from_numpy(np.array(image)).to(device)[None, None], scale)
    height, width = truth.shape[-2:]
    noise = noise_for_image(degradation, degrade.seed, identity, height // scale, width // scale)
    low = low_resolution(truth.float() / 255, scale, noise)
    return Observed(truth, low, enlarge(low, scale))
