"""What happens to a radiograph on its way to a network: blur, reduction, noise, rounding and JPEG, in one function for all."""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from cxr.compute.device import to_device_async
from cxr.foundation.randomness import generator
from cxr.superres.degradation.jpeg import compressed
from cxr.superres.degradation.levels import WHITE, White, rounded
from cxr.superres.degradation.reduction import reduced
from cxr.superres.settings import Degradation

# How far, in low-resolution pixels, an output pixel of `observed` followed by an enlargement can see: the antialiased cubic
# reaches two to either side on the way down and two on the way up, and each grid is offset by less than one.
REACH = 5
# Pixels that this comes to at the largest scale, with the 4 of the softest blur, at least; a multiple of every scale.
MARGIN = 24


def reach(degradation: Degradation) -> int:
    """Return how many pixels of the radiograph around a pixel of the enlarged image decide it."""
    return REACH * degradation.scale + len(_filter(degradation)) // 2


def observed(images: Tensor, degradation: Degradation, field: Tensor | None = None, white: White = WHITE) -> Tensor:
    """Return the low-resolution copies (N, 1, H/scale, W/scale) that `degradation` leaves of `images` (N, 1, H, W).

    Both in [0, 1] and of one dtype, that of `in_unit_range`. In turn: blur; antialiased bicubic reduction (`reduction`);
    noise, which is `field` (N, 1, H/scale, W/scale) of `noise_field` times its standard deviation; rounding to the levels
    there are; JPEG. The variance of the noise is what the electronics' has everywhere and, with q quanta at white, a pixel's
    share of white divided by q, that of counted quanta: Foi, Trimeche, Katkovnik and Egiazarian, "Practical
    Poissonian-Gaussian Noise Modeling and Fitting for Single-Image Raw-Data", IEEE TIP 17(10), 2008.
    Raises ValueError when H or W is no multiple of the scale.
    """
    low = reduced(blurred(images, degradation), degradation.scale)
    if field is not None and degradation.noisy:
        drawn = to_device_async(field, low.device)
        if degradation.quanta:
            deviation = (degradation.noise**2 + WHITE**2 / degradation.quanta * low.clamp(0, 1)).sqrt()
            low = low + drawn * deviation / WHITE
        else:
            low = low + drawn * degradation.noise / WHITE
    low = rounded(low, white) / white
    return rounded(compressed(low, degradation.jpeg), white) / white if degradation.jpeg else low


def noise_field(degradation: Degradation, shape: tuple[int, ...], source: Generator) -> Tensor | None:
    """Return noise of unit standard deviation and `shape` (..., H, W), drawn from `source`; without noise None, and no draw.

    White, or correlated as a detector's, whose light spreads before it is counted, by a Gaussian of low-resolution pixels.
    """
    if not degradation.noisy:
        return None
    if not degradation.grain:
        return torch.randn(shape, generator=source)
    taps = gaussian(degradation.grain)
    *others, height, width = shape
    wider = torch.randn([*others, height + len(taps) - 1, width + len(taps) - 1], generator=source)
    return _filtered(wider, taps) / taps.square().sum()


def field_for_image(degradation: Degradation, seed: int, image: str, height: int, width: int) -> Tensor | None:
    """Return the noise field of the low-resolution copy of the image with the id `image`: (1, 1, height, width), or None.

    A function of id, seed and scale alone, so that every run measures the same.
    """
    return noise_field(degradation, (1, 1, height, width), generator("grain", seed, image, degradation.scale))


def blurred(images: Tensor, degradation: Degradation) -> Tensor:
    """Return `images` (N, 1, H, W) behind the blur of `degradation`, if any; what lies beyond the edge is as the edge is."""
    taps = _filter(degradation)
    if len(taps) == 1:
        return images
    padded = F.pad(images, [len(taps) // 2] * 4, mode="replicate")
    return _filtered(padded, taps)


def _filter(degradation: Degradation) -> Tensor:
    """Return the taps of a blur: those of a Gaussian along a line, or of a disc in a square, odd; a single 1 without blur."""
    if degradation.disc:
        return _disc(degradation.disc)
    return gaussian(degradation.blur) if degradation.blur else torch.ones(1)


def gaussian(deviation: float) -> Tensor:
    """Return the taps of a Gaussian along a line, of `deviation` pixels, which sum to 1: an odd number."""
    around = math.ceil(3 * deviation)
    taps = torch.exp(-0.5 * (torch.arange(-around, around + 1, dtype=torch.float64) / deviation).square())
    return (taps / taps.sum()).float()


def _disc(radius: float, finer: int = 16) -> Tensor:
    """Return what share of each pixel lies in a disc of `radius` pixels, as a focal spot's, on a grid `finer` times as fine."""
    around = math.ceil(radius - 0.5)
    line = (torch.arange((2 * around + 1) * finer, dtype=torch.float64) + 0.5) / finer - around - 0.5
    inside = (line[:, None].square() + line.square() <= radius**2).double()
    taps = F.avg_pool2d(inside[None, None], finer)[0, 0]
    return (taps / taps.sum()).float()


def _filtered(images: Tensor, taps: Tensor) -> Tensor:
    """Return where `taps` lie inside `images` (..., H, W) what they make of them: of a line, along rows and along columns."""
    taps = taps.to(images.device, images.dtype)
    maps = images.reshape(-1, 1, *images.shape[-2:])
    with torch.autocast(images.device.type, enabled=False):
        if taps.dim() == 2:
            made = F.conv2d(maps, taps[None, None])
        else:
            made = F.conv2d(F.conv2d(maps, taps[None, None, :, None]), taps[None, None, None])
    return made.reshape(*images.shape[:-2], *made.shape[-2:])
