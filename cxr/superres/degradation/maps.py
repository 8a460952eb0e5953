"""Maps beside an image, by which a network is told how it arrived.

Zhang, Zuo and Zhang, "Learning a Single Convolutional Super-Resolution Network for Multiple Degradations" (SRMD), CVPR 2018,
section 3.3: what befell an image, one value for all its pixels, is stretched to its size and goes in as further channels.
"""

from collections.abc import Sequence

from torch import Tensor

from cxr.superres.told import Told

NOISE, JPEG = 6.0, 40.0
"""Grey levels of noise, and qualities below 100, that maps have at 1."""
MAPS = len(Told._fields)


def values(told: Told) -> tuple[float, float, float]:
    """Return what the maps of an image hold, from 0 to about 1."""
    return told.noise / NOISE, float(told.depends_on_signal), (100 - told.jpeg) / JPEG if told.jpeg else 0.0


def beside(low: Tensor, each: Sequence[Told]) -> Tensor:
    """Return `low` (N, 1, H, W) and what is told of each of its images, as maps: (N, 1 + MAPS, H, W)."""
    made = low.new_empty(len(low), 1 + MAPS, *low.shape[-2:])
    made[:, :1] = low
    for image, told in zip(made, each, strict=True):
        for place, value in enumerate(values(told), start=1):
            image[place].fill_(value)  # on its device: nothing is copied there
    return made
