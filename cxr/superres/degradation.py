"""The low-resolution observation of a radiograph: the one function that makes a network's input, in training and after."""

import math
from collections.abc import Iterator
from functools import cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from cxr.compute.device import to_device_async
from cxr.foundation.randomness import generator
from cxr.superres.settings import Degradation

# Bicubic weights at x2 and x4 are dyadic, so that exact halves of a grey level are common, and float32 noise (1e-5 of 256 grey
# levels) would round them differently from one window, batch or device to another. This much is added before rounding.
TIE = 1e-3
WHITE = 255
"""The level of white in 8 bits."""
FINEST_IN_FLOAT32 = (1 << 10) - 1
"""Of images whose white is above this level, float32 would lose TIE: at 12 bits its errors reach 1.1e-3 levels."""

White = int | Tensor
"""The level of white of all images, or that of each (N, 1, 1, 1)."""

# How far, in low-resolution pixels, an output pixel of `low_resolution` followed by `enlarge` can see: the antialiased cubic
# reaches two to either side on the way down and two on the way up, and each grid is offset by less than one.
REACH = 5
MARGIN = 24  # pixels that this comes to at the largest scale, at least; a multiple of every scale


# Pixels of a result that are interpolated at a time, which takes some 30 bytes for each besides it. On a CPU larger strips
# leave its cache; smaller ones take several times as long when threads must wait for a busy core.
STRIP = {"cpu": 1 << 20, "cuda": 1 << 24}

# Up to this many pixels a side, matrix products of all of an image are several times as fast as an interpolation that skips the
# zeros, and as exact.
SMALL = 192


def draw_noise(degradation: Degradation, shape: tuple[int, ...], source: Generator) -> Tensor:
    """Return detector noise of `shape` in grey levels, drawn from `source`; without noise zeros, drawing nothing."""
    return torch.randn(shape, generator=source) * degradation.noise if degradation.noise else torch.zeros(shape)


def noise_for_image(degradation: Degradation, seed: int, image: str, height: int, width: int) -> Tensor:
    """Return the noise of the low-resolution copy of the image with the id `image`: grey levels (1, 1, height, width).

    White Gaussian noise, a function of id, seed, scale and level alone, so that every run measures the same.
    """
    return draw_noise(degradation, (1, 1, height, width), generator("grain", seed, image, degradation.scale))


def crop_to_multiple(images: Tensor, scale: int) -> Tensor:
    """Return `images` (..., H, W) without the last rows and columns that are no multiple of `scale`."""
    height, width = images.shape[-2:]
    return images[..., : height - height % scale, : width - width % scale]


def in_unit_range(levels: Tensor, white: White = WHITE) -> Tensor:
    """Return grey `levels` from 0 to `white`, integers, in [0, 1]: float32, or float64 where they are deeper than 10 bits."""
    return levels.to(working_dtype(white)) / white


def working_dtype(white: White) -> torch.dtype:
    """Return in what dtype images with so many levels are degraded."""
    deepest = white if isinstance(white, int) else int(white.max())
    return torch.float32 if deepest <= FINEST_IN_FLOAT32 else torch.float64


