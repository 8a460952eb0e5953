"""A whole image through a network, in tiles when it is large."""

from typing import Protocol

import torch
from torch import Tensor

# Pixels a side. On a CPU a tile's maps (64 of them) are to stay below 32 MB: larger ones the C library gives back to the system
# at once, and getting them again, page by page, takes longer than the convolution that fills them.
TILE_CPU, TILE_CUDA = 256, 1024


class Network(Protocol):
    """What this module needs to know of a network."""

    halo: int

    def __call__(self, images: Tensor) -> Tensor:
        """Return the enhanced images (N, 1, H, W)."""


@torch.inference_mode()
def enhance(network: Network, images: Tensor, tile: tuple[int, int] | None = None) -> Tensor:
    """Return what `network` makes of `images` (N, 1, H, W), float32 in [0, 1], clipped to that range.

    Images larger than `tile` (height, width; chosen to suit the device when None) go through in tiles with a halo as wide as
    the network can see, so that the result is that of the whole image and memory stays bounded.
    """
    height, width = images.shape[-2:]
    tall, wide = tile or _tile(images.device)
    enhanced = torch.empty_like(images)
    for top in range(0, height, tall):
        for left in range(0, width, wide):
            bottom, right = min(top + tall, height), min(left + wide, width)
            above, before = max(top - network.halo, 0), max(left - network.halo, 0)
            window = images[..., above : bottom + network.halo, before : right + network.halo]
            restored = network(window)[..., top - above : bottom - above, left - before : right - before]
            enhanced[..., top:bottom, left:right] = restored.clamp(0, 1)
    return enhanced


def _tile(device: torch.device) -> tuple[int, int]:
    if device.type != "cpu":
        return TILE_CUDA, TILE_CUDA
    halved = torch.is_autocast_enabled("cpu")
    return TILE_CPU, TILE_CPU * (2 if halved else 1)
