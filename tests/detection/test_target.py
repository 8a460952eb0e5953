"""Whether a detector of tuberculosis is as good as the World Health Organization asks for."""

import numpy as np
import pytest
from scipy.stats import binomtest

from cxr.detection.evaluation.target import TARGETS, line, target
from cxr.measures.areas import Design


def cases(having, ill, free, well):
    """Return answers and truths: `having` of the `ill` are told, and `free` of the `well` are told free of it."""
    labels = np.arange(ill + well) < ill
    yes = np.r_[np.arange(ill) < having, np.arange(well) >= free]
    return yes, Design(labels, np.arange(ill + well).astype(str))


def exact(count, of):
    return binomtest(count, of).proportion_ci(method="exact")


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((58, 58, 72, 80), "met"),
        ((58, 58, 60, 80), "cannot be told"),  # above the target, but not surely
        ((57, 58, 40, 80), "not met"),
        ((30, 58, 78, 80), "not met"),
        ((52, 58, 35, 80), "not met"),  # one that is surely missed is enough
        ((9, 9, 9, 9), "cannot be told"),  # of so few there is no interval
        ((0, 0, 80, 80), "cannot be told"),
        ((0, 0, 10, 80), "not met"),
    ],
)
def test_it_is_met_or_not_only_where_the_intervals_say_so(counts, told):
    found = target(*cases(*counts))
    assert found["target"] == told
    having, ill, free, well = counts
    if min(ill, well) >= 10:
        ends = {"sensitivity": exact(having, ill), "specificity": exact(free, well)}
        for name, interval in ends.items():
            assert found[name]["low"] == pytest.approx(interval.low, abs=1.1e-3)
            assert found[name]["high"] == pytest.approx(interval.high, abs=1.1e-3)
        surely = all(interval.low > TARGETS[name] for name, interval in ends.items())
        missed = any(interval.high < TARGETS[name] for name, interval in ends.items())
        assert told == ("not met" if missed else "met" if surely else "cannot be told")


def test_further_images_of_a_patient_add_no_certainty():
    yes, design = cases(58, 58, 70, 80)
    twice = Design(np.r_[design.labels, design.labels], np.r_[design.patients, design.patients])
    assert target(np.r_[yes, ~yes], twice) == target(yes, design)


def test_the_line_names_the_target_and_what_was_found():
    text = line(target(*cases(58, 58, 72, 80)))
    assert text.startswith(
        "WHO's target: 90% sensitivity and 70% specificity (WHO, target product profile for triage 2014); here "
    )
    assert text.endswith("sensitivity 1.000 [0.938, 1.000], specificity 0.900 [0.812, 0.956]: met")
    assert "sensitivity of nobody" in line(target(*cases(0, 0, 8, 12)))
    assert "specificity 0.889 [none]" in line(target(*cases(9, 9, 8, 9)))
