"""A radiograph and what the methods are given of it, made in one place for every stage that looks at the test images."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cxr.dataset.packed import Frame
from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.degradation.levels import WHITE, in_unit_range, to_levels
from cxr.superres.degradation.passage import field_for_image
from cxr.superres.degradation.passage import observed as arrived
from cxr.superres.degradation.reduction import crop_to_multiple
from cxr.superres.methods import BICUBIC
from cxr.superres.settings import Degradation


class Restored(NamedTuple):
    """A radiograph's ground truth, its low-resolution copy, and what each of the methods made of that: grey levels.

    Integers (1, 1, H, W) from 0 to `white`, uint8 or, where they are deeper, int32; H and W are multiples of the scale, and the
    copy has 1/scale of that.
    """

    truth: Tensor
    low: Tensor
    images: dict[str, Tensor]
    white: int = WHITE

    def in_8_bits(self, levels: Tensor) -> Tensor:
        """Return `levels`, some of its images, as they are shown: uint8."""
        return levels if self.white == WHITE else (levels.float() * (WHITE / self.white)).round().to(torch.uint8)

    def error(self, method: str) -> Tensor:
        """Return how far a method's image is from the truth, in grey levels of 255: float32 (H, W)."""
        return (self.images[method].float() - self.truth.float()).abs()[0, 0] * (WHITE / self.white)


class Observed(NamedTuple):
    """A radiograph's ground truth, its low-resolution copy, and that enlarged by bicubic interpolation: the networks' input.

    The truth is in grey levels (1, 1, H, W) from 0 to `white`, H and W being the largest multiples of the scale in the
    radiograph's; the others are in [0, 1], the copy with 1/scale of that.
    """

    truth: Tensor
    low: Tensor
    bicubic: Tensor
    white: int

    def restored(self, images: dict[str, Tensor]) -> Restored:
        """Return it in grey levels, with `images` (1, 1, H, W), in grey levels, that the networks made of it, by name."""
        bicubic = to_levels(self.bicubic, self.white)
        return Restored(self.truth, to_levels(self.low, self.white), {BICUBIC: bicubic, **images}, self.white)


def degraded(image: Frame, identity: str, degradation: Degradation, seed: int, device: torch.device) -> Observed:
    """Return `image`, whose id is `identity`, and what `degradation`, with noise of `seed`, leaves of it, on `device`."""
    scale = degradation.scale
    truth = crop_to_multiple(as_levels(image, device), scale)
    height, width = truth.shape[-2:]
    field = field_for_image(degradation, seed, identity, height // scale, width // scale)
    low = arrived(in_unit_range(truth, image.white), degradation, field, image.white)
    return Observed(truth, low, enlarge(low, scale), image.white)


def as_levels(image: Frame, device: torch.device) -> Tensor:
    """Return the grey levels of `image` (1, 1, H, W) on `device`: uint8, or int32 where they are deeper than 8 bits."""
    kind = np.uint8 if image.white <= WHITE else np.int32
    return torch.from_numpy(image.pixels.astype(kind)).to(device)[None, None]
