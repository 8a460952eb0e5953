"""The low-resolution observation of a radiograph: the one function that makes a network's input, in training and after."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from superres.params import Must

# Bicubic weights at x2 and x4 are dyadic, so that exact halves of a grey level are common, and float32 noise (1e-5 grey
# levels) would round them differently from one window, batch or device to another. This much is added before rounding.
TIE = 1e-3

# How far, in pixels at scale s, an output pixel of `low_resolution` followed by `enlarge` can see: the antialiased cubic
# reaches 2 s pixels to either side on the way down and 2 low-resolution pixels on the way up, and each grid is offset by
# less than one low-resolution pixel. Twelve is a multiple of every scale, which keeps crops on the grid of the whole image.
MARGIN = 24


@dataclass(frozen=True)
class Degrade:
    """Section `degrade` of params.yaml."""

    scales: Annotated[
        tuple[Literal[2, 3, 4], ...],
        Must("at least one, each once", lambda scales: 0 < len(scales) == len(set(scales))),
    ]


def crop_to_multiple(images: Tensor, scale: int) -> Tensor:
    """Return `images` (..., H, W) without the last rows and columns that are no multiple of `scale`."""
    height, width = images.shape[-2:]
    return images[..., : height - height % scale, : width - width % scale]


def low_resolution(images: Tensor, scale: int) -> Tensor:
    """Return the low-resolution copies (N, 1, H/scale, W/scale) of `images` (N, 1, H, W), both float32 in [0, 1].

    Antialiased bicubic interpolation (a = -0.5) as MATLAB's imresize, which the papers used, then rounding to 8 bits.
    Raises ValueError when H or W is no multiple of `scale`.
    """
    height, width = images.shape[-2:]
    if height % scale or width % scale:
        raise ValueError(f"{height}x{width} is no multiple of the scale {scale}; use crop_to_multiple first")
    return to_levels(_resize(images, height // scale, width // scale)).float() / 255


def enlarge(low: Tensor, scale: int) -> Tensor:
    """Return `low` (N, 1, h, w) brought to (N, 1, h*scale, w*scale) by bicubic interpolation, float32 in [0, 1]."""
    height, width = low.shape[-2:]
    return _resize(low, height * scale, width * scale).clamp(0, 1)


def observe(images: Tensor, scale: int) -> Tensor:
    """Return what a network is given for the ground truth `images` (N, 1, H, W): same shape, float32 in [0, 1]."""
    return enlarge(low_resolution(images, scale), scale)


def to_levels(images: Tensor) -> Tensor:
    """Return `images` in [0, 1] as 8-bit grey levels (uint8): clipped, halves rounded up."""
    return (images * 255 + 0.5 + TIE).floor().clamp(0, 255).to(torch.uint8)


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, (height, width), mode="bicubic", antialias=True)
