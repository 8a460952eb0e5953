"""How scores tell two classes apart: curves, calibration, and pairs that are alike in something else."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import laplace
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import roc_curve

from cxr.measures.intervals import Floats, Truths

CALIPER = 0.2  # standard deviations: Austin, "Optimal caliper widths for propensity-score matching", Pharm. Stat. 10(2), 2011
BINS = 10
ENOUGH_NEGATIVES = 100  # for a specificity of 95%, of which 5 negatives decide


def roc(scores: Floats, labels: Truths) -> tuple[Floats, Floats]:
    """Return the false and true positive rates of all thresholds, from (0, 0) to (1, 1)."""
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    return false, true


def calibration_error(probabilities: Floats, labels: Truths) -> float:
    """Return the mean distance between the predicted and the true share of positives, in BINS bins of equal width.

    Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
    """
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    surplus = np.bincount(bins, weights=probabilities - labels)
    return float(np.abs(surplus).sum() / len(labels))


def sensitivity_at(specificity: float, scores: Floats, labels: Truths) -> float:
    """Return the share of positives above the lowest threshold that leaves `specificity` of the negatives at or below it."""
    threshold = np.quantile(scores[~labels], specificity, method="higher")
    return float((scores[labels] > threshold).mean())


def sharpness(image: npt.NDArray[Any]) -> float:
    """Return the logarithm of the variance of the Laplacian of `image` (H, W), in grey levels of 255: a measure of focus.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative study", ICPR 2000.
    """
    return float(np.log(laplace(image.astype(np.float64)).var() + 1e-6))


def matched(measure: Floats, labels: Truths) -> npt.NDArray[np.intp]:
    """Return the cases of pairs of a positive and a negative whose `measure` (N,) differs by CALIPER at most, in order.

    Of all ways to pair, one with the smallest sum of differences.
    """
    distances = np.abs(measure[labels][:, None] - measure[~labels][None])
    caliper = CALIPER * measure.std()
    far = distances.size * (caliper + 1)  # farther than all that may be paired together
    positive, negative = linear_sum_assignment(np.where(distances <= caliper, distances, far))
    near = distances[positive, negative] <= caliper
    return np.sort(np.r_[np.flatnonzero(labels)[positive[near]], np.flatnonzero(~labels)[negative[near]]])
