"""What came in: what is known of a radiograph before it is enhanced, in one line."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cxr.superres.estimation import compression, noise
from cxr.superres.estimation.noise import Noise

QUIET = 0.7  # grey levels: what is found of noise in radiographs that have been reduced, and have none
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
