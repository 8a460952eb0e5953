"""SRCNN: Dong, Loy, He and Tang, "Image Super-Resolution Using Deep Convolutional Networks", TPAMI 38(2), 2016."""

from typing import cast

import torch
from torch import Generator, Tensor, nn

# Patch extraction, non-linear mapping and reconstruction (section 3): the sides of their filters and the numbers of maps.
KERNELS = (9, 5, 5)
WIDTHS = (64, 32)


class SRCNN(nn.Module):
    """The network 9-5-5 with 64 and 32 filters (section 4.3.2): 57,281 parameters, for one scale.

    Takes and returns float32 (N, 1, H, W) in [0, 1]; the input is the bicubically enlarged image. Unlike the original,
    whose output was smaller than its input, zero padding keeps the size.
    """

    halo = sum(kernel // 2 for kernel in KERNELS)
    """Pixels to each side that an output pixel depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.extraction = nn.Conv2d(1, WIDTHS[0], KERNELS[0], padding="same")
        self.mapping = nn.Conv2d(WIDTHS[0], WIDTHS[1], KERNELS[1], padding="same")
        self.reconstruction = nn.Conv2d(WIDTHS[1], 1, KERNELS[2], padding="same")
        for layer in (self.extraction, self.mapping, self.reconstruction):
            nn.init.normal_(layer.weight, std=0.001)  # section 3.3
            nn.init.zeros_(cast(Tensor, layer.bias))

    def forward(self, images: Tensor) -> Tensor:
        """Return the enhanced images."""
        features = torch.relu(self.mapping(torch.relu(self.extraction(images))))
        # The last layer makes the image itself: with bfloat16's 8 bits of mantissa half a grey level would be lost.
        with torch.autocast(images.device.type, enabled=False):
            enhanced: Tensor = self.reconstruction(features.float())
        return enhanced


@torch.no_grad()
def start_from_bicubic(network: SRCNN, seed: int) -> None:
    """Draw the first weights from `seed` such that the untrained network returns its input, the bicubic image.

    With the published start, N(0, 0.001), Adam spends most of a short run learning to copy the image. Here one filter of
    each layer copies it from the start (grey levels are not negative, so ReLU lets them pass) and the others start as He et
    al. propose ("Delving Deep into Rectifiers", ICCV 2015, section 2.2), unheard by the last layer. The network itself,
    its layers and parameters, are as published.
    """
    generator = Generator().manual_seed(seed)
    for layer in (network.extraction, network.mapping):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        _copy_first_map(layer)
    nn.init.zeros_(network.reconstruction.weight)
    _copy_first_map(network.reconstruction)


def _copy_first_map(layer: nn.Conv2d) -> None:
    centre = layer.kernel_size[0] // 2
    layer.weight[0] = 0
    layer.weight[0, 0, centre, centre] = 1
    nn.init.zeros_(cast(Tensor, layer.bias))
