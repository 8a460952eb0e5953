"""Square phantoms, for tests of what needs no whole frame."""

from cxr.sources.phantom.anatomy import Pixels
from cxr.sources.phantom.scene import draw


def square(seed: int, index: int, size: int) -> Pixels:
    """The central square of a phantom, uint8 (size, size)."""
    pixels = draw(seed, index, size).pixels
    left = (pixels.shape[1] - size) // 2
    return pixels[:, left : left + size]
