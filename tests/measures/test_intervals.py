import numpy as np
import pytest
from scipy import stats

from cxr.measures.intervals import ENOUGH, Estimate, mean, outward


def test_with_one_image_a_patient_interval_and_test_are_students():
    values = np.random.default_rng(0).normal(0.3, 1, 40)
    found = mean(values, np.arange(40))
    reference = stats.ttest_1samp(values, 0)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert found.p == pytest.approx(reference.pvalue)


def test_the_interval_leaves_zero_out_just_where_the_test_does():
    for seed in range(40):
        random = np.random.default_rng(seed)
        found = mean(random.normal(0.3, 1, 60), random.integers(0, 25, 60))
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_the_error_is_that_of_leaving_out_a_patient():
    random = np.random.default_rng(0)
    patients = random.integers(0, 80, 200)
    values = random.normal(1, 1, 200) + random.normal(0, 1, 80)[patients]
    found = mean(values, patients)
    without = np.array([values[patients != each].mean() for each in np.unique(patients)])
    count = len(without)
    jackknife = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    freedom = 200**2 / (np.bincount(patients) ** 2).sum() - 1
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, freedom) * jackknife, rel=0.03)


def test_copies_of_an_image_of_one_patient_add_no_certainty():
    values = np.random.default_rng(0).normal(3, 2, 60)
    once = mean(values, np.arange(60))
    assert mean(np.tile(values, 4), np.tile(np.arange(60), 4)) == pytest.approx(once)
    as_if_apart = mean(np.tile(values, 4), np.arange(240))
    assert as_if_apart.high - as_if_apart.low < 0.6 * (once.high - once.low)


def test_the_mean_is_over_images_not_over_patients():
    assert mean([1, 1, 1, 5], ["a", "a", "a", "b"]).value == 2


def test_no_value_has_no_mean():
    with pytest.raises(ValueError, match="no value"):
        mean([], [])


@pytest.mark.parametrize("values", [np.full(30, 0.5), np.zeros(30), np.full(30, 38.12) + 1e-12 * np.arange(30)])
def test_values_that_are_all_equal_have_no_interval_of_no_width(values):
    assert mean(values, np.arange(30))[1:] == (None, None, None)


def test_few_patients_have_no_interval_however_many_images():
    values = np.random.default_rng(0).normal(3, 2, 90)
    assert mean(values, np.arange(90) % (ENOUGH - 1))[1:] == (None, None, None)
    assert mean(values, np.arange(90) % ENOUGH).low is not None


def test_intervals_are_rounded_outward():
    assert outward(Estimate(0.12345, 0.12341, 0.12349), 3) == (0.123, 0.123, 0.124)
    assert outward(Estimate(-0.5, -0.51149, -0.5), 2) == (-0.5, -0.52, -0.5)
    assert outward(Estimate(1.0), 2) == (1.0, None, None)


@pytest.mark.parametrize("end", [0.29, 0.57, 1.13, 1.15, 1.001, -0.29, -1.13, 0.0])
def test_what_is_rounded_already_stays_as_it_is(end):
    decimals = len(str(abs(end)).partition(".")[2])
    assert outward(Estimate(end, end, end), decimals) == (end, end, end)


def test_an_end_keeps_its_side_of_zero():
    _, low, high = outward(Estimate(0.0006, 0.00026, 0.00089), 3)
    assert 0 < low <= 0.00026
    assert high == 0.001
    _, low, high = outward(Estimate(-0.004, -0.0071, -0.0021), 2)
    assert (low, high) == (-0.01, -0.002)
    assert str(outward(Estimate(0.0, -0.2, 0.0), 2)[2]) == "0.0"


def test_one_patient_with_nearly_all_images_makes_no_interval():
    values = np.random.default_rng(0).normal(1, 1, 109)
    assert mean(values, np.r_[np.zeros(100), np.arange(1, 10)])[1:] == (None, None, None)


def test_a_value_that_is_not_finite_has_no_interval():
    values = np.r_[np.random.default_rng(0).normal(1, 1, 40), np.inf]
    assert mean(values, np.arange(41))[1:] == (None, None, None)
