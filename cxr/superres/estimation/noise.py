"""How noisy a radiograph is, by itself: from the highest frequencies where least else is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from cxr.superres.degradation.jpeg import BLOCK, cosines
from cxr.superres.degradation.levels import WHITE

Floats = npt.NDArray[np.float64]

# Sums of a coefficient's two frequencies, 0 to 14: the middle ones hold what a block shows, the highest ones little but noise.
SHOWN, FINE = (3, 9), (12, 14)
QUIETEST, BUSIEST = 0.1, 0.2  # of the blocks
FEWEST = 16  # blocks that tell
BINS = 8  # by brightness, to see whether noise depends on it
FLAT = 1.001  # grey levels: blocks that hold less are those of a single level, or two next to each other
STEP = 4  # pixels from block to block: they overlap, so that small images have some that are quiet;
ENOUGH = 1 << 20  # pixels of an image whose blocks need not overlap
OWN = 0.5  # squared grey levels that quiet blocks of radiographs hold at the highest frequencies, rounding included,
ROUNDING = 1 / 12  # which is this much of it
DEPENDENT = 2.5  # times the variance of dark pixels that bright ones have, from which noise depends on the signal,
STRONG = 2.0  # if its variance at the middle of the range, in squared grey levels, is as large: less may be texture
DARK, BRIGHT = 0.1, 0.8
REGIONS, REGION = 4, 48  # regions along each side, and pixels that one has along it at least
SOME, ROUGHER = 0.4, 2.0  # of the regions, and times the whole's medium frequencies: radiographs have up to 1.8 times there
BAND = 0.3, 0.4  # of a region's blocks, by their medium frequencies: behind those of a border, before those that show most
MOST = 0.75  # of the regions; those have so many grey levels more noise in their BAND, and so many times as much:
NOISIER, TIMES = 1.6, 1.25  # 45 radiographs, reduced, had up to 1.53 more, of texture; quanta vary as much with brightness
UNEVEN = 2.0  # grey levels that two eighths of the brightnesses have more: radiographs of 128 pixels had up to 1.9


class Noise(NamedTuple):
    """What was found: the variance of the noise is `floor` and, times a pixel's share of white, `slope`, in squared levels."""

    floor: float
    slope: float
    rough: float = 0.0
    """The root mean square at medium frequencies where there is least, in grey levels: correlated noise has these as well."""
    jagged: float = 0.0
    """The mean square at the highest frequencies where most is shown, less that of noise, of 1 at medium ones."""

    @property
    def level(self) -> float:
        """Return its standard deviation at the middle of the range, in grey levels of 255."""
        return float(np.sqrt(self.floor + 0.5 * self.slope))

    @property
    def depends_on_signal(self) -> bool:
        """Tell whether it is stronger where more light came, as counted quanta are; else it is as strong everywhere."""
        return self.slope > 0


def estimate(image: npt.NDArray[np.floating], contrast: float = 1.0) -> Noise | None:
    """Return the noise of `image` (H, W), from 0, black, to 1, white; None where fewer than FEWEST of its blocks tell.

    Of blocks of 8x8 pixels that touch neither end of the range, those tell which hold least at medium frequencies: noise has
    high ones of their own, so that this choice does not favour little noise. Blocks within one grey level are no picture but a
    border, a letter or a detector's limit, and tell nothing; an image of these alone has no noise. The variance is the mean of
    their squares at the highest frequencies, less what radiographs have there themselves. The same by brightness tells whether
    it depends on that.
    Correlated noise, which has little of the highest frequencies, is told too low.
    A border that is nearly flat would tell its own noise, and a picture may have its noise in a part alone. So the BAND of
    regions counts where MOST of these have more noise by NOISIER and TIMES, or where all but SOME have ROUGHER times the medium
    frequencies. So do the quietest of those eighths of the brightnesses, of which two have as much.
    `contrast` is the share of a radiograph's contrast that the image has, of 1: what it has itself is as much less.
    After Pyatykh, Hesser and Zheng, "Image Noise Level Estimation by Principal Component Analysis", IEEE TIP 22(2), 2013, who
    choose blocks likewise, with cosines for components.
    """
    blocks, flat = _blocks(image)
    if len(blocks) < FEWEST:
        return Noise(0.0, 0.0) if flat >= FEWEST else None
    own = ROUNDING + (OWN - ROUNDING) * contrast**2
    shares = [each for each in np.array_split(blocks[np.argsort(blocks[:, 0])], BINS) if len(each) >= FEWEST]
    regions = [each for each in (blocks[blocks[:, 3] == which] for which in range(REGIONS**2)) if len(each) >= FEWEST]
    found = _of_whole(blocks, shares, own)
    parts = [(np.quantile([_banded(each) for each in regions], MOST), NOISIER)] if regions else []
    parts += [(each, UNEVEN) for each in sorted(_quiet(each).fine for each in shares)[-2:-1]]
    rough = float(np.sqrt(np.quantile([_quiet(each).shown for each in regions], SOME))) if regions else 0.0
    rougher = rough > ROUGHER * found.rough
    there = float(np.sqrt(max(found.floor + found.slope, 0)))  # where it is brightest
    more = [
        float(each) - own for each, least in parts if rougher or max(each - own, 0) ** 0.5 > max(there + least, there * TIMES)
    ]
    if more:
        return Noise(max(found.level**2, *more), 0.0, rough if rougher else found.rough)
    return found._replace(jagged=_jagged(blocks, found, own))


