"""When a detector does not know: sets of answers that hold the truth as often as asked for, and unusual pictures."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]

COVERAGE = 0.9
"""The share of cases of each class whose set holds it."""
USUAL = 0.95
"""The share of validation images that count as usual."""
SHRINKAGE = 0.1
"""How far the correlation of features is drawn towards that of independent ones."""
LEAST = 1e-6
"""Of the deviation of a feature: some are always 0."""


ANSWERS = "not seen", "seen", "not known"
NOT_SEEN, SEEN, NOT_KNOWN = range(3)
"""Places in ANSWERS."""


class Sets(NamedTuple):
    """Which logits are odd for a class: a set holds each class that a logit is not odd for."""

    least_with: float
    """The least logit that is not odd for a radiograph with the finding."""
    most_without: float
    """The greatest that is not odd for one without."""

    def holds(self, logits: Floats) -> npt.NDArray[np.bool_]:
        """Return, for each of `logits` (N,), whether its set holds "without" and whether it holds "with": (N, 2)."""
        return np.stack([logits <= self.most_without, logits >= self.least_with], axis=-1)


class Usual(NamedTuple):
    """How features of radiographs are spread, and how far from their mean is usual."""

    mean: npt.NDArray[np.float32]
    """(D,)."""
    whitening: npt.NDArray[np.float32]
    """(D, D): features times it have unit variance in all directions."""
    farthest: float
    """The distance within which the share USUAL of the validation images lies."""

    def distance(self, features: npt.NDArray[np.float32]) -> Floats:
        """Return how far `features` (N, D) are from the mean, in standard deviations, the mean square over directions."""
        off = (features - self.mean) @ self.whitening
        distances: Floats = np.sqrt((off.astype(np.float64) ** 2).mean(axis=1))
        return distances


def sets(logits: Floats, shown: Truths, coverage: float = COVERAGE) -> Sets:
    """Return the sets that `logits` (N,), of cases of which is known whether the finding is `shown`, lead to.

    Split conformal prediction by class: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World" (2005), 4.5;
    Sadinle, Lei and Wasserman, JASA 114(525), 2019. Of exchangeable cases, in the mean over such sets of cases, the share
    `coverage` of each class is held. Where a class has too few for that, its set always holds it.
    """
    return Sets(-_greatest(-logits[shown], coverage), _greatest(logits[~shown], coverage))


def _greatest(scores: Floats, coverage: float) -> float:
    """Return the least of `scores` that is not exceeded by the share `coverage` of further ones, in the mean."""
    place = math.ceil(coverage * (len(scores) + 1) - 1e-9)
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else math.inf


def usual(learnt: npt.NDArray[np.float32], chosen_on: npt.NDArray[np.float32]) -> Usual:
    """Return how the features `learnt` (N, D) are spread, and how far those of other images, `chosen_on` (M, D), are off.

    The distance of Mahalanobis, of features of unit variance, with one mean for all: Lee et al., "A Simple Unified Framework
    for Detecting Out-of-Distribution Samples and Adversarial Attacks", NeurIPS 2018. The correlation of few images is drawn
    towards that of independent features (Ledoit and Wolf, Journal of Multivariate Analysis 88(2), 2004), by SHRINKAGE.
    """
    mean, deviation = learnt.mean(axis=0), learnt.std(axis=0) + LEAST
    correlation = np.cov(((learnt - mean) / deviation).astype(np.float64), rowvar=False)
    values, vectors = np.linalg.eigh((1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(correlation)))
    found = Usual(mean, (vectors / np.sqrt(values) / deviation[:, None]).astype(np.float32), 0.0)
    return found._replace(farthest=float(np.quantile(found.distance(chosen_on), USUAL)))


def answers(logits: Floats, threshold: float, held: Sets) -> npt.NDArray[np.intp]:
    """Return which of ANSWERS each of `logits` (N,) leads to.

    It is seen, or not, by the frozen `threshold`, where the set holds that answer alone; else it is not known.
    """
    without, having = held.holds(logits).T
    yes = logits >= threshold
    return np.where(yes & having & ~without, SEEN, np.where(~yes & without & ~having, NOT_SEEN, NOT_KNOWN))
