"""EDSR: Lim, Son, Kim, Nah and Lee, "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from cxr.superres.degradation.maps import MAPS
from cxr.superres.network import SuperResolution

SCALES = (2, 3, 4)


class Block(nn.Module):
    """A residual block without batch normalisation (section 3.1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return `maps` (N, width, H, W) and what the layers add."""
        residual: Tensor = self.second(self.first(maps).relu_())
        return maps + residual


class EDSR(SuperResolution):
    """Residual blocks at low resolution, one body for all scales as in MDSR (section 3.3): 645,149 parameters.

    Takes the low-resolution images, float32 (N, 1, H, W) in [0, 1], and the same enlarged by bicubic interpolation, which tell
    the scale s; returns float32 (N, 1, s H, s W), not clipped. Each scale has one layer of its own that makes s*s pixels of
    each (sub-pixel convolution: Shi et al., CVPR 2016). Zero padding keeps the size. The published baseline has 16 blocks,
    enlarges its 64 maps, has one more layer at full size, and adds to no image; MDSR begins with blocks for each scale.
    One that is `told` takes (N, 1 + MAPS, H, W): the images, and beside them maps of how they arrived.
    """

    post_upsampling = True

    def __init__(self, blocks: int = 8, width: int = 64, scales: Sequence[int] = SCALES, told: bool = False) -> None:
        super().__init__()
        self.halo, self.told = 2 * blocks + 3, told
        self.head = nn.Conv2d(1 + MAPS if told else 1, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.last = nn.Conv2d(width, width, 3, padding=1)
        self.tails = nn.ModuleDict({f"x{scale}": nn.Conv2d(width, scale**2, 3, padding=1) for scale in scales})

    def forward(self, low: Tensor, bicubic: Tensor) -> Tensor:
        """Return the enhanced images. Raises KeyError for a scale that has no layer."""
        scale = bicubic.shape[-1] // low.shape[-1]
        # The first layer never multiplies in bfloat16, which holds half a grey level of the image at best.
        with torch.autocast(low.device.type, enabled=False):
            maps = self.head(low)
        half = torch.is_autocast_enabled(low.device.type)
        kind = torch.get_autocast_dtype(low.device.type) if half else maps.dtype
        maps = maps.to(kind, memory_format=torch.channels_last)  # so that additions and the next layers need not convert it
        maps = maps + self.last(self.blocks(maps))
        return bicubic + F.pixel_shuffle(self.tails[f"x{scale}"](maps), scale)


SMALL = 0.1
"""Of He's standard deviation: what the second layers of blocks start with, so that blocks add little at first."""


@torch.no_grad()
def start_from_bicubic(network: EDSR, seed: int) -> None:
    """Draw the first weights from `seed`, and let the untrained network return the bicubic image.

    He initialisation, but for the last layers and what maps beside the image are weighed by, which start at zero, and the
    second layers of blocks. So maps that say nothing in training say nothing later.
    """
    generator = Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            seen = layer.weight[:, :1] if layer is network.head else layer.weight
            nn.init.kaiming_normal_(seen, nonlinearity="relu", generator=generator)
            nn.init.zeros_(cast(Tensor, layer.bias))
    nn.init.zeros_(network.head.weight[:, 1:])
    for block in network.blocks:
        cast(Block, block).second.weight *= SMALL
    for tail in network.tails.values():
        nn.init.zeros_(cast(nn.Conv2d, tail).weight)


def as_multiplied(weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return an EDSR's `weights` (a state_dict) rounded to `dtype` where the network rounds them when it multiplies in that.

    What it makes of an image in `dtype` is then the same, and in float32 nearer to that: what is left is the rounding of maps.
    """
    return {name: tensor if name.startswith("head.") else tensor.to(dtype).to(tensor.dtype) for name, tensor in weights.items()}