def _of_whole(blocks: Floats, shares: Sequence[Floats], own: float) -> Noise:
    _, shown, variance = _quiet(blocks)
    rough = float(np.sqrt(shown))
    if len(shares) > 2:
        floor, slope = _line(np.array([_quiet(each) for each in shares])[:, [0, 2]])
        dark, bright, middle = (floor + place * slope for place in (DARK, BRIGHT, 0.5))
        if bright > DEPENDENT * max(dark, 0.0) and middle > STRONG:
            below = min(floor - own, 0.0)  # the line's value at the middle of the range stays what it is
            return Noise(floor - own - below, slope + 2 * below, rough)
    return Noise(max(variance - own, 0.0), 0.0, rough)


def _jagged(blocks: Floats, found: Noise, own: float) -> float:
    """Return by which share of their SHOWN the FINE of those of `blocks` (N, 4) that show most exceeds the noise `found`."""
    busy = blocks[np.argsort(blocks[:, 1])[-max(round(BUSIEST * len(blocks)), 1) :]]
    return float(np.median((busy[:, 2] - own - found.floor - found.slope * busy[:, 0]) / busy[:, 1]))


class _Quiet(NamedTuple):
    brightness: float
    shown: float
    fine: float


def _quiet(blocks: Floats) -> _Quiet:
    """Return of the quietest of `blocks` (N, 4) the mean brightness, from 0 to 1, and the mean squares of SHOWN and FINE."""
    return _Quiet(*blocks[np.argsort(blocks[:, 1])[: _count(blocks)], :3].mean(axis=0).tolist())


def _banded(blocks: Floats) -> float:
    """Return the mean square of FINE of the BAND of `blocks` (N, 4)."""
    fine = blocks[np.argsort(blocks[:, 1]), 2]
    first, last = (round(share * len(fine)) for share in BAND)
    return float(fine[first : max(last, first + FEWEST // 2)].mean())


def _count(blocks: Floats) -> int:
    return max(round(QUIETEST * len(blocks)), min(FEWEST, len(blocks)))


def _blocks(image: npt.NDArray[np.floating]) -> tuple[Floats, int]:
    """Return of each block that tells (N, 4), mean from 0 to 1, mean squares of SHOWN and FINE, region; and how many are flat.

    Neither kind is anywhere black or white.
    """
    order = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
    found, flat = [], 0
    step = BLOCK if image.size >= ENOUGH else STEP
    for top in range(0, BLOCK, step):
        for left in range(0, BLOCK, step):
            height, width = ((length - first) // BLOCK * BLOCK for length, first in zip(image.shape, (top, left), strict=True))
            if height > 0 and width > 0:
                levels = torch.from_numpy(np.ascontiguousarray(image[top : top + height, left : left + width], np.float32))
                blocks = levels.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(1, 2).flatten(0, 1).flatten(1)
                least, most = blocks.aminmax(dim=1)
                inside, even = (least > 0) & (most < 1), (most - least) * WHITE < FLAT
                flat += int((inside & even).sum())
                squares = cosines(levels[None, None] * WHITE)[0].flatten(0, 1).square().numpy().astype(float)
                means = [squares[:, (order >= low) & (order <= high)].mean(axis=1) for low, high in (SHOWN, FINE)]
                told = np.stack([blocks.mean(dim=1).numpy(), *means, _regions(height // BLOCK, width // BLOCK)], axis=1)
                found.append(told[(inside & ~even).numpy()])
    return np.concatenate(found) if found else np.zeros((0, 4)), flat


def _regions(rows: int, columns: int) -> Floats:
    """Return in which region each of `rows` by `columns` blocks is, from 0: (rows * columns)."""
    down, across = (np.arange(many) * min(max(many * BLOCK // REGION, 1), REGIONS) // many for many in (rows, columns))
    return np.add.outer(down * REGIONS, across).ravel().astype(float)


def _line(quiet: Floats) -> tuple[float, float]:
    """Return floor and slope of the line through brightnesses and variances (N, 2), each known to a share of itself."""
    places, variances = quiet.T
    weights = 1 / np.maximum(variances, 0.1)
    matrix = np.stack([np.ones(len(places)), places], axis=1)
    (floor, slope), *_ = np.linalg.lstsq(matrix * weights[:, None], variances * weights, rcond=None)
    return float(floor), float(slope)
