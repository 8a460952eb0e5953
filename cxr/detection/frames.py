"""The pixels of a radiograph as a detector takes them."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor


class Picture(Protocol):
    """A grey image, packed or as it was read."""

    @property
    def pixels(self) -> npt.NDArray[Any]:
        """(H, W), 0 black and 2**bits - 1 white."""

    @property
    def bits(self) -> int:
        """How deep it is."""


def levels(picture: Picture) -> Tensor:
    """Return the pixels of `picture` as float32 (1, 1, H, W), 0 black and 1 white."""
    return torch.from_numpy(picture.pixels.astype(np.float32))[None, None] / ((1 << picture.bits) - 1)


def seen(image: Tensor, size: int) -> Tensor:
    """Return what a detector sees of `image` (1, 1, H, W): its central square, reduced to `size` rows and columns.

    Of one size, since the shape of the whole frame can tell the finding. Smaller ones are enlarged. By Keys' cubic, which
    low-passes where it reduces.
    """
    height, width = image.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[..., top : top + side, left : left + side]
    if side == size:
        return square
    return F.interpolate(square, (size, size), mode="bicubic", antialias=side > size, align_corners=False).clamp(0, 1)
