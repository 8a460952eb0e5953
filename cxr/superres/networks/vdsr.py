"""VDSR: Kim, Lee and Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016."""

from collections.abc import Mapping
from itertools import pairwise
from typing import cast

import torch
from torch import Generator, Tensor, nn

from cxr.superres.network import SuperResolution

DEPTH = 20
WIDTH = 64


class VDSR(SuperResolution):
    """Twenty 3x3 layers of 64 filters that learn what the bicubic image lacks (section 3.1): 665,921 parameters.

    Takes and returns float32 (N, 1, H, W) in [0, 1]; the input is the bicubically enlarged image. One network for all
    scales. Zero padding keeps the size.
    """

    halo = DEPTH
    """Pixels to each side that an output pixel depends on."""

    def __init__(self) -> None:
        super().__init__()
        widths = [1, *[WIDTH] * (DEPTH - 1), 1]
        layers = [nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # section 5.2, as He et al.
            nn.init.zeros_(cast(Tensor, layer.bias))
        self.layers = nn.ModuleList(layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return the enhanced images."""
        first, *middle, last = self.layers
        # The first layer never multiplies in bfloat16, which holds half a grey level of the image at best.
        with torch.autocast(images.device.type, enabled=False):
            maps = first(images).relu_()
        for layer in middle:
            maps = layer(maps).relu_()
        residual: Tensor = last(maps)
        return images + residual


@torch.no_grad()
def start_from_bicubic(network: VDSR, seed: int) -> None:
    """Draw the first weights from `seed`, and let the untrained network return its input, the bicubic image.

    He initialisation as published, but for the last layer, which starts at zero: He's would add a residual as strong as
    the image, and a short run would spend its best steps on taking that back.
    """
    generator = Generator().manual_seed(seed)
    *layers, last = (cast(nn.Conv2d, layer) for layer in network.layers)
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(last.weight)


def as_multiplied(weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return a VDSR's `weights` (a state_dict) rounded to `dtype` where the network rounds them when it multiplies in that.

    What it makes of an image in `dtype` is then the same, and in float32 nearer to that: what is left is the rounding of maps.
    """
    return {
        name: tensor if name.startswith("layers.0.") else tensor.to(dtype).to(tensor.dtype) for name, tensor in weights.items()
    }
