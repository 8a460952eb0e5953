"""Grey levels of any depth, and the same in [0, 1]."""

import torch
from torch import Tensor

# Bicubic weights at x2 and x4 are dyadic, so that exact halves of a grey level are common, and float32 noise (1e-5 of 256 grey
# levels) would round them differently from one window, batch or device to another. This much is added before rounding.
TIE = 1e-3
WHITE = 255
"""The level of white in 8 bits."""
FINEST_IN_FLOAT32 = (1 << 10) - 1
"""Of images whose white is above this level, float32 would lose TIE: at 12 bits its errors reach 1.1e-3 levels."""

White = int | Tensor
"""The level of white of all images, or that of each (N, 1, 1, 1)."""


def in_unit_range(levels: Tensor, white: White = WHITE) -> Tensor:
    """Return grey `levels` from 0 to `white`, integers, in [0, 1]: float32, or float64 where they are deeper than 10 bits."""
    return levels.to(working_dtype(white)) / white


def working_dtype(white: White) -> torch.dtype:
    """Return in what dtype images with so many levels are degraded."""
    return torch.float32 if _deepest(white) <= FINEST_IN_FLOAT32 else torch.float64


def to_levels(images: Tensor, white: White = WHITE) -> Tensor:
    """Return `images` in [0, 1] as grey levels from 0 to `white`: clipped, halves rounded up.

    uint8, or int32 where they are deeper than 8 bits.
    """
    return rounded(images, white).to(torch.uint8 if _deepest(white) <= WHITE else torch.int32)


def rounded(images: Tensor, white: White) -> Tensor:
    """Return the same as `to_levels` in the dtype of `images`."""
    levels = (images * white + 0.5 + TIE).floor().clamp_min(0)
    return levels.clamp_max(white) if isinstance(white, int) else levels.minimum(white.to(levels.dtype))


def _deepest(white: White) -> int:
    return white if isinstance(white, int) else int(white.max())
