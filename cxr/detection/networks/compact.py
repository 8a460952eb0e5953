"""A compact convolutional network for radiographs."""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96, 128)
GROUPS = 8  # of channels that are normalised together: Wu and He, "Group Normalization", ECCV 2018


class Compact(nn.Module):
    """Five 3x3 layers with stride 2, group normalisation and ReLU, then mean and maximum over the image: 189,744 parameters.

    Takes float32 (N, 1, H, W), of any size, in [0, 1], and brings each image to mean 0 and standard deviation 1 first, so that
    exposure tells it nothing. Returns features (N, 256).
    """

    width = 2 * WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((1, *WIDTHS[:-1]), WIDTHS, strict=True):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.GroupNorm(GROUPS, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of `images`."""
        maps: Tensor = self.layers(standardised(images))
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)


def standardised(images: Tensor) -> Tensor:
    """Return each of `images` (N, 1, H, W) with mean 0 and standard deviation 1; a blank one as zeros."""
    centred = images - images.mean((2, 3), keepdim=True)
    return centred / centred.square().mean((2, 3), keepdim=True).sqrt().clamp(min=1e-3)
