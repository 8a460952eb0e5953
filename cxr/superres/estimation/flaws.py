"""What no network was trained or measured with, and what shows in a radiograph all the same."""

import numpy as np
import numpy.typing as npt
import torch

from cxr.superres.degradation.jpeg import BLOCK, cosines
from cxr.superres.degradation.levels import WHITE

Levels = npt.NDArray[np.uint8]

REPEATED = 0.03  # of the rows, or columns: radiographs have up to .02 that equal the one before
FAR = 40  # grey levels that a dot is brighter, or darker, than all around it
DOTS = 0.0003  # of the pixels: 113 radiographs, reduced, have up to .00016
FINE = 4  # frequency from which stripes are told, of 8 pixels' 0 to 7
BESIDE = slice(1, 3)  # frequencies the other way, of which a radiograph has as much
STRIPES, LEAST = 4.0, 2.0  # times that, in squares, and squared grey levels that it counts as having


def flaw(image: npt.NDArray[np.floating], compressed: bool = False) -> str:
    """Return in words what is wrong with `image` (H, W), from 0, black, to 1, white; nothing where nothing is.

    Stripes are not told of one that was `compressed` as JPEG: that leaves waves of its own.
    """
    levels = np.round(np.asarray(image, np.float32) * WHITE).astype(np.uint8)
    if max(_repeated(levels), _repeated(levels.T)) > REPEATED:
        return "pixels that are repeated, as when it was enlarged before"
    if _dots(levels) > DOTS:
        return "single pixels that stand out, such as dead ones"
    return "stripes, a grid, or less detail across than down" if not compressed and _striped(levels) else ""


def _repeated(levels: Levels) -> float:
    """Return the share of rows of `levels` that equal the one before, of those that are not of one level."""
    varied = np.ptp(levels, axis=1) > 0
    both = varied[1:] & varied[:-1]
    return float((levels[1:] == levels[:-1]).all(axis=1)[both].mean()) if both.any() else 0.0


def _dots(levels: Levels) -> float:
    """Return the share of pixels of `levels` that are FAR brighter, or darker, than all eight around them."""
    height, width = (length - 2 for length in levels.shape)
    inner = levels[1:-1, 1:-1].astype(np.int16)
    around = [
        levels[down : down + height, across : across + width]
        for down in range(3)
        for across in range(3)
        if (down, across) != (1, 1)
    ]
    far = (inner - np.maximum.reduce(around) >= FAR) | (np.minimum.reduce(around) - inner >= FAR)
    return float(far.mean())


def _striped(levels: Levels) -> bool:
    """Tell whether fine waves go straight across or down `levels`, and are many times those that go a little aslant."""
    height, width = (length // BLOCK * BLOCK for length in levels.shape)
    found = torch.from_numpy(np.ascontiguousarray(levels[:height, :width], np.float32))
    blocks = found.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(1, 2).flatten(0, 1).flatten(1)
    least, most = blocks.aminmax(dim=1)
    squares = cosines(found[None, None])[0].flatten(0, 1).square()[(least > 0) & (most < WHITE) & (most - least > 1)]
    if not len(squares):
        return False
    for each in (squares, squares.transpose(1, 2)):
        straight, aslant = (each[:, FINE:, columns].flatten(1).mean(dim=1).median() for columns in (slice(1), BESIDE))
        if straight > STRIPES * max(float(aslant), LEAST):
            return True
    return False
