from itertools import permutations

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from cxr.measures.bootstrap import estimate, mean, resampled
from cxr.measures.discrimination import auc, calibration_error, matched, roc, sensitivity_at, sharpness


def cases(count=60, seed=0, levels=None):
    source = np.random.default_rng(seed)
    labels = source.random(count) < 0.6
    scores = source.normal(size=count) + labels
    return (scores if levels is None else np.round(scores * levels)), labels


@pytest.mark.parametrize("levels", [None, 1])
def test_the_area_is_that_of_scikit_learn_also_with_ties_and_weights(levels):
    scores, labels = cases(levels=levels)
    assert auc(scores, labels)[0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    weights = np.random.default_rng(1).integers(0, 4, (5, len(labels)))
    expected = [roc_auc_score(labels, scores, sample_weight=row) for row in weights]
    assert auc(scores, labels, weights) == pytest.approx(expected, abs=1e-12)


def test_without_a_class_there_is_no_area():
    scores, labels = cases()
    assert np.isnan(auc(scores, labels, labels.astype(int)[None])[0])


@pytest.mark.parametrize("levels", [None, 1])
def test_the_curve_is_that_of_scikit_learn(levels):
    scores, labels = cases(levels=levels)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    found = roc(scores, labels)
    assert found[0] == pytest.approx(false)
    assert found[1] == pytest.approx(true)


def test_patients_are_drawn_whole_and_within_their_class():
    labels = np.array([True, True, True, False, False, False, False])
    patients = np.array(["a", "a", "b", "c", "c", "d", "e"])
    weights = resampled(labels, patients)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 2] == 2).all()
    assert (weights[:, 3] + weights[:, 5] + weights[:, 6] == 3).all()
    assert weights.mean(0) == pytest.approx(np.ones(7), abs=0.06)
    assert np.array_equal(weights, resampled(labels, patients))


def test_the_interval_agrees_with_hanley_and_mcneil():
    """Their standard error of one area (1982, equation 2), with an image a patient, in the case that they tabulate."""
    scores, labels = cases(400, seed=3)
    weights = resampled(labels, np.arange(400).astype(str))
    area = auc(scores, labels)[0]
    found = estimate(area, auc(scores, labels, weights))
    positive, negative = labels.sum(), (~labels).sum()
    once, twice = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positive - 1) * (once - area**2) + (negative - 1) * (twice - area**2)
    error = np.sqrt(variance / (positive * negative))
    assert found.value == area
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(error, rel=0.15)


def test_a_mean_is_weighed_by_the_images_drawn():
    weights = np.array([[1, 1, 1], [3, 0, 0], [0, 0, 3], [0, 3, 0]])
    found = mean(np.array([1.0, 2.0, 6.0]), weights)
    assert found.value == 3
    assert 1 <= found.low < found.high <= 6


def test_calibration_and_sensitivity_by_hand():
    probabilities = np.array([0.05, 0.08, 0.95, 0.91, 1.0])
    labels = np.array([False, True, True, True, False])
    # First bin: predicted 0.13 of 2, true 1; last bin: predicted 2.86 of 3, true 2.
    assert calibration_error(probabilities, labels) == pytest.approx([(0.87 + 0.86) / 5])
    scores = np.r_[np.arange(20.0), [18.5, 19.5, 3.0, 25.0]]
    truths = np.arange(24) >= 20
    assert sensitivity_at(0.95, scores, truths) == 0.5  # above 19, the second highest negative's next


def test_weights_are_cases_taken_so_often():
    random = np.random.default_rng(1)
    scores, labels = np.round(random.uniform(size=40), 2), random.uniform(size=40) < 0.6
    weights = random.integers(0, 4, (5, 40))
    for measure in (auc, calibration_error):
        repeated = [measure(np.repeat(scores, counts), np.repeat(labels, counts))[0] for counts in weights]
        assert measure(scores, labels, weights) == pytest.approx(repeated, abs=1e-12)


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
