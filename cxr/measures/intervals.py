"""Means with their intervals, by patient, and p-values adjusted for how many there are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import t

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Patients = npt.NDArray[np.str_]

MOST_DIGITS = 12
ENOUGH = 10
"""Patients, of each class where there are classes, below which no interval is told: `benchmarks/coverage.py`."""
EFFECTIVE = 5
"""Patients in effect, where a few have most of the images, below which none is told either."""


class Estimate(NamedTuple):
    """A value, with its 95% interval where one is known to cover."""

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    """Of the test that the value is zero: below 0.05 just where the interval leaves zero out. Not adjusted for other tests."""


def outward(found: Estimate, decimals: int) -> tuple[float, float | None, float | None]:
    """Return value, low and high of `found`, rounded to so many `decimals`: the ends outward, so that no interval shrinks.

    An end that would become zero keeps more digits, so that it is still told on which side of zero it is.
    """
    value, low, high = found[:3]
    if low is None or high is None:
        return round(value, decimals), None, None
    ends = []
    for end, away in ((low, np.floor), (high, np.ceil)):
        digits = decimals
        while digits < MOST_DIGITS and not away(np.round(end * 10.0**digits, 6)) and end:
            digits += 1  # until it keeps the side of zero on which it is
        ends.append(round(float(away(np.round(end * 10.0**digits, 6))) / 10.0**digits, digits) + 0.0)
    return round(value, decimals), ends[0], ends[1]


def student(value: float, error: float, freedom: float) -> Estimate:
    """Return `value`, whose standard error is `error`, with Student's interval and test of so many degrees of `freedom`."""
    half = float(t.ppf(0.975, freedom)) * error
    return Estimate(value, value - half, value + half, float(2 * t.sf(abs(value) / error, freedom)))


def sums(values: Floats, of: npt.NDArray[np.intp]) -> Floats:
    """Return the sum of `values` (N,) for each number from 0 in `of` (N,)."""
    return np.bincount(of, weights=values).astype(np.float64)


def mean(values: npt.ArrayLike, patients: npt.ArrayLike) -> Estimate:
    """Return the mean of `values` (N,) over images, with the interval that is due to the choice of `patients` (N,).

    A ratio of sums over patients, whose error is that of its linear part: Cochran, "Sampling Techniques" (1977), section 6.4.
    Degrees of freedom are one less than Kish's effective number of patients, (sum of counts)^2 / sum of squared counts, which
    is the smaller the more unequal their counts of images are ("Survey Sampling", 1965, section 11.2). There is no interval of
    fewer than ENOUGH patients, or of EFFECTIVE in effect, nor of values that are all equal or not all finite.
    Raises ValueError when there is no value.
    """
    given = np.asarray(values, float)
    if not len(given):
        raise ValueError("there is no value to take a mean of")
    names, of = np.unique(np.asarray(patients), return_inverse=True)
    counts = np.bincount(of)
    found = float(given.mean())
    if not np.isfinite(found):
        return Estimate(found)
    off = sums(given - found, of)
    error = float(np.sqrt(len(names) / max(len(names) - 1, 1) * (off**2).sum())) / len(given)
    effective = counts.sum() ** 2 / (counts**2).sum()
    if len(names) < ENOUGH or effective < EFFECTIVE or not error > abs(found) * 1e-9:
        return Estimate(found)
    return student(found, error, effective - 1)


def holm(p: Sequence[float]) -> list[float]:
    """Return the p-values `p` adjusted for having looked at all of them, in their order.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6(2), 1979.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.asarray(p, float)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return [float(value) for value in adjusted]
