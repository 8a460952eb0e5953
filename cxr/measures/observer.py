"""How well a known signal can be told in noise and anatomy: the channelised Hotelling observer."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

# Dense difference-of-Gaussian channels: Abbey and Barrett, "Human- and model-observer performance in ramp-spectrum noise",
# JOSA A 18(3), 2001, section 3.D: ten bands, each 1.4 times as high as the one before, the lowest at 0.005 cycles a pixel.
BANDS, LOWEST, RATIO, WIDTH = 10, 0.005, 1.4, 1.67
RIDGE = 1e-6  # of the channels' mean variance, so that channels which hardly differ can be told apart


class Told(NamedTuple):
    """How well the observer tells images with the signal from those without."""

    auc: float
    """Area under its ROC curve, on images that it did not learn from."""
    detectability: float
    """Distance of both means in standard deviations (d'), on the same images; infinite where neither varies."""


def channels(signal: Floats) -> Floats:
    """Return the channels (C, H, W) for a known `signal` (H, W): that signal in each band of frequencies, and as it is.

    Each of unit norm. A band that the signal has nothing of is left out.
    """
    rows, columns = (np.fft.fftfreq(length)[:, None] for length in signal.shape)
    frequency = np.hypot(rows, columns.T)
    spectrum = np.fft.fft2(signal - signal.mean())
    made = [signal - signal.mean()]
    for band in range(BANDS):
        centre = LOWEST * RATIO**band
        passed = np.exp(-0.5 * (frequency / (WIDTH * centre)) ** 2) - np.exp(-0.5 * (frequency / centre) ** 2)
        made.append(np.fft.ifft2(spectrum * passed).real)
    norms = [float(np.linalg.norm(each)) for each in made]
    return np.stack([each / norm for each, norm in zip(made, norms, strict=True) if norm > 1e-3 * norms[0]])


def outputs(images: Floats, through: Floats) -> Floats:
    """Return what `images` (N, H, W) give `through` channels (C, H, W): (N, C)."""
    flat = images.reshape(len(images), -1).astype(float)
    given: Floats = (flat - flat.mean(axis=1, keepdims=True)) @ through.reshape(len(through), -1).T
    return given


def told(present: Floats, absent: Floats) -> Told:
    """Return how well outputs (N, C) of images with a signal, `present`, are told from those without, `absent`.

    The template is learnt on the first half of the images and judged on the second, and the other way round; both are
    averaged. Images i of both may show the same place, and halves should share no patient, so that nothing is judged on what
    it was learnt from.
    Barrett and Myers, "Foundations of Image Science" (2004), section 13.2.12, for the template; AUC by Mann and Whitney.
    Raises ValueError for fewer than four images of either.
    """
    if min(len(present), len(absent)) < 4:
        raise ValueError("an observer needs four images with the signal and four without")
    found = []
    pairs = [np.array_split(each, 2) for each in (present, absent)]
    first, second = zip(*pairs, strict=True)
    for learnt, judged in ((first, second), (second, first)):
        found_by = template(*learnt)
        found.append(_judged(*(each @ found_by for each in judged)))
    return Told(*(float(np.mean(values)) for values in zip(*found, strict=True)))


def template(present: Floats, absent: Floats) -> Floats:
    """Return Hotelling's template (C,) for outputs (N, C) of images with a signal, `present`, and without, `absent`."""
    covariance = (np.atleast_2d(np.cov(present.T)) + np.atleast_2d(np.cov(absent.T))) / 2
    ridge = RIDGE * max(np.trace(covariance) / len(covariance), 1e-12)
    found: Floats = np.linalg.solve(covariance + ridge * np.eye(len(covariance)), present.mean(axis=0) - absent.mean(axis=0))
    return found


def _judged(present: Floats, absent: Floats) -> tuple[float, float]:
    ordered = np.sort(absent)
    below, upto = (np.searchsorted(ordered, present, side) for side in ("left", "right"))
    auc = float((below + upto).mean() / (2 * len(absent)))
    spread = np.sqrt((present.var(ddof=1) + absent.var(ddof=1)) / 2)
    distance = present.mean() - absent.mean()
    return auc, float(distance / spread) if spread else float(np.inf if distance else 0)
