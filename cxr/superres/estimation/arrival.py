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
OWN_SHARES = 1.6, 4.0  # at medium frequencies so many times the noise: white noise seldom has more than 1.5, see docs/log.md
CONTRAST = 0.55  # of the range, that all but one of 244 training radiographs have between their darkest and brightest hundredth
LEAST, THIN = 0.01, 4  # contrast that an image counts as having, and pixels from one that is looked at to the next
NEAR_QUALITY = 5  # how far off what pixels tell of a quality may be
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
        """Return noise and roughness as they would be if it used the range as radiographs do."""
        return self.level / self.contrast, self.rough / self.contrast

    @property
    def for_network(self) -> Told:
        """Return it as a network is told it; of what is not known, or a radiograph's own, that there is none."""
        if self.noise is None or self.own:
            return Told(jpeg=self.quality or 0)
        return Told(self.level, self.noise.depends_on_signal, self.quality or 0)

    @property
    def quiet(self) -> bool:
        """Tell whether it has hardly any noise, or surely its own: little, and of few medium frequencies."""
        level, rough = self.weighed
        return level < OWN_NOISE and rough < OWN_ROUGH

    @property
    def own(self) -> bool:
        """Tell whether its noise, if any, is taken for that of a radiograph as its detector gave it.

        Its fine structure would go with that. It is little, and correlated a little: of 21 native radiographs, reduced to a
        half, 19 had up to 1.05 levels, and two 1.06 and 1.55. Above OWN_NOISE nothing tells it from noise of 3 levels that came
        later and is as correlated: limits take it for that.
        """
        level, rough = self.weighed
        least, most = (share * level for share in OWN_SHARES)
        return self.quiet or (level < OWN_MOST and rough < OWN_ROUGHEST and least < rough < most)

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
            return "hardly any noise" if self.quiet else f"coarse noise or texture of about {self.rough:.1f} grey levels of 255"
        where = "more where it is bright" if self.noise.depends_on_signal else "alike everywhere"
        whose = ", taken for its detector's own" if self.own else ""
        return f"noise of about {self.level:.1f} grey levels of 255, {where}{whose}"

    @property
    def _compression(self) -> str:
        if self.quality is not None:
            return f"JPEG of quality {self.quality}, {'by its file' if self.by_file else 'by its pixels'}"
        return "compressed with loss, as its file says" if self.lossy else "no sign of JPEG"


def arrived(image: npt.NDArray[np.floating], tables: npt.NDArray[np.integer] | None = None, lossy: bool = False) -> Arrival:
    """Return what is known of `image` (H, W), from 0, black, to 1, white, as it is shown.

    `tables` (8, 8) is how its file says that it was quantised, if it is a JPEG, which its pixels may belie: it was in a coarser
    one before. `lossy` tells whether it lost anything.
    """
    small = min(image.shape) < SMALLEST
    quality = None if small else compression.quality(image)
    by_file = None if tables is None else compression.nearest(tables)
    file_counts = by_file is not None and (quality is None or quality >= by_file - NEAR_QUALITY)
    found = by_file if file_counts else quality
    some = image[::THIN, ::THIN]
    inside = some[(some > 0) & (some < 1)]  # borders and letters are no contrast of the radiograph
    dark, bright = np.quantile(inside, (0.01, 0.99)) if inside.size else (0.0, 1.0)
    contrast = float(np.clip((bright - dark) / CONTRAST, LEAST, 1))
    return Arrival(None if small else noise.estimate(image, contrast), found, file_counts, lossy, contrast)
