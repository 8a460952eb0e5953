"""A network on a whole radiograph, in tiles when that is large."""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise, product

import torch
from torch import Tensor

# Rows and columns of what layers see: a tile's maps (64 of them in float32) take 80 MB on a CPU. Two are there at a time, in
# EDSR's blocks four.
TILE_CPU, TILE_CUDA = (512, 512), (1024, 1024)

LEAST = 1024
"""Pixels that layers see at once, at least, where an image has as many.

On a CPU torch leaves a float32 convolution of one image to oneDNN if that holds more than 20,480 numbers, which is 320 pixels
of 64 maps, and adds smaller ones up in an order of its own. Last bits would then differ from those of a larger piece of the
image. With 2 to 22 maps they differ, as measured, only for images of 5 pixels a side.
"""


@torch.inference_mode()
def tiled(
    network: Callable[..., Tensor],
    halo: int,
    images: Tensor,
    tile: tuple[int, int] | None = None,
    done: Callable[[int], object] | None = None,
    bicubic: Tensor | None = None,
) -> Tensor:
    """Return what `network` makes of `images` (N, 1, H, W), float32 in [0, 1], clipped to that range.

    A post-upsampling network is given, besides, the same `bicubic`ally enlarged (N, 1, s H, s W), and makes images of that
    size. Images larger than a `tile` of so many rows and columns (chosen to suit the device when None) go through in tiles with
    `halo` pixels to each side, as far as the network sees, so that the result is that of the whole image and memory stays
    bounded. Thin images go through in longer tiles, of `LEAST` pixels. `done` is told the pixels of each finished tile.
    """
    height, width = images.shape[-2:]
    rows, columns = tile or (TILE_CPU if images.device.type == "cpu" else TILE_CUDA)
    # Shares are at least half as long as what they are cut by.
    rows, columns = max(rows, math.ceil(2 * LEAST / width)), max(columns, math.ceil(2 * LEAST / height))
    larger = images if bicubic is None else bicubic
    scale = larger.shape[-1] // width
    enhanced = torch.empty_like(larger)
    for (top, bottom), (left, right) in product(_shared(height, rows), _shared(width, columns)):
        above, before = max(top - halo, 0), max(left - halo, 0)
        inputs = [images[..., above : bottom + halo, before : right + halo]]
        if bicubic is not None:
            inputs.append(bicubic[..., _times(scale, above, bottom + halo), _times(scale, before, right + halo)])
        own = _times(scale, top - above, bottom - above), _times(scale, left - before, right - before)
        enhanced[..., _times(scale, top, bottom), _times(scale, left, right)] = network(*inputs)[..., own[0], own[1]]
        if done:
            done((bottom - top) * (right - left) * scale**2)
    return enhanced.clamp_(0, 1)


def _times(scale: int, first: int, behind: int) -> slice:
    return slice(first * scale, behind * scale)


def _shared(length: int, most: int) -> Iterable[tuple[int, int]]:
    """Return where parts of `length`, as few as can be of at most `most` each and as equal, begin and end."""
    return pairwise(length * i // math.ceil(length / most) for i in range(math.ceil(length / most) + 1))
