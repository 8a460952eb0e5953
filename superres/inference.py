"""A whole image through a network, in tiles when it is large."""

from typing import Protocol

import torch
from torch import Tensor

# Pixels a side. On a CPU a tile's maps (64 of them, or 192 of half the size) are to stay below 32 MB: larger ones the C library
# always gives back to the system, and getting them again, page by page, takes longer than the convolution that fills them.
TILE_CPU, TILE_CUDA = 256, 1024


class Network(Protocol):
    """What this module needs to know of a network."""

    halo: int

    def __call__(self, images: Tensor) -> Tensor:
        """Return the enhanced images (N, 1, H, W)."""


@torch.inference_mode()
def enhance(network: Network, images: Tensor, tile: int | None = None) -> Tensor:
    """Return what `network` makes of `images` (N, 1, H, W), float32 in [0, 1], clipped to that range.

    Images larger than `tile` pixels a side (chosen to suit the device when None) go through in tiles with a halo as wide as
    the network can see, so that the result is that of the whole image and memory stays bounded.
    """
    height, width = images.shape[-2:]
    tile = tile or (TILE_CPU if images.device.type == "cpu" else TILE_CUDA)
    enhanced = torch.empty_like(images)
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            above, before = max(top - network.halo, 0), max(left - network.halo, 0)
            window = images[..., above : bottom + network.halo, before : right + network.halo]
            restored = network(window)[..., top - above : bottom - above, left - before : right - before]
            enhanced[..., top:bottom, left:right] = restored.clamp(0, 1)
    return enhanced
