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
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.GroupNorm(GROUPS, after), nn.ReLU())
            for before, after in zip((1, *WIDTHS[:-1]), WIDTHS, strict=True)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of `images`."""
        return self._features(images)[-1]

    def described(self, images: Tensor) -> Tensor:
        """Return features (N, D) that tell whether `images` are like others: those of the last two layers."""
        return torch.cat(self._features(images)[-2:], 1)

    def _features(self, images: Tensor) -> list[Tensor]:
        """Return mean and maximum over the image of each layer."""
        maps, found = standardised(images), []
        for layer in self.layers:
            maps = layer(maps)
            found.append(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1))
        return found


def standardised(images: Tensor) -> Tensor:
    """Return each of `images` (N, 1, H, W) with mean 0 and standard deviation 1; a blank one as zeros."""
    centred = images - images.mean((2, 3), keepdim=True)
    return centred / centred.square().mean((2, 3), keepdim=True).sqrt().clamp(min=1e-3)
