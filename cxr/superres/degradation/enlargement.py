"""Bicubic enlargement, in strips, whose parts equal the whole."""

import math
from collections.abc import Iterator
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from cxr.superres.degradation.reduction import resize

# Pixels of a result that are interpolated at a time, which takes some 30 bytes for each besides it. On a CPU larger strips
# leave its cache; smaller ones take several times as long when threads must wait for a busy core.
STRIP = {"cpu": 1 << 20, "cuda": 1 << 24}


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
