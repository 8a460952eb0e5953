"""Likelihood ratios."""

import numpy as np
import pytest
from scipy.stats import binomtest

from cxr.measures.ratios import likelihood_ratio, share


def answered(having, ill, without, well):
    labels = np.r_[np.ones(ill, bool), np.zeros(well, bool)]
    given = np.r_[np.arange(ill) < having, np.arange(well) < without]
    return given, labels, np.arange(ill + well).astype(str)


def test_a_published_example():
    """Simel, Samsa and Matchar (1991): sensitivity 0.8 of 100, specificity 0.73 of 100; LR+ 2.96, 95% 2.14 to 4.10."""
    found = likelihood_ratio(*answered(80, 100, 27, 100))
    assert found.value == pytest.approx(0.8 / 0.27)
    expected = np.exp(np.log(0.8 / 0.27) + np.array([-1, 1]) * 1.96 * np.sqrt(0.2 / 80 + 0.73 / 27))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("counts", "interval"),
    [((8, 20, 8, 20), True), ((4, 20, 8, 20), False), ((8, 20, 16, 20), False), ((8, 9, 8, 20), False)],
)
def test_of_few_there_is_no_interval(counts, interval):
    found = likelihood_ratio(*answered(*counts))
    assert (found.low is not None) == interval


def test_where_there_is_no_ratio_there_is_none():
    assert likelihood_ratio(*answered(5, 10, 0, 10)) is None
    assert likelihood_ratio(*answered(0, 0, 5, 10)) is None
    assert likelihood_ratio(*answered(0, 10, 5, 10)).value == 0


def test_further_images_of_a_patient_add_no_certainty():
    given, labels, patients = answered(30, 60, 12, 50)
    once = likelihood_ratio(given, labels, patients)
    assert likelihood_ratio(*(np.tile(each, 3) for each in (given, labels, patients))) == once


@pytest.mark.parametrize(("ill", "well", "rates"), [(75, 121, (0.6, 0.2)), (43, 43, (0.8, 0.3)), (200, 60, (0.3, 0.2))])
def test_the_interval_holds_the_truth_as_often_as_it_says(ill, well, rates):
    source = np.random.default_rng(0)
    held = []
    for having, without in zip(source.binomial(ill, rates[0], 2000), source.binomial(well, rates[1], 2000), strict=True):
        found = likelihood_ratio(*answered(having, ill, without, well))
        if found and found.low is not None:
            held.append(found.low <= rates[0] / rates[1] <= found.high)
    assert len(held) > 1500
    assert 0.93 < np.mean(held) < 0.98


@pytest.mark.parametrize(("having", "of"), [(0, 12), (5, 12), (12, 12), (190, 200), (1, 10)])
def test_the_interval_of_a_share_is_the_exact_one(having, of):
    found = share(np.arange(of) < having)
    exact = binomtest(having, of).proportion_ci(method="exact")
    assert found.value == having / of
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_a_share_of_few_has_no_interval_and_one_of_none_is_an_error():
    assert share(np.array([True, False, True]))[:3] == (2 / 3, None, None)
    with pytest.raises(ValueError, match="no case"):
        share(np.zeros(0, bool))
