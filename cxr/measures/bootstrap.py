"""Intervals: one bootstrap, by patient, for all measures."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]

RESAMPLES = 2000


class Estimate(NamedTuple):
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


def resampled(labels: Truths, patients: npt.NDArray[np.str_], seed: int = 0) -> npt.NDArray[np.intp]:
    """Return how often each case is in each of RESAMPLES samples: (RESAMPLES, N).

    Patients are drawn with replacement, with all their images, from those with a positive image and from the others apart.
    """
    names, of = np.unique(patients, return_inverse=True)
    is_positive = np.zeros(len(names), bool)
    np.logical_or.at(is_positive, of, labels)
    source = np.random.default_rng(seed)
    counts = np.zeros((RESAMPLES, len(names)), np.intp)
    for group in (np.flatnonzero(is_positive), np.flatnonzero(~is_positive)):
        if len(group):
            drawn = group[source.integers(len(group), size=(RESAMPLES, len(group)))]
            np.add.at(counts, (np.arange(RESAMPLES)[:, None], drawn), 1)
    return counts[:, of]


def estimate(value: float, samples: Floats) -> Estimate:
    """Return `value` with the 95% percentile interval of its bootstrap `samples`."""
    low, high = np.nanquantile(samples, [0.025, 0.975])
    return Estimate(float(value), float(low), float(high))


def mean(values: Floats, weights: npt.NDArray[np.intp]) -> Estimate:
    """Return the mean of `values` (N,) with its interval."""
    return estimate(values.mean(), weights @ values / weights.sum(1))


def bootstrap_mean(values: npt.ArrayLike, patients: npt.ArrayLike, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean of `values` (N,) and its 95% percentile interval, bootstrapped by patient.

    Patients, not images, are drawn with replacement, since images of one patient are alike: the cluster bootstrap of Davison
    and Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8. The mean is over images.
    Raises ValueError when there is no value.
    """
    groups = pd.DataFrame({"value": np.asarray(values, float), "patient": np.asarray(patients)}).groupby("patient")["value"]
    sums, counts = groups.sum().to_numpy(), groups.count().to_numpy()
    if len(sums) == 0:
        raise ValueError("there is no value to take a mean of")
    drawn = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    resampled = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(sums.sum() / counts.sum()), float(low), float(high)


def holm(p: Sequence[float]) -> list[float]:
    """Return the p-values `p` adjusted for having looked at all of them, in their order.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6(2), 1979.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.asarray(p, float)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return [float(value) for value in adjusted]
