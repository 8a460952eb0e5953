from itertools import permutations

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_curve

from cxr.measures.discrimination import calibration_error, matched, roc, sensitivity_at, sharpness


def cases(count=60, seed=0, levels=None):
    source = np.random.default_rng(seed)
    labels = source.random(count) < 0.6
    scores = source.normal(size=count) + labels
    return (scores if levels is None else np.round(scores * levels)), labels


@pytest.mark.parametrize("levels", [None, 1])
def test_the_curve_is_that_of_scikit_learn(levels):
    scores, labels = cases(levels=levels)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    found = roc(scores, labels)
    assert found[0] == pytest.approx(false)
    assert found[1] == pytest.approx(true)


def test_calibration_and_sensitivity_by_hand():
    probabilities = np.array([0.05, 0.08, 0.95, 0.91, 1.0])
    labels = np.array([False, True, True, True, False])
    # First bin: predicted 0.13 of 2, true 1; last bin: predicted 2.86 of 3, true 2.
    assert calibration_error(probabilities, labels) == pytest.approx((0.87 + 0.86) / 5)
    scores = np.r_[np.arange(20.0), [18.5, 19.5, 3.0, 25.0]]
    truths = np.arange(24) >= 20
    assert sensitivity_at(0.95, scores, truths) == 0.5  # above 19, the second highest negative's next


def test_sharpness_is_opencvs_variance_of_the_laplacian():
    image = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
    reference = cv2.Laplacian(image.astype(np.float64), cv2.CV_64F, borderType=cv2.BORDER_REFLECT).var()
    assert sharpness(image) == pytest.approx(np.log(reference), rel=1e-9)
    assert sharpness(cv2.GaussianBlur(image, (0, 0), 1)) < sharpness(image)


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_the_most_and_the_nearest_that_there_are(seed):
    measure = np.random.default_rng(seed).normal(size=11)
    labels = np.arange(11) < 5
    found = matched(measure, labels)
    assert labels[found].sum() * 2 == len(found)
    caliper = 0.2 * measure.std()

    def cost(pairs):
        near = [distance for distance in pairs if distance <= caliper]
        return -len(near), sum(near)

    ways = permutations(range(6), 5)
    best = min(cost([abs(measure[one] - measure[5 + other]) for one, other in enumerate(way)]) for way in ways)
    assert len(found) // 2 == -best[0]
