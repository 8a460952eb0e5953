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

    noise: Noise
    quality: int | None
    """Of the JPEG that it is or was in; None where none is seen."""
    by_file: bool
    """Whether the file itself told the quality; else its pixels did."""
    small: bool = False
    """Whether it is too small to tell."""

    @property
    def told(self) -> str:
        """Return it in words."""
        if self.small:
            return f"too small to tell its noise, below {SMALLEST}x{SMALLEST} pixels"
        where = "more where it is bright" if self.noise.depends_on_signal else "alike everywhere"
        quiet = self.noise.level < QUIET
        grain = "hardly any noise" if quiet else f"noise of about {self.noise.level:.1f} grey levels of 255, {where}"
        if self.quality is None:
            return f"{grain}; no sign of JPEG"
        return f"{grain}; JPEG of quality {self.quality}, {'by its file' if self.by_file else 'by its pixels'}"


def arrived(image: npt.NDArray[np.floating], tables: npt.NDArray[np.integer] | None = None) -> Arrival:
    """Return what is known of `image` (H, W), from 0, black, to 1, white, as it is shown.

    `tables` (8, 8) is how its file says that it was quantised, if it is a JPEG.
    """
    if min(image.shape) < SMALLEST:
        return Arrival(Noise(0.0, 0.0), None if tables is None else compression.nearest(tables), tables is not None, small=True)
    quality = compression.quality(image) if tables is None else compression.nearest(tables)
    return Arrival(noise.estimate(image), quality, tables is not None)
