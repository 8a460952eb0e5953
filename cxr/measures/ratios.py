"""Shares of cases, and likelihood ratios: how much more often an answer is given of those with a finding than without."""

import math

import numpy as np
from scipy.stats import beta

from cxr.measures.intervals import ENOUGH, Estimate, Patients, Truths

NORMAL = 1.959964
"""Standard errors to each side of a mean that hold 95%."""
ENOUGH_ANSWERS = 5
"""Patients of each class who must have got an answer, and as many another, for an interval of its ratio."""


def share(told: Truths) -> Estimate:
    """Return the share of independent cases (N,), one of each patient, that are `told`.

    With the exact interval of Clopper and Pearson, Biometrika 26(4), 1934, which holds the truth at least as often as it says:
    Wilson's falls short of it near 0 and 1. There is none of fewer than ENOUGH cases.
    Raises ValueError when there is no case.
    """
    count, having = len(told), int(told.sum())
    if not count:
        raise ValueError("there is no case to take a share of")
    if count < ENOUGH:
        return Estimate(having / count)
    low = float(beta.ppf(0.025, having, count - having + 1)) if having else 0.0
    high = float(beta.ppf(0.975, having + 1, count - having)) if having < count else 1.0
    return Estimate(having / count, low, high)


def likelihood_ratio(answered: Truths, labels: Truths, patients: Patients) -> Estimate | None:
    """Return the share of those with a finding, by `labels` (N,), who got an answer, over that of those without.

    Of the first image of each of `patients` (N,) in each class, so that cases are independent. With the interval of Simel,
    Samsa and Matchar, J. Clin. Epidemiol. 44(8), 1991, on the logarithm; there is none where a class has fewer than
    ENOUGH patients, or fewer than ENOUGH_ANSWERS of one got the answer, or did not. None where the ratio is none: nobody
    without the finding got the answer, or a class is empty.
    """
    counts = []
    for of in (labels, ~labels):
        _, first = np.unique(patients[of], return_index=True)
        counts.append((int(answered[of][first].sum()), len(first)))
    (having, ill), (without, well) = counts
    if not ill or not well or not without:
        return None
    ratio = (having / ill) / (without / well)
    enough = min(having, without, ill - having, well - without) >= ENOUGH_ANSWERS
    if min(ill, well) < ENOUGH or not enough:
        return Estimate(ratio)
    half = NORMAL * math.sqrt(1 / having - 1 / ill + 1 / without - 1 / well)
    return Estimate(ratio, ratio * math.exp(-half), ratio * math.exp(half))
