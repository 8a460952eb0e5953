"""SRCNN in float32 on a CUDA GPU, whose outer layers have one channel for each column of their filters."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxr.superres.networks.srcnn import EXTRACTION, RECONSTRUCTION, SRCNN


class Columns(nn.Module):
    """SRCNN with its outer layers rewritten for memory that has channels last.

    Convolutions from one channel or to one are slow. Copies of the image, shifted along its rows, as the channels of a column
    of filters are the same as the first layer; and so is the last one as a channel for each of its filter's columns, which
    are then shifted against each other and added.
    """

    def __init__(self, network: SRCNN, _precision: torch.dtype) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the enhanced images, float32 (N, 1, H, W)."""
        extraction, mapping, reconstruction = self.network.extraction, self.network.mapping, self.network.reconstruction
        by_column = extraction.weight.permute(0, 3, 2, 1).contiguous()  # (64, 9, 9, 1)
        maps = torch.relu(F.conv2d(_shifted(images), by_column, extraction.bias))
        maps = torch.relu(F.conv2d(_padded(maps, mapping.kernel_size[0] // 2), mapping.weight, mapping.bias))
        by_column = reconstruction.weight.permute(3, 1, 2, 0).contiguous()  # (5, 32, 5, 1)
        columns = F.conv2d(_padded(maps, RECONSTRUCTION // 2), by_column)
        return _slanted_sum(columns) + cast(Tensor, reconstruction.bias)


def _padded(maps: Tensor, border: int) -> Tensor:
    """Return `maps` (N, C, H, W) with their edges repeated `border` pixels outwards."""
    for axis in (2, 3):  # by joining: on a GPU torch's own padding adds up its gradients in another order each time
        first, last = (maps.narrow(axis, at, 1) for at in (0, maps.shape[axis] - 1))
        maps = torch.cat([*[first] * border, maps, *[last] * border], axis)
    return maps


def _shifted(images: Tensor) -> Tensor:
    """Return `images` (N, 1, H, W) with borders for the first layer and its filters' width as channels: (N, 9, H+8, W)."""
    return _padded(images, EXTRACTION // 2)[:, 0].unfold(2, EXTRACTION, 1).contiguous().permute(0, 3, 1, 2)


def _slanted_sum(columns: Tensor) -> Tensor:
    """Return the sums of channel i at i pixels to the right, for `columns` (N, 5, H, W+4): (N, 1, H, W)."""
    width = columns.shape[-1] - columns.shape[1] + 1
    return torch.stack([columns[:, i, :, i : i + width] for i in range(columns.shape[1])]).sum(0)[:, None]
