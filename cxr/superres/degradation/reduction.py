"""Bicubic reduction, as the papers of the field have it."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from cxr.compute.device import to_device_async
from cxr.superres.degradation.levels import WHITE, White, rounded

# Up to this many pixels a side, matrix products of all of an image are several times as fast as an interpolation that skips the
# zeros, and as exact.
SMALL = 192


def crop_to_multiple(images: Tensor, scale: int) -> Tensor:
    """Return `images` (..., H, W) without the last rows and columns that are no multiple of `scale`."""
    height, width = images.shape[-2:]
    return images[..., : height - height % scale, : width - width % scale]


def low_resolution(images: Tensor, scale: int, noise: Tensor | None = None, white: White = WHITE) -> Tensor:
    """Return the low-resolution copies (N, 1, H/scale, W/scale) of `images` (N, 1, H, W), both in [0, 1] and of one dtype.

    Antialiased bicubic interpolation (a = -0.5) as MATLAB's imresize, which the papers used, then the `noise` of the
    detector (N, 1, H/scale, W/scale), if any, in grey levels of 255 whatever the depth, and rounding to the levels there are.
    Images from `in_unit_range` have the dtype that this needs.
    Raises ValueError when H or W is no multiple of `scale`.
    """
    low = reduced(images, scale)
    return rounded(low if noise is None else low + to_device_async(noise, low.device) / WHITE, white) / white


def reduced(images: Tensor, scale: int) -> Tensor:
    """Return the low-resolution copies of `images` before noise and rounding. Raises ValueError as `low_resolution` does."""
    height, width = images.shape[-2:]
    if height % scale or width % scale:
        raise ValueError(f"{height}x{width} is no multiple of the scale {scale}; use crop_to_multiple first")
    return resize(images, height // scale, width // scale)


def resize(images: Tensor, height: int, width: int) -> Tensor:
    """Return `images` (N, 1, H, W) as (N, 1, height, width), floats, by antialiased bicubic interpolation (a = -0.5)."""
    if max(*images.shape[-2:], height, width) > SMALL:
        return _interpolated(images, height, width)
    lengths = zip(images.shape[-2:], (height, width), strict=True)
    down, across = (_weights(*each, images.device, images.dtype) for each in lengths)
    with torch.autocast(images.device.type, enabled=False):  # which lets interpolations be, but would round products
        return down @ images @ across.mT


def _interpolated(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, (height, width), mode="bicubic", antialias=True)


@cache  # for good, since a CUDA graph may read them
def _weights(length: int, wanted: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return by what pixels in a line of `length` are multiplied, and added up, to be a line of `wanted`: (wanted, length)."""
    with torch.inference_mode(False):  # kept for uses in which gradients are wanted, too
        return _interpolated(torch.eye(length, device=device, dtype=dtype)[None, None], wanted, length)[0, 0]
