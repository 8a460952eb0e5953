import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from cxr.measures.areas import ALIKE, Design, area, binormal, detectable, difference, placed
from cxr.measures.intervals import ENOUGH


def cases(count=120, seed=0, of_each=1, areas=(0.85, 0.8), alike=0.9):
    """Return scores of two methods and the design of `count` cases, two fifths of them well."""
    labels = np.arange(count) >= 0.4 * count
    design = Design(labels, np.array([f"p{number // of_each}" for number in range(count)]))
    return *binormal(np.random.default_rng(seed), design, areas, alike), design


def delong(first, second, labels):
    """Return the variance of the difference of two areas as DeLong and others write it, by all pairs of cases."""
    parts = []
    for scores in (first, second):
        above = scores[labels][:, None] - scores[~labels][None]
        in_order = (above > 0) + 0.5 * (above == 0)
        parts.append((in_order.mean(1), in_order.mean(0)))
    ill, well = (np.cov(one - other) for one, other in zip(*parts, strict=True))
    return ill / labels.sum() + well / (~labels).sum()


@pytest.mark.parametrize("rounded", [False, True])
def test_the_area_is_that_of_scikit_learn_also_with_ties(rounded):
    scores, _, design = cases()
    scores = np.round(scores) if rounded else scores
    assert placed(scores, design.labels).area == pytest.approx(roc_auc_score(design.labels, scores), abs=1e-12)


def test_without_a_class_there_is_no_area_and_no_warning():
    scores, other, design = cases()
    ill = design._replace(labels=np.ones(len(scores), bool))
    assert np.isnan(placed(scores, ill.labels).area)
    assert np.isnan(area(scores, ill).value)
    assert area(scores, ill).low is None
    assert difference(scores, other, ill).low is None
    assert detectable(scores, other, ill) is None


@pytest.mark.parametrize("rounded", [False, True])
def test_with_one_image_a_patient_the_error_is_delongs(rounded):
    first, second, design = cases()
    if rounded:
        first, second = np.round(2 * first), np.round(2 * second)
    found = difference(first, second, design)
    error = np.sqrt(delong(first, second, design.labels))
    one, other = (placed(each, design.labels) for each in (first, second))
    of_ill, of_well = one.positive - other.positive, one.negative - other.negative
    told = np.concatenate([(each - found.value) / len(each) for each in (of_ill, of_well)]) ** 2
    freedom = told.sum() ** 2 / (told**2).sum()
    assert 10 < freedom < 120
    assert abs(found.value) / stats.t.isf(found.p / 2, freedom) == pytest.approx(error, rel=1e-6)
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, freedom) * error, rel=1e-6)
    alone = area(first, design)
    error = np.sqrt(delong(first, np.zeros(len(first)), design.labels)) / (alone.value * (1 - alone.value))
    spread = np.log(alone.high / (1 - alone.high)) - np.log(alone.low / (1 - alone.low))
    assert spread / 2 == pytest.approx(stats.t.ppf(0.975, 47) * error, rel=1e-6)


def test_copies_of_images_add_no_certainty():
    first, second, design = cases()
    twice = Design(*(np.repeat(part, 2) for part in design))
    for once, again in (
        (area(first, design), area(np.repeat(first, 2), twice)),
        (difference(first, second, design), difference(np.repeat(first, 2), np.repeat(second, 2), twice)),
    ):
        assert again[:3] == pytest.approx(once[:3], rel=1e-9)


def test_patients_with_images_in_both_classes_count_once():
    """The error agrees with that of leaving out one patient after the other."""
    labels = np.arange(300) % 3 > 0
    design = Design(labels, np.array([f"p{number // 3}" for number in range(300)]))
    first, second = binormal(np.random.default_rng(0), design, (0.85, 0.75), 0.5)
    found = difference(first, second, design)
    without = []
    for patient in set(design.patients):
        kept = design.patients != patient
        without.append(placed(first[kept], labels[kept]).area - placed(second[kept], labels[kept]).area)
    count = len(without)
    jackknife = np.sqrt((count - 1) / count * ((np.array(without) - np.mean(without)) ** 2).sum())
    ratio = (found.high - found.low) / 2 / jackknife
    assert stats.t.ppf(0.975, 99) * 0.97 < ratio < stats.t.ppf(0.975, 33) * 1.03  # of a hundred patients, a third in effect


def test_what_is_reversed_is_as_far_the_other_way():
    first, second, design = cases()
    there, back = difference(first, second, design), difference(second, first, design)
    assert (back.value, back.low, back.high, back.p) == pytest.approx((-there.value, -there.high, -there.low, there.p))


def test_there_is_no_interval_where_none_covers():
    first, second, design = cases()
    apart = np.where(design.labels, 1.0, 0.0) + first * 1e-3
    assert area(apart, design)[1:] == (None, None, None)  # every pair in order
    assert difference(first, 2 * first + 1, design) == (0, None, None, None)  # the same order
    one = Design(design.labels, np.where(design.labels, design.patients, "the same"))
    assert area(first, one).low is None
    assert difference(first, second, one).low is None
    nine = np.flatnonzero(~design.labels)[: ENOUGH - 1]
    few = np.concatenate([nine, np.flatnonzero(design.labels)])
    assert area(first[few], Design(*(part[few] for part in design))).low is None
    ten = np.concatenate([np.flatnonzero(~design.labels)[:ENOUGH], np.flatnonzero(design.labels)])
    assert area(first[ten], Design(*(part[ten] for part in design))).low is not None


def test_a_difference_that_few_patients_tell_has_no_interval():
    first, _, design = cases()
    second = first.copy()
    well = np.flatnonzero(~design.labels)
    second[well[:3]] += 5  # three of the well now stand above all; the ill are all placed differently, the well but three times
    assert difference(first, second, design).low is None
    assert difference(first, second, design).value > 0


def test_what_is_called_detectable_is_found_four_times_out_of_five():
    first, second, design = cases(areas=(0.85, 0.85), alike=0.95)
    least = detectable(first, second, design)
    greater = max(placed(each, design.labels).area for each in (first, second))
    rows = design.labels, ~design.labels
    centred = [np.concatenate([scores[of] - scores[of].mean() for of in rows]) for scores in (first, second)]
    alike = np.corrcoef(*centred)[0, 1]
    random = np.random.default_rng(99)
    found = 0
    for _ in range(400):
        p = difference(*binormal(random, design, (greater, greater - least), alike), design).p
        found += p is not None and p < 0.05
    assert 0.73 < found / 400 < 0.9


def test_nothing_is_detectable_where_there_is_never_an_interval():
    first, second, design = cases()
    few = np.concatenate([np.flatnonzero(~design.labels)[: ENOUGH - 1], np.flatnonzero(design.labels)])
    assert detectable(first[few], second[few], Design(*(part[few] for part in design))) is None


def test_drawn_scores_have_the_areas_and_likenesses_asked_for():
    first, second, design = cases(60_000, of_each=2, areas=(0.9, 0.8), alike=0.7)
    assert placed(first, design.labels).area == pytest.approx(0.9, abs=0.005)
    assert placed(second, design.labels).area == pytest.approx(0.8, abs=0.005)
    ill = first[design.labels], second[design.labels]
    assert np.corrcoef(*ill)[0, 1] == pytest.approx(0.7, abs=0.01)
    assert np.corrcoef(ill[0][::2], ill[0][1::2])[0, 1] == pytest.approx(ALIKE, abs=0.02)
    assert ill[0].std() == pytest.approx(1, abs=0.01)
    assert ill[1].std() == pytest.approx(1, abs=0.01)
