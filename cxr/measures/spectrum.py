"""Radial power spectra: how much structure of each size images have."""

import numpy as np
from scipy.signal.windows import hann

from cxr.measures.intervals import Floats


def radial(image: Floats, pixel: float, edges: Floats) -> Floats:
    """Return the mean power of `image` (S, S) in each band of frequencies between neighbours of `edges` (B + 1): (B,).

    `pixel` is the side of a pixel in mm, `edges` are in cycles a mm, and power is in squared levels times mm2. A plane is taken
    from the image, and its border is faded by Hann's window, whose power is made up for: Burgess, Jacobson and Judy, "Human
    observer detection experiments with mammograms and power-law noise", Medical Physics 28(4), 2001. NaN where a band is empty.
    """
    side = len(image)
    across, down = np.meshgrid(*[np.arange(side) - (side - 1) / 2] * 2)
    plane = np.stack([np.ones(side * side), across.ravel(), down.ravel()], 1)
    rest = image.ravel() - plane @ np.linalg.lstsq(plane, image.ravel(), rcond=None)[0]
    window = np.outer(*[hann(side, sym=False)] * 2)
    power = np.abs(np.fft.fft2(rest.reshape(side, side) * window)) ** 2 * pixel**2 / (window**2).sum()
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side, pixel)] * 2))
    band = np.digitize(frequency.ravel(), edges) - 1
    inside = (band >= 0) & (band < len(edges) - 1)
    counts, sums = (
        np.bincount(band[inside], weights=weights, minlength=len(edges) - 1) for weights in (None, power.ravel()[inside])
    )
    found: Floats = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return found


def decibels(power: Floats) -> Floats:
    """Return `power` in decibels of 1."""
    found: Floats = 10 * np.log10(power)
    return found
