"""A network on a whole radiograph, in tiles when that is large."""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise, product
from typing import Protocol

import torch
from torch import Tensor

# Rows and columns. On a CPU a tile's maps (64 of them in float32) are to stay below 32 MB: larger ones the C library always
# gives back to the system, and getting them again, page by page, takes longer than the convolution that fills them. Wide tiles
# have less to do twice, since networks drop the rows of a halo on the way.
TILE_CPU, TILE_CUDA = (176, 512), (1024, 1024)


class Network(Protocol):
    """What this module needs to know of a network."""

    halo: int

    def __call__(self, images: Tensor, above: int, below: int) -> Tensor:
        """Return the enhanced images (N, 1, H, W) without their first rows, `above`, and their last, `below`."""


@torch.inference_mode()
def tiled(
    network: Network, images: Tensor, tile: tuple[int, int] | None = None, done: Callable[[int], object] | None = None
) -> Tensor:
    """Return what `network` makes of `images` (N, 1, H, W), float32 in [0, 1], clipped to that range.

    Images larger than a `tile` of so many rows and columns (chosen to suit the device when None) go through in tiles with a
    halo as wide as the network can see, so that the result is that of the whole image and memory stays bounded. `done` is
    told the pixels of each finished tile.
    """
    height, width = images.shape[-2:]
    rows, columns = tile or (TILE_CPU if images.device.type == "cpu" else TILE_CUDA)
    enhanced = torch.empty_like(images)
    for (top, bottom), (left, right) in product(_shared(height, rows), _shared(width, columns)):
        first, last = max(top - network.halo, 0), min(bottom + network.halo, height)
        before = max(left - network.halo, 0)
        window = images[..., first:last, before : right + network.halo]
        restored = network(window, top - first, last - bottom)[..., left - before : right - before]
        enhanced[..., top:bottom, left:right] = restored.clamp(0, 1)
        if done:
            done((bottom - top) * (right - left))
    return enhanced


def _shared(length: int, most: int) -> Iterable[tuple[int, int]]:
    """Return where parts of `length`, as few as can be of at most `most` each and as equal, begin and end."""
    return pairwise(length * i // math.ceil(length / most) for i in range(math.ceil(length / most) + 1))
