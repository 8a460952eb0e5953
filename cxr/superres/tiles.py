"""A network on a whole radiograph, in tiles when that is large."""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise, product

import torch
from torch import Tensor

# Rows and columns of what layers see: a tile's maps (64 of them in float32) take 80 MB on a CPU. Two are there at a time, in
# EDSR's blocks four.
TILE_CPU, TILE_CUDA = (512, 512), (1024, 1024)

ALONE = 20_480
"""Numbers of one image, from which, on a CPU, torch leaves its float32 convolution to oneDNN; and that of two images always.

Smaller ones it adds up in an order of its own. Last bits would then differ from those of a larger piece of the image.
"""


@torch.inference_mode()
def tiled(
    network: Callable[..., Tensor],
    halo: int,
    images: Tensor,
    tile: tuple[int, int] | None = None,
    done: Callable[[int], object] | None = None,
    bicubic: Tensor | None = None,
    single: bool = True,
) -> Tensor:
    """Return what `network` makes of `images` (N, 1, H, W), float32 in [0, 1], clipped to that range.

    A post-upsampling network is given, besides, the same `bicubic`ally enlarged (N, 1, s H, s W), and makes images of that
    size. Images larger than a `tile` of so many rows and columns (chosen to suit the device when None) go through in tiles with
    `halo` pixels to each side, as far as the network sees, so that the result is that of the whole image and memory stays
    bounded. On a CPU, and in `single` precision, a small tile goes through twice at once, so that it gets the sums of a large
    one (`ALONE`). `done` is told the pixels of each finished tile.
    """
    height, width = images.shape[-2:]
    rows, columns = tile or (TILE_CPU if images.device.type == "cpu" else TILE_CUDA)
    larger = images if bicubic is None else bicubic
    scale = larger.shape[-1] // width
    enhanced = torch.empty_like(larger)
    for (top, bottom), (left, right) in product(_shared(height, rows), _shared(width, columns)):
        above, before = max(top - halo, 0), max(left - halo, 0)
        inputs = [images[..., above : bottom + halo, before : right + halo]]
        if bicubic is not None:
            inputs.append(bicubic[..., _times(scale, above, bottom + halo), _times(scale, before, right + halo)])
        own = _times(scale, top - above, bottom - above), _times(scale, left - before, right - before)
        if single and len(images) == 1 and images.device.type == "cpu" and inputs[0][0, 0].numel() <= ALONE:
            inputs = [each.expand(2, -1, -1, -1) for each in inputs]
        made = network(*inputs)[: len(images), :, own[0], own[1]]
        enhanced[..., _times(scale, top, bottom), _times(scale, left, right)] = made
        if done:
            done((bottom - top) * (right - left) * scale**2)
    return enhanced.clamp_(0, 1)


def _times(scale: int, first: int, behind: int) -> slice:
    return slice(first * scale, behind * scale)


def _shared(length: int, most: int) -> Iterable[tuple[int, int]]:
    """Return where parts of `length`, as few as can be of at most `most` each and as equal, begin and end."""
    return pairwise(length * i // math.ceil(length / most) for i in range(math.ceil(length / most) + 1))
