"""SRCNN: Dong, Loy, He and Tang, "Image Super-Resolution Using Deep Convolutional Networks", TPAMI 38(2), 2016."""

from typing import cast

import torch
from torch import Generator, Tensor, nn

from cxr.superres.architectures.srcnn import Mapping
from cxr.superres.network import SuperResolution

# Patch extraction and reconstruction (section 3): the sides of their filters; and the numbers of maps.
EXTRACTION, RECONSTRUCTION = 9, 5
WIDTHS = (64, 32)


class SRCNN(SuperResolution):
    """The network 9-5-5 with 64 and 32 filters: 57,281 parameters, for one scale; or 9-1-5 or 9-3-5 (section 4.3.3).

    Takes and returns float32 (N, 1, H, W) in [0, 1]; the input is the bicubically enlarged image. Every layer repeats its
    border pixels outwards, as the authors' test code does, so that the size is kept.
    """

    def __init__(self, mapping: Mapping = 5) -> None:
        super().__init__()
        self.halo = EXTRACTION // 2 + mapping // 2 + RECONSTRUCTION // 2
        """Pixels to each side that an output pixel depends on."""
        self.extraction = nn.Conv2d(1, WIDTHS[0], EXTRACTION, padding="same", padding_mode="replicate")
        self.mapping = nn.Conv2d(WIDTHS[0], WIDTHS[1], mapping, padding="same", padding_mode="replicate")
        self.reconstruction = nn.Conv2d(WIDTHS[1], 1, RECONSTRUCTION, padding="same", padding_mode="replicate")
        for layer in (self.extraction, self.mapping, self.reconstruction):
            nn.init.normal_(layer.weight, std=0.001)  # section 3.3
            nn.init.zeros_(cast(Tensor, layer.bias))

    def forward(self, images: Tensor) -> Tensor:
        """Return the enhanced images."""
        features = self.extraction(images).relu_()
        mapped = self.mapping(features).relu_()
        enhanced: Tensor = self.reconstruction(mapped)
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
