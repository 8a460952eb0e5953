"""The detector: from the photons that pass to the picture as it is shown."""

import cv2
import numpy as np

from cxr.sources.phantom.anatomy import Floats, Image
from cxr.sources.phantom.drawing import FIELD, View

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


def display(read: Floats, view: View) -> Image:
    """Return the picture as shown: logarithm, broad differences evened out, then a window set by the image itself."""
    density = -np.log(read)
    density -= np.float32(0.55) * _broad(density)
    step, edge = max(1, view.size // 128), view.size // 8
    low, high = np.percentile(density[2 * edge :: step, edge:-edge:step], [3, 98])
    middle, steepness = 0.58 * low + 0.42 * high, 3.7 * view.contrast / (high - low)
    return np.asarray(np.round(255 / (1 + np.exp(steepness * (middle - density)))), np.uint8)


def _broad(image: Floats) -> Floats:
    """Blur `image` by 22 mm, worked out on 64 x 64 pixels."""
    small = cv2.GaussianBlur(cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA), (0, 0), 64 * 22 / FIELD)
    return cv2.resize(small, image.shape, interpolation=cv2.INTER_CUBIC)
