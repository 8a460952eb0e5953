"""Sets of answers, and unusual pictures."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from cxr.detection.abstaining import ANSWERS, Sets, answers, sets, usual


def drawn(source, count, share=0.3):
    shown = source.random(count) < share
    return source.normal(size=count) + 1.2 * shown, shown


@pytest.mark.parametrize(("count", "coverage"), [(60, 0.9), (200, 0.9), (200, 0.8)])
def test_each_class_is_held_as_often_as_asked_for(count, coverage):
    source = np.random.default_rng(0)
    held = []
    for _ in range(1000):
        scores, shown = drawn(source, count)
        found = sets(scores, shown, coverage)
        others, truth = drawn(source, 400)
        holds = found.holds(others)
        held.append((holds[truth, 1].mean(), holds[~truth, 0].mean()))
    for mean in np.mean(held, axis=0):
        assert coverage - 0.01 < mean < coverage + 0.05  # of few cases more, since places are whole


def test_a_class_of_too_few_is_always_held():
    scores, shown = np.array([0.1, 0.2, 3.0, 4.0]), np.array([False, False, True, True])
    assert sets(scores, shown) == Sets(-math.inf, math.inf)
    assert sets(scores, shown).holds(np.array([-9.0, 9.0])).all()


def test_places_are_those_of_the_definition():
    scores = np.arange(19.0)
    found = sets(np.r_[scores, scores + 5], np.r_[np.zeros(19, bool), np.ones(19, bool)])
    assert found.most_without == 17.0  # the 18th of 19, which further cases exceed one time in ten
    assert found.least_with == 6.0
    assert found.holds(np.array([5.0, 6.0, 17.0, 18.0])).tolist() == [[True, False], [True, True], [True, True], [False, True]]


@pytest.mark.parametrize(
    ("logit", "answer"), [(-3.0, "not seen"), (0.2, "not known"), (0.6, "not known"), (3.0, "seen"), (1.2, "seen")]
)
def test_what_is_told_is_by_the_threshold_where_the_set_holds_that_alone(logit, answer):
    held = Sets(least_with=-0.5, most_without=1.0)
    assert ANSWERS[answers(np.array([logit]), 0.4, held)[0]] == answer


def test_a_threshold_that_the_set_contradicts_leaves_it_unknown():
    held = Sets(least_with=1.0, most_without=-1.0)
    assert ANSWERS[answers(np.array([0.0]), 0.0, held)[0]] == "not known"  # neither class is held
    assert ANSWERS[answers(np.array([2.0]), 5.0, held)[0]] == "not known"  # the other one is


def test_distances_are_those_of_mahalanobis(monkeypatch):
    monkeypatch.setattr("cxr.detection.abstaining.SHRINKAGE", 0.0)
    source = np.random.default_rng(0)
    mixing = source.normal(size=(5, 5))
    learnt = (source.normal(size=(300, 5)) @ mixing + 3).astype(np.float32)
    found = usual(learnt, learnt)
    inverse = np.linalg.inv(np.cov(learnt.astype(float), rowvar=False))
    expected = [mahalanobis(each, learnt.mean(axis=0), inverse) / math.sqrt(5) for each in learnt[:20]]
    assert found.distance(learnt[:20]) == pytest.approx(expected, rel=1e-3)
    assert (found.distance(learnt) > found.farthest).mean() == pytest.approx(0.05, abs=0.005)


def test_more_features_than_images_still_tell_what_is_far():
    source = np.random.default_rng(0)
    learnt, others = (source.normal(size=(40, 100)).astype(np.float32) for _ in range(2))
    found = usual(learnt, others)
    assert np.isfinite(found.whitening).all()
    assert found.distance(others + 6).min() > found.farthest
