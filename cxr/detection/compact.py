"""A compact convolutional classifier of radiographs."""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96, 128)
GROUPS = 8  # of channels that are normalised together: Wu and He, "Group Normalization", ECCV 2018
DROPOUT = 0.2


class Compact(nn.Module):
    """Five 3x3 layers with stride 2, group normalisation and ReLU, then mean and maximum over the image: 190,001 parameters.

    Takes float32 (N, 1, H, W), of any size, in [0, 1], and brings each image to mean 0 and standard deviation 1 first, so that
    exposure tells it nothing. Returns logits (N,): above 0 for PNEUMONIA.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((1, *WIDTHS[:-1]), WIDTHS, strict=True):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.GroupNorm(GROUPS, after), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(2 * WIDTHS[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        maps: Tensor = self.features(standardised(images))
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)
        logits: Tensor = self.head(self.dropout(pooled))[:, 0]
        return logits


def standardised(images: Tensor) -> Tensor:
    """Return each of `images` (N, 1, H, W) with mean 0 and standard deviation 1; a blank one as zeros."""
    centred = images - images.mean((2, 3), keepdim=True)
    return centred / centred.square().mean((2, 3), keepdim=True).sqrt().clamp(min=1e-3)
