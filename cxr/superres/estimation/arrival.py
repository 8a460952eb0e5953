"""What came in: what is known of a radiograph before it is enhanced, in one line."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cxr.superres.estimation import compression, noise
from cxr.superres.estimation.noise import Noise
from cxr.superres.told import Told

QUIET = 0.7  # grey levels: what is found of noise in radiographs that have been reduced, and have none
OWN_NOISE, OWN_ROUGH = 1.1, 2.9  # grey levels of noise, and at medium frequencies, that a detector's own has at most; or
OWN_MOST, OWN_ROUGHEST = 1.7, 3.5  # at most so much of both, and
OWN_SHARES = 1.6, 4.0  # at medium frequencies so many times the noise: white noise has up to 1.5, noise with grain .7 from 4.5
SMALLEST = 64  # rows and columns, at least, by which anything can be told


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

    @property
    def level(self) -> float:
        """Return the standard deviation of its noise at the middle of the range, in grey levels of 255; 0 if none is told."""
        return self.noise.level if self.noise else 0.0

    @property
    def for_network(self) -> Told:
        """Return it as a network is told it; of what is not known, or a radiograph's own, that there is none."""
        if self.noise is None or self.own:
            return Told(jpeg=self.quality or 0)
        return Told(self.level, self.noise.depends_on_signal, self.quality or 0)

    @property
    def own(self) -> bool:
        """Tell whether its noise, if any, is that of a radiograph as its detector gave it, whose fine structure goes with it.

        That is little, and correlated a little: of 21 native radiographs, reduced to a half, 19 had up to 1.05 levels, and two
        1.06 and 1.55.
        """
        rough = self.noise.rough if self.noise else 0.0
        least, most = (share * self.level for share in OWN_SHARES)
        correlated = self.level < OWN_MOST and rough < OWN_ROUGHEST and least < rough < most
        return correlated or (self.level < OWN_NOISE and rough < OWN_ROUGH)

    @property
    def spoilt(self) -> bool:
        """Tell whether it may have more to it than a clean radiograph."""
        return self.noise is None or self.level >= QUIET or self.quality is not None or self.lossy

    @property
    def told(self) -> str:
        """Return it in words."""
        return f"{self._grain}; {self._compression}"

    @property
    def _grain(self) -> str:
        if self.noise is None:
            return "too small, or too much of it black or white, to tell its noise"
        if self.level < QUIET:
            return "hardly any noise"
        where = "more where it is bright" if self.noise.depends_on_signal else "alike everywhere"
        return f"noise of about {self.level:.1f} grey levels of 255, {where}"

    @property
    def _compression(self) -> str:
        if self.quality is not None:
            return f"JPEG of quality {self.quality}, {'by its file' if self.by_file else 'by its pixels'}"
        return "compressed with loss, as its file says" if self.lossy else "no sign of JPEG"


def arrived(image: npt.NDArray[np.floating], tables: npt.NDArray[np.integer] | None = None, lossy: bool = False) -> Arrival:
    """Return what is known of `image` (H, W), from 0, black, to 1, white, as it is shown.

    `tables` (8, 8) is how its file says that it was quantised, if it is a JPEG; `lossy` tells whether it lost anything.
    """
    small = min(image.shape) < SMALLEST
    if tables is not None:
        quality: int | None = compression.nearest(tables)
    else:
        quality = None if small else compression.quality(image)
    return Arrival(None if small else noise.estimate(image), quality, tables is not None, lossy)
