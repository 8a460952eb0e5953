"""Areas under ROC curves and their differences, with intervals by patient."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm, rankdata, t

from cxr.measures.intervals import ENOUGH, Estimate, Floats, Patients, Truths, student

POWER = 0.8  # with which a detectable difference is found
SIMULATIONS = 200
ALIKE = 0.5  # correlation of images of one patient, as simulated
FINEST, WIDEST = 0.001, 0.4  # between which a detectable difference is looked for
NEARLY = 0.9999  # correlation of scores that are the same
SAME = 1e-12  # below which two placements are the same but for rounding


class Design(NamedTuple):
    """Who is tested: which cases are ill (N,), and of which patient each is."""

    labels: Truths
    patients: Patients


class Placed(NamedTuple):
    """Where each case stands among those of the other class."""

    area: Floats
    """The mean of either, (...)."""
    positive: Floats
    """The share of negatives below each positive case (..., P), a tie counting half."""
    negative: Floats
    """The share of positives above each negative case (..., M)."""


def placed(scores: Floats, labels: Truths) -> Placed:
    """Return the area under the ROC curve of `scores` (..., N) for `labels` (N,), and the placements that it is the mean of.

    Mann and Whitney's form of the area: Hanley and McNeil, Radiology 143(1), 1982. NaN where a class is empty.
    """
    ranks = rankdata(scores, axis=-1)
    within = [ranks[..., of] - rankdata(scores[..., of], axis=-1) for of in (labels, ~labels)]
    ill, well = int(labels.sum()), int((~labels).sum())
    if not ill or not well:
        return Placed(np.full(scores.shape[:-1], np.nan), *within)
    above, below = within[0] / well, 1 - within[1] / ill
    return Placed(above.mean(axis=-1), above, below)


def area(scores: Floats, design: Design) -> Estimate:
    """Return the area under the ROC curve of `scores` (N,) with its interval.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44(3), 1988; patients as Obuchowski, Biometrics 53(2), 1997; on the logit, by
    Student's distribution. There is no interval where a class has fewer than ENOUGH patients, nor of an area of 0 or 1.
    """
    found = placed(scores, design.labels)
    value = float(found.area)
    freedom = min(len(np.unique(design.patients[of])) for of in (design.labels, ~design.labels)) - 1
    if freedom < ENOUGH - 1 or not 0 < value < 1:
        return Estimate(value)
    error = float(_Patients(design).error(found.positive - value, found.negative - value)[0])
    if error == 0:
        return Estimate(value)
    middle, half = np.log(value / (1 - value)), t.ppf(0.975, freedom) * error / (value * (1 - value))
    low, high = (float(1 / (1 + np.exp(-end))) for end in (middle - half, middle + half))
    return Estimate(value, low, high)


def difference(first: Floats, second: Floats, design: Design) -> Estimate:
    """Return by how much the area under the ROC curve of the scores `first` (N,) exceeds that of `second`, on the same cases.

    As in `area`, without the logit. Only patients who are placed differently by the two tell how far apart they are: there is
    no interval where, in either class, these are fewer than ENOUGH. Near an area of 1 a few tell nearly all, so degrees of
    freedom are (sum of w)^2 / sum of w^2, w being a patient's share of the variance: where all tell alike, a third of them.
    """
    one, other = placed(first, design.labels), placed(second, design.labels)
    value = float(one.area - other.area)
    error, freedom = (float(each) for each in _apart(one, other, _Patients(design)))
    if not freedom or error == 0:
        return Estimate(value)
    found = student(value, error, freedom)
    return found._replace(low=max(found.low or 0, -1), high=min(found.high or 0, 1))


def detectable(first: Floats, second: Floats, design: Design, seed: int = 0) -> float | None:
    """Return the smallest difference of two areas that `difference` tells from zero with POWER, if there is one.

    There is none for scores that place all cases alike, which say nothing of how far apart two methods might be.

    By simulation: binormal scores for the same patients, with the greater of both areas, and as alike as `first` and `second`
    are within a class; images of one patient are correlated by ALIKE. Exact to FINEST, and to some 3% of power.
    """
    labels = design.labels
    areas = [placed(each, labels).area for each in (first, second)]
    if not np.isfinite(areas).all() or _same(first, second, labels):
        return None
    greater = float(np.clip(max(areas), 0.5 + FINEST, 1 - 1 / (2 * labels.sum() * (~labels).sum())))
    one, other = drawn(np.random.default_rng(seed), design, _alike(first, second, labels), SIMULATIONS)
    fixed, patients = placed(one + _shift(greater, labels), labels), _Patients(design)

    def found(apart: float) -> bool:
        lesser = placed(other + _shift(greater - apart, labels), labels)
        error, freedom = _apart(fixed, lesser, patients)
        told = (freedom > 0) & (fixed.area - lesser.area > t.ppf(0.975, np.maximum(freedom, 1)) * error)
        return bool(told.mean() >= POWER)

    low, high = 0, round(min(greater - FINEST, WIDEST) / FINEST)
    if not found(high * FINEST):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle * FINEST) else (middle, high)
    return round(high * FINEST, 3)


def binormal(random: np.random.Generator, design: Design, areas: tuple[float, float], alike: float) -> tuple[Floats, Floats]:
    """Return scores (N,) of two methods, as `drawn`, whose true areas under the ROC curve are `areas`."""
    one, other = (scores[0] for scores in drawn(random, design, alike, 1))
    return one + _shift(areas[0], design.labels), other + _shift(areas[1], design.labels)


def drawn(random: np.random.Generator, design: Design, alike: float, times: int) -> tuple[Floats, Floats]:
    """Return scores (`times`, N) of two methods that tell nothing, correlated by `alike` between the methods.

    Of unit variance, and correlated by ALIKE between images of one patient.
    """
    names, of = np.unique(design.patients, return_inverse=True)

    def one() -> Floats:
        patient, image = random.standard_normal((times, len(names))), random.standard_normal((times, len(of)))
        scores: Floats = np.sqrt(ALIKE) * patient[:, of] + np.sqrt(1 - ALIKE) * image
        return scores

    first, own = one(), one()
    return first, alike * first + np.sqrt(1 - alike**2) * own


class _Patients:
    """Sums over the patients of a design."""

    def __init__(self, design: Design) -> None:
        names, of = np.unique(design.patients, return_inverse=True)
        self.count = len(names)
        self.orders, self.starts, self.numbers = [], [], []
        for cases in (design.labels, ~design.labels):
            order = np.argsort(of[cases], kind="stable")
            numbers, starts = np.unique(of[cases][order], return_index=True)
            self.orders.append(order)
            self.starts.append(starts)
            self.numbers.append(numbers)

    def sums(self, which: int, values: Floats) -> Floats:
        """Return the sums of `values` (..., P) of the ill (`which` 0) or the well (1) over their patients (..., K)."""
        found: Floats = np.add.reduceat(values[..., self.orders[which]], self.starts[which], axis=-1)
        return found

    def error(self, *deviations: Floats) -> tuple[Floats, Floats]:
        """Return the standard error (...) of the mean whose placements deviate from it by so much, in both classes.

        And (sum of w)^2 / sum of w^2 of the patients' squared deviations w.
        """
        both = np.zeros((2, *deviations[0].shape[:-1], self.count))
        variance: Floats = np.zeros(deviations[0].shape[:-1])
        for which, values in enumerate(deviations):
            by_patient = self.sums(which, values) / values.shape[-1]
            there = by_patient.shape[-1]
            variance = variance + there / max(there - 1, 1) * (by_patient**2).sum(axis=-1)
            both[which][..., self.numbers[which]] = by_patient
        variance = variance + 2 * self.count / max(self.count - 1, 1) * both.prod(axis=0).sum(axis=-1)
        squares = both.sum(axis=0) ** 2
        fourth = (squares**2).sum(axis=-1)
        return np.sqrt(np.maximum(variance, 0)), squares.sum(axis=-1) ** 2 / np.where(fourth, fourth, np.inf)


def _apart(one: Placed, other: Placed, patients: _Patients) -> tuple[Floats, Floats]:
    """Return the standard error of the difference of two areas, and its degrees of freedom: 0 where too few tell it."""
    moved = one.positive - other.positive, one.negative - other.negative
    value = (one.area - other.area)[..., None]
    if not all(each.shape[-1] for each in moved):
        return np.zeros(value.shape[:-1]), np.zeros(value.shape[:-1])
    counts = [(patients.sums(which, np.abs(each) > SAME) > 0).sum(axis=-1) for which, each in enumerate(moved)]
    error, effective = patients.error(*(each - value for each in moved))
    return error, np.where(np.minimum(*counts) >= ENOUGH, effective, 0)


def _same(first: Floats, second: Floats, labels: Truths) -> bool:
    """Tell whether two scores place all cases alike."""
    one, other = placed(first, labels), placed(second, labels)
    return all(bool((np.abs(a - b) <= SAME).all()) for a, b in zip(one[1:], other[1:], strict=True))


def _shift(area: float, labels: Truths) -> Floats:
    """Return by how much the scores of the ill are higher in the mean, for an area of `area`."""
    found: Floats = np.sqrt(2) * norm.ppf(area) * labels
    return found


def _alike(first: Floats, second: Floats, labels: Truths) -> float:
    """Return the correlation of two scores within the classes."""
    one, other = (np.concatenate([scores[of] - scores[of].mean() for of in (labels, ~labels)]) for scores in (first, second))
    spread = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float(np.clip((one * other).sum() / spread, 0, NEARLY)) if spread else NEARLY
