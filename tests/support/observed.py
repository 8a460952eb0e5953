"""What networks that refine are given for an image, in one call."""

from torch import Tensor

from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.degradation.levels import WHITE, White
from cxr.superres.degradation.reduction import low_resolution


def observe(images: Tensor, scale: int, noise: Tensor | None = None, white: White = WHITE) -> Tensor:
    """Return `images` (N, 1, H, W) in [0, 1] at low resolution and enlarged again: same shape, float32 in [0, 1].

    `noise` and `white` are those of `low_resolution`.
    """
    return enlarge(low_resolution(images, scale, noise, white), scale)
