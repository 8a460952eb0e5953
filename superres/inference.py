"""A whole image through a network, in tiles when it is large."""

from typing import Protocol

import torch
from torch import Tensor

TILE = 1024


class Network(Protocol):
    """What this module needs to know of a network."""

    halo: int

    def __call__(self, images: Tensor) -> Tensor:
        """Return the enhanced images (N, 1, H, W)."""


@torch.inference_mode()
def enhance(network: Network, images: Tensor, tile: int = TILE) -> Tensor:
    """Return what `network` makes of `images` (N, 1, H, W), float32 in [0, 1], clipped to that range.

    Images larger than `tile` go through in tiles with a halo as wide as the network can see, so that the result is that of
    the whole image and memory stays bounded.
    """
    height, width = images.shape[-2:]
    enhanced = torch.empty_like(images)
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            above, before = max(top - network.halo, 0), max(left - network.halo, 0)
            window = images[..., above : bottom + network.halo, before : right + network.halo]
            restored = network(window)[..., top - above : bottom - above, left - before : right - before]
            enhanced[..., top:bottom, left:right] = restored.clamp(0, 1)
    return enhanced
