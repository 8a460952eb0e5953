"""The detector: from the photons that pass to the picture as it is shown."""

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
    primary = passed + np.float32(0.35) * _broad(passed)
    quanta = QUANTA * view.exposure * view.pixel**2
    noise = np.sqrt(primary / np.float32(quanta)) * random.standard_normal(primary.shape, dtype=np.float32)
    # A point spreads by 0.15 mm in the scintillator and by a quarter of a pixel in the sampling.
    spread = float(np.hypot(0.15 / view.pixel, 0.25))
    return np.asarray(cv2.GaussianBlur(np.clip(primary + noise, 1e-5, None), (0, 0), spread))


def display(read: Floats, view: View, bits: int = 8) -> Pixels:
    """Return the picture as shown: logarithm, broad differences evened out, then a window set by the image itself.

    Levels from 0 to 2**bits - 1: uint8 for 8 bits, else uint16.
    """
    density = -np.log(read)
    density -= np.float32(0.55) * _broad(density)
    step, edge = max(1, view.size // 128), view.size // 8
    side = (read.shape[1] - view.size) // 2  # the window is set by the chest, however much air lies beside it
    low, high = np.percentile(density[2 * edge :: step, side + edge : -side - edge : step], [3, 98])
    middle, steepness = 0.58 * low + 0.42 * high, 3.7 * view.contrast / (high - low)
    levels = np.round(np.float32(2**bits - 1) / (1 + np.exp(steepness * (middle - density))))
    return np.asarray(levels, np.uint8) if bits == 8 else np.asarray(levels, np.uint16)


def _broad(image: Floats) -> Floats:
    """Blur `image` by 22 mm, worked out on 64 rows."""
    height, width = image.shape
    small = cv2.resize(image, (round(64 * width / height), 64), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), 64 * 22 / FIELD), (width, height), interpolation=cv2.INTER_CUBIC)
