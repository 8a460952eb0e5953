"""Through what JPEG an image has gone, told from its pixels: the comb that quantisation leaves in its cosines."""

from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from cxr.superres.degradation.jpeg import BLOCK, basis, quantisation
from cxr.superres.degradation.levels import WHITE

Levels = npt.NDArray[np.float32]

QUALITIES = range(5, 97)
# Grey levels that count as near to a multiple, from and to, between them a tenth of the step. Decoded pixels are whole levels,
# which moves a coefficient by 0.29 in the mean square, and by 8 times that where rows or columns of a block are all alike.
NEAR = (1.0, 3.0)
LARGE = 1.5  # times as far from 0: smaller coefficients are near a multiple of anything
COARSE = 3  # smaller steps are no coarser than NEAR can tell
LOW = 5  # sums of two frequencies below it are low
ENOUGH = 50  # large coefficients
SHARE = 0.97  # of them that must be near a multiple
UNLIKELY = 0.85  # of some of them: then all have not SHARE
MOST = 8192  # blocks that are looked at, evenly spread: a megapixel's would tell no more than half of them
SOME, ZERO = 512, 0.75  # blocks by which the beginning is looked for; grey levels below which a coefficient counts as 0
STANDS_OUT = 0.1  # more coefficients that are 0 than elsewhere: radiographs without JPEG have up to .03, with it from .27
LOOKED = 4  # times as many blocks are looked at, for some are black or white
ALIKE = 4  # qualities in a row whose tables hardly differ


class Compression(NamedTuple):
    """What pixels tell of JPEG."""

    quality: int | None
    """In the scale of the common encoders, of the last one, 5 to 96; None where none is told."""
    shows: bool
    """Whether there was one at all."""


def compression(image: npt.NDArray[np.floating]) -> Compression:
    """Return through what JPEG `image` (H, W), in [0, 1], decoded, has gone; it may have been cropped and turned since.

    The coarsest table counts of whose steps nearly all large coefficients are multiples: Fan and de Queiroz, "Identification of
    Bitmap Compression History: JPEG Detection and Quantizer Estimation", IEEE TIP 12(2), 2003, with the tables that encoders
    use. Another table, or levels that were changed since, leave no such multiples, but most coefficients 0.
    """
    if min(image.shape) < BLOCK:
        return Compression(None, shows=False)
    levels = np.asarray(image, np.float32) * WHITE
    found = _told(_coefficients(levels, MOST))
    if found is not None:
        return Compression(found, shows=True)
    (top, left), shows = _begun(levels)
    coefficients = _coefficients(levels[top:, left:], MOST)
    found = _told(coefficients) if (top, left) != (0, 0) else None
    if found is None:
        found = _told(coefficients.transpose(0, 2, 1))
    return Compression(found, shows or found is not None)


def _begun(levels: Levels) -> tuple[tuple[int, int], bool]:
    """Return at which of its first rows and columns a block of `levels` (H, W) most likely begins, and whether that shows.

    There most coefficients are 0, since quantisation has made them so.
    """

    def zeros(place: tuple[int, int]) -> float:
        coefficients = _coefficients(levels[place[0] :, place[1] :], SOME)
        return float((np.abs(coefficients) < ZERO).mean()) if len(coefficients) else 0.0

    height, width = (min(BLOCK, length - BLOCK + 1) for length in levels.shape)
    shares = {place: zeros(place) for place in product(range(height), range(width))}
    place = max(shares, key=shares.__getitem__)
    return place, shares[place] - float(np.median(list(shares.values()))) > STANDS_OUT


def _coefficients(levels: Levels, most: int) -> Levels:
    """Return the cosines (N, 8, 8) of blocks of `levels` (H, W) that are nowhere black or white: at most so many, spread."""
    height, width = (length // BLOCK for length in levels.shape)
    whole = levels[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK)
    chosen = np.unique(np.linspace(0, height * width - 1, min(height * width, LOOKED * most)).round().astype(int))
    blocks = whole[chosen // width, :, chosen % width]
    inside = blocks[(blocks.min(axis=(1, 2)) > 0) & (blocks.max(axis=(1, 2)) < WHITE)]  # clipping would move the others
    inside = inside[np.unique(np.linspace(0, len(inside) - 1, min(len(inside), most)).round().astype(int))]
    rows = basis(torch.device("cpu"), torch.float32).numpy()
    flat: Levels = (inside - np.float32((WHITE + 1) / 2)).reshape(-1, BLOCK**2) @ np.kron(rows, rows).T
    return flat.reshape(-1, BLOCK, BLOCK)


def _told(coefficients: Levels) -> int | None:
    """Return the quality that `coefficients` (N, 8, 8) show; None if none."""
    some = coefficients[:: max(len(coefficients) // SOME, 1)]
    for candidate in QUALITIES:
        share, off = _fit(some, candidate)
        if share < UNLIKELY and np.isfinite(off):  # of ENOUGH coefficients, which saves to look at all
            continue
        share, _ = _fit(coefficients, candidate)
        if share >= SHARE:  # the next ones have nearly the same steps
            return min(range(candidate, candidate + ALIKE), key=lambda each: _fit(coefficients, each)[1])
    return None


def _fit(coefficients: Levels, candidate: int) -> tuple[float, float]:
    """Return which share of the large `coefficients` (N, 8, 8) is near a multiple of a quality's steps, and how far all are."""
    steps = quantisation(candidate).numpy()
    near = np.clip(steps / 10, *NEAR)
    told = (np.abs(coefficients) > LARGE * near) & (steps >= COARSE)
    told[:, 0, 0] = False  # means of few brightnesses are multiples of many steps
    found = coefficients[told]
    if len(found) < ENOUGH:
        return 0.0, np.inf
    step, close = (np.broadcast_to(each, coefficients.shape)[told] for each in (steps, near))
    off = np.abs(found - step * np.round(found / step))
    return float((off <= close).mean()), float(off.mean())


def nearest(table: npt.NDArray[np.integer]) -> int:
    """Return the quality whose steps at low frequencies are nearest to those of `table` (8, 8), by their ratio.

    Some encoders scale no common table; what a radiograph has lost is what these hold.
    """
    low = np.add.outer(np.arange(BLOCK), np.arange(BLOCK)) < LOW

    def off(candidate: int) -> tuple[float, float]:
        ratios = np.abs(np.log(quantisation(candidate).numpy() / np.maximum(table, 1)))
        return float(ratios[low].sum()), float(ratios[~low].sum())

    return min(range(1, 101), key=off)
