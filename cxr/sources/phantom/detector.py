"""The detector: from the photons that pass to the picture as it is shown."""

from typing import NamedTuple

import cv2
import numpy as np

from cxr.sources.phantom.anatomy import Floats, Pixels
from cxr.sources.phantom.view import FIELD, View

QUANTA = 9e5  # photons per mm2 of detector behind nothing, at exposure 1


def intensity(line_integral: Floats) -> Floats:
    """Return the share of the photons that passes, by Beer and Lambert's law."""
    return np.asarray(np.exp(-line_integral))


def detect(passed: Floats, view: View, random: np.random.Generator) -> Floats:
    """Return what the detector reads, as a share of the open beam: with scatter, quantum noise and blur."""
    return counted(passed + scatter(passed), view.exposure, view.pixel, random)


def scatter(passed: Floats) -> Floats:
    """Return the scattered photons that reach each pixel, as a share of the open beam."""
    return np.float32(0.35) * _broad(passed)


def counted(arriving: Floats, exposure: float, pixel: float, random: np.random.Generator) -> Floats:
    """Return what the detector reads of the photons `arriving` (H, W) at pixels of `pixel` mm: noise, then blur.

    In a part of an image the outermost pixels, 4 `spread`s of them, lack what lies beside it.
    """
    quanta = QUANTA * exposure * pixel**2
    noise = np.sqrt(arriving / np.float32(quanta)) * random.standard_normal(arriving.shape, dtype=np.float32)
    return softened(np.clip(arriving + noise, 1e-5, None), pixel)


def softened(image: Floats, pixel: float) -> Floats:
    """Return `image` (H, W) as the detector blurs it."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), spread(pixel)))


def spread(pixel: float) -> float:
    """Return by how many pixels of `pixel` mm a point spreads: 0.15 mm in the scintillator, and a quarter by sampling."""
    return float(np.hypot(0.15 / pixel, 0.25))


class Display(NamedTuple):
    """How what a detector reads is shown."""

    even: Floats
    """What broad differences take from the density of each pixel, so that they are evened out."""
    middle: float
    """The density shown half-way between black and white."""
    steepness: float

    @classmethod
    def of(cls, read: Floats, view: View) -> "Display":
        """Return the display of an image (H, W): a window that is set by the image itself."""
        density = -np.log(read)
        even = np.float32(0.55) * _broad(density)
        density -= even
        step, edge = max(1, view.size // 128), view.size // 8
        side = (read.shape[1] - view.size) // 2  # the window is set by the chest, however much air lies beside it
        low, high = np.percentile(density[2 * edge :: step, side + edge : -side - edge : step], [3, 98])
        return cls(even, 0.58 * low + 0.42 * high, 3.7 * view.contrast / (high - low))

    def levels(self, read: Floats, white: int) -> Floats:
        """Return `read` (H, W) as whole grey levels from 0 to `white`: logarithm, broad differences evened out, window."""
        density = -np.log(read)
        density -= self.even
        return np.asarray(np.round(np.float32(white) / (1 + np.exp(self.steepness * (self.middle - density)))))


def display(read: Floats, view: View, bits: int = 8) -> Pixels:
    """Return the picture as shown, of levels from 0 to 2**bits - 1: uint8 for 8 bits, else uint16."""
    levels = Display.of(read, view).levels(read, 2**bits - 1)
    return np.asarray(levels, np.uint8) if bits == 8 else np.asarray(levels, np.uint16)


def _broad(image: Floats) -> Floats:
    """Blur `image` by 22 mm, worked out on 64 rows."""
    height, width = image.shape
    small = cv2.resize(image, (round(64 * width / height), 64), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), 64 * 22 / FIELD), (width, height), interpolation=cv2.INTER_CUBIC)