def low_resolution(images: Tensor, scale: int, noise: Tensor | None = None, white: White = WHITE) -> Tensor:
    """Return the low-resolution copies (N, 1, H/scale, W/scale) of `images` (N, 1, H, W), both in [0, 1] and of one dtype.

    Antialiased bicubic interpolation (a = -0.5) as MATLAB's imresize, which the papers used, then the `noise` of the
    detector (N, 1, H/scale, W/scale), if any, in grey levels of 255 whatever the depth, and rounding to the levels there are.
    Images from `in_unit_range` have the dtype that this needs.
    Raises ValueError when H or W is no multiple of `scale`.
    """
    height, width = images.shape[-2:]
    if height % scale or width % scale:
        raise ValueError(f"{height}x{width} is no multiple of the scale {scale}; use crop_to_multiple first")
    low = resize(images, height // scale, width // scale)
    return _rounded(low if noise is None else low + to_device_async(noise, low.device) / WHITE, white) / white


def enlarge(low: Tensor, scale: int) -> Tensor:
    """Return `low` (N, 1, h, w) brought to (N, 1, h*scale, w*scale) by bicubic interpolation, float32 in [0, 1]."""
    enlarged = low.new_empty([*low.shape[:-2], *(length * scale for length in low.shape[-2:])], dtype=torch.float32)
    for place, strip in _strips(low, scale):
        enlarged[..., place, :] = strip.clamp_(0, 1)
    return enlarged


def interpolated(low: Tensor, scale: int) -> Tensor:
    """Return the same as `enlarge` of floats of any range, in their dtype.

    Pixels are multiplied and added up in the same order wherever they lie. So a part of an image, with two more pixels to each
    side, gives to the last bit what the whole gives there.
    """
    enlarged = low.new_empty([*low.shape[:-2], *(length * scale for length in low.shape[-2:])])
    for place, strip in _strips(low, scale):
        enlarged[..., place, :] = strip
    return enlarged


def _strips(low: Tensor, scale: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield `low` interpolated, in strips of rows (N, 1, rows, w*scale), each with its place among the rows of the result."""
    height = low.shape[-2]
    rows = max(STRIP[low.device.type] // max(low[..., :1, :].numel() * scale**2, 1), 1)
    for top in range(0, height, rows):
        above, bottom = max(top - 2, 0), min(top + rows, height)
        down = _enlarged(low[..., above : bottom + 2, :], -2, scale)[..., (top - above) * scale : (bottom - above) * scale, :]
        yield slice(top * scale, bottom * scale), _enlarged(down, -1, scale)


def _enlarged(images: Tensor, axis: int, scale: int) -> Tensor:
    """Return `images` with `scale` times as many pixels along `axis`: each of four neighbours, weighed by Keys' cubic kernel.

    Beyond an end there is nothing, and the other neighbours weigh so much more, as in MATLAB and torch.
    """
    length, around = images.shape[axis], (0, 0) * (-1 - axis) + (2, 2)
    padded, inside = F.pad(images, around), F.pad(images.new_ones(length), (2, 2))
    enlarged = images.new_empty([*images.shape[:axis], length, scale, *images.shape[axis:][1:]])
    weighed = images.new_empty(length, scale)
    for phase, (first, weights) in enumerate(_phases(scale)):
        near, next_, third, far = (padded.narrow(axis, first + i, length) * weight for i, weight in enumerate(weights))
        torch.add(near.add_(next_), third.add_(far), out=enlarged.select(axis, phase))
        weighed[:, phase] = sum(inside[first + i :][:length] * weight for i, weight in enumerate(weights))
    return enlarged.flatten(axis - 1, axis).div_(weighed.view(-1, *[1] * (-1 - axis)))


@cache
def _phases(scale: int) -> list[tuple[int, list[float]]]:
    """Return for each of the pixels that one becomes the first of its four neighbours, counted from two before, and weights.

    Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE ASSP 29(6), 1981, with a = -0.5.
    """
    phases = []
    for phase in range(scale):
        place = (phase + 0.5) / scale + 1.5  # where the pixel that becomes them has its middle at 2
        first = math.floor(place) - 1
        phases.append((first, [_cubic(abs(place - first - i)) for i in range(4)]))
    return phases


def _cubic(distance: float) -> float:
    if distance <= 1:
        return 1.5 * distance**3 - 2.5 * distance**2 + 1
    return -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2


def enlarged_window(low: Tensor, scale: int) -> Tensor:
    """Return the same as `enlarge` but for its last bits, of small images in less time: as matrix products."""
    return resize(low, low.shape[-2] * scale, low.shape[-1] * scale).clamp(0, 1).float()


def to_levels(images: Tensor, white: White = WHITE) -> Tensor:
    """Return `images` in [0, 1] as grey levels from 0 to `white`: clipped, halves rounded up.

    uint8, or int32 where they are deeper than 8 bits.
    """
    deepest = white if isinstance(white, int) else int(white.max())
    return _rounded(images, white).to(torch.uint8 if deepest <= WHITE else torch.int32)


def _rounded(images: Tensor, white: White) -> Tensor:
    levels = (images * white + 0.5 + TIE).floor().clamp_min(0)
    return levels.clamp_max(white) if isinstance(white, int) else levels.minimum(white.to(levels.dtype))


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
