"""What came in: what is known of a radiograph before it is enhanced, in one line."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cxr.superres.degradation.jpeg import BLOCK
from cxr.superres.degradation.levels import WHITE
from cxr.superres.estimation import noise
from cxr.superres.estimation.compression import compression, nearest
from cxr.superres.estimation.flaws import flaw
from cxr.superres.estimation.noise import FLAT, ROUNDING, Noise
from cxr.superres.told import Told

QUIET = 0.7  # grey levels of noise that nearly all radiographs have less of once they have been reduced
OWN_NOISE, OWN_ROUGH = 1.1, 2.9  # grey levels of noise, and at medium frequencies, that a detector's own has at most; or
OWN_MOST, OWN_ROUGHEST = 1.7, 3.5  # at most so much of both, and
OWN_SHARES = 1.6, 4.0  # at medium frequencies so many times the noise: white noise seldom has more than 1.5, see docs/log.md
CONTRAST, SPREAD = 0.4, (0.05, 0.95)  # of the range, that all but 2 of 226 radiographs have between such shares of their blocks
LEAST = 0.01  # contrast that an image counts as having
NEAR_QUALITY = 5  # how far off what pixels tell of a quality may be
JAGGED, TELLING = 0.025, 3.0  # 60 radiographs, reduced to 1/3, have up to .023; and noise that leaves that to be told
STEPS = "steps in its edges, as when it was made smaller without smoothing"
SMALLEST = 32  # rows and columns, at least, by which anything can be told


class Arrival(NamedTuple):
    """What is known of a radiograph."""

    noise: Noise | None
    """None where it cannot be told: the image is too small, or nearly everywhere black or white."""
    quality: int | None
    """Of the JPEG that it is or was in; None where none is seen."""
    by_file: bool
    """Whether the file itself told the quality; else its pixels did."""
    lossy: bool = False
    """Whether it was compressed with loss, as its file says."""
    contrast: float = 1.0
    """Of what radiographs have at least, at most 1: in one that uses little of its range, noise weighs the more."""
    shows: bool = False
    """Whether its pixels show a JPEG, whatever its quality."""
    flaw: str = ""
    """What it has that no network was measured with, in words; nothing where it has none."""
    jagged: bool = False
    """Whether its edges have steps, as of what was made smaller without smoothing."""

    @property
    def level(self) -> float:
        """Return the standard deviation of its noise at the middle of the range, in grey levels of 255; 0 if none is told."""
        return self.noise.level if self.noise else 0.0

    @property
    def rough(self) -> float:
        """Return what it has at medium frequencies where there is least, in grey levels of 255; 0 if none is told."""
        return self.noise.rough if self.noise else 0.0

    @property
    def weighed(self) -> tuple[float, float]:
        """Return noise and roughness as they would be if it used the range as radiographs do.

        Rounding to grey levels of 255 is noise as well, where few of them are used.
        """
        rounding = ROUNDING * (1 - self.contrast**2)
        return math.sqrt(self.level**2 + rounding) / self.contrast, self.rough / self.contrast

    @property
    def for_network(self) -> Told:
        """Return it as a network is told it; of what is not known, or a radiograph's own, that there is none."""
        if self.noise is None or self.own:
            return Told(jpeg=self.quality or 0)
        return Told(self.level, self.noise.depends_on_signal, self.quality or 0)

    @property
    def noisy(self) -> bool:
        """Tell whether it has more noise than radiographs that have been reduced, and have none."""
        level, rough = self.weighed
        return level >= QUIET or rough >= OWN_ROUGH

    @property
    def own(self) -> bool:
        """Tell whether its noise, if any, is taken for that of a radiograph as its detector gave it.

        Its fine structure would go with that. It is little, and correlated a little: of 21 native radiographs, reduced to a
        half, 19 had up to 1.05 levels, and two 1.06 and 1.55. Above OWN_NOISE nothing tells it from noise of 3 levels that came
        later and is as correlated: limits take it for that.
        """
        level, rough = self.weighed
        least, most = (share * level for share in OWN_SHARES)
        if level < OWN_NOISE and rough < OWN_ROUGH:
            return True
        return level < OWN_MOST and rough < OWN_ROUGHEST and least < rough < most

    @property
    def spoilt(self) -> bool:
        """Tell whether it may have more to it than a clean radiograph."""
        return (
            self.noise is None
            or self.noisy
            or self.quality is not None
            or self.lossy
            or self.shows
            or self.jagged
            or bool(self.flaw)
        )

    @property
    def told(self) -> str:
        """Return it in words."""
        return "; ".join(each for each in (self._grain, self._compression, self.flaw, STEPS if self.jagged else "") if each)

    @property
    def _grain(self) -> str:
        if self.noise is None:
            return "too small, or too much of it black or white, to tell its noise"
        if self.level < QUIET and self.rough >= OWN_ROUGH:
            return f"coarse noise or texture of about {self.rough:.1f} grey levels of 255"
        if self.level < QUIET:
            return "little noise, but in little of the range" if self.noisy else "hardly any noise"
        where = "more where it is bright" if self.noise.depends_on_signal else "alike everywhere"
        whose = ", taken for its detector's own" if self.own else ""
        return f"noise of about {self.level:.1f} grey levels of 255, {where}{whose}"

    @property
    def _compression(self) -> str:
        if self.quality is not None:
            return f"JPEG of quality {self.quality}, {'by its file' if self.by_file else 'by its pixels'}"
        if self.shows:
            return "JPEG of a quality that cannot be told"
        return "compressed with loss, as its file says" if self.lossy else "no sign of JPEG"


def arrived(image: npt.NDArray[np.floating], tables: npt.NDArray[np.integer] | None = None, lossy: bool = False) -> Arrival:
    """Return what is known of `image` (H, W), from 0, black, to 1, white, as it is shown.

    `tables` (8, 8) is how its file says that it was quantised, if it is a JPEG, which its pixels may belie: it was in a coarser
    one before. `lossy` tells whether it lost anything.
    """
    if min(image.shape) < SMALLEST:
        return Arrival(None, None if tables is None else nearest(tables), tables is not None, lossy, _contrast(image))
    shown = compression(image)
    by_file = None if tables is None else nearest(tables)
    file_counts = by_file is not None and (shown.quality is None or shown.quality >= by_file - NEAR_QUALITY)
    quality = by_file if file_counts else shown.quality
    contrast = _contrast(image)
    found = noise.estimate(image, contrast)
    jagged = found is not None and found.jagged > JAGGED and found.level / contrast < TELLING
    return Arrival(found, quality, file_counts, lossy, contrast, shown.shows, flaw(image, compressed=shown.shows), jagged)


def _contrast(image: npt.NDArray[np.floating]) -> float:
    """Return how much of CONTRAST `image` has, from LEAST to 1, by means of blocks: letters and borders are no radiograph."""
    height, width = (length // BLOCK * BLOCK for length in image.shape)
    blocks = image[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    least, most = blocks.min(axis=(1, 3)), blocks.max(axis=(1, 3))
    means = blocks.mean(axis=(1, 3))[(least > 0) & (most < 1) & (most - least > FLAT / WHITE)]
    dark, bright = np.quantile(means, SPREAD) if means.size else (0.0, 1.0)
    return float(np.clip((bright - dark) / CONTRAST, LEAST, 1))
