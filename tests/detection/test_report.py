"""What logits say of a finding."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, roc_auc_score

from cxr.detection.abstaining import Sets
from cxr.detection.evaluation.report import DEGRADED_VIEWS, PAIRS, Case, for_metrics, measured, reliability, table
from cxr.figures import charts
from cxr.measures.areas import Design
from cxr.superres.methods import LEAD


def case(count=160, negatives=60, matched=80, seed=0, shortcuts=("sharpness",), **changes) -> Case:
    source = np.random.default_rng(seed)
    labels = np.arange(count) >= negatives
    patients = np.array([f"p{number // 2}" for number in range(count)])
    disease = source.normal(size=count) + 1.5 * labels
    scores = {("original", ""): disease}
    for spoilt, view in zip((0.8, 0.6, 0.4, 0.2, 0.15), DEGRADED_VIEWS, strict=True):
        scores[view, "x2"] = disease + spoilt * source.normal(size=count)
    measures = dict.fromkeys(shortcuts, scores["low", "x2"])
    rows = np.arange(40, 40 + matched)
    unusual = np.arange(count) % 8 == 0
    made = Case("PNEUMONIA", "test", Design(labels, patients), 0.4, scores, measures, rows, Sets(-0.5, 1.5), unusual)
    return made._replace(**changes)


def by_view(records):
    return {(record["view"], record["degradation"]): record for record in records}


def test_figures_are_those_of_scikit_learn():
    given = case()
    found, labels = measured(given), given.design.labels
    assert (found["images"], found["patients"], found["positives"], found["too_few"]) == (160, 80, 100, "")
    areas, pairs, calibration = (by_view(found[name]) for name in ("areas", "of_pairs", "calibration"))
    for view, logits in given.scores.items():
        assert areas[view]["value"] == pytest.approx(roc_auc_score(labels, logits), abs=5e-4)
        within = roc_auc_score(labels[given.matched], logits[given.matched])
        assert pairs[view]["value"] == pytest.approx(within, abs=5e-4)
        brier = brier_score_loss(labels, 1 / (1 + np.exp(-logits)))
        assert calibration[view]["brier"] == pytest.approx(brier, abs=5e-4)
        assert areas[view]["low"] < areas[view]["value"] < areas[view]["high"]
    assert found["shortcuts"][0]["value"] == areas["low", "x2"]["value"]
    assert [record["pair"] for record in found["differences"]] == [f"{better}-{worse}" for better, worse in PAIRS]
    for record in found["differences"]:
        better, worse = record["pair"].split("-")
        other = areas["original", ""] if worse == "original" else areas[worse, "x2"]
        assert record["value"] == pytest.approx(areas[better, "x2"]["value"] - other["value"], abs=0.0011)
        assert record["low"] < record["value"] < record["high"]
        assert 0.9 < record["detectable"] / ((record["high"] - record["low"]) / 2) < 3


def test_the_threshold_is_the_one_that_was_given():
    for threshold in (-1.0, 0.4, 2.0):
        given = case(threshold=threshold)
        found = by_view(measured(given)["operating"])
        for view, logits in given.scores.items():
            yes = logits >= threshold
            assert found[view]["sensitivity"] == pytest.approx(yes[60:].mean(), abs=5e-4)
            assert found[view]["specificity"] == pytest.approx(1 - yes[:60].mean(), abs=5e-4)


def test_sets_and_what_is_unusual_are_counted():
    given = case()
    logits, labels = given.scores["original", ""], given.design.labels
    without, having = logits <= 1.5, logits >= -0.5
    found = measured(given)["abstaining"]
    assert found["covered_with"] == pytest.approx(having[labels].mean(), abs=5e-4)
    assert found["covered_without"] == pytest.approx(without[~labels].mean(), abs=5e-4)
    assert found["unusual"] == 0.125
    said = table([measured(given)])
    assert "sets of 90%: hold" in said
    yes = (logits >= 0.4) & having & ~without
    assert found["not_known"] == pytest.approx((~yes & ~((logits < 0.4) & without & ~having)).mean(), abs=5e-4)
    known = measured(given)["answered"]
    usual = ~given.unusual
    first = usual & ~np.roll(usual & (np.arange(160) % 2 == 0), 1) | (usual & (np.arange(160) % 2 == 0))  # of each patient
    (ratio,) = [each for each in known["ratios"] if each["answer"] == "seen"]
    assert ratio["value"] == pytest.approx(yes[labels & first].mean() / yes[~labels & first].mean(), abs=5e-4)
    assert known["images"] == usual.sum()
    assert known["area"]["value"] == pytest.approx(roc_auc_score(labels[usual], logits[usual]), abs=5e-4)
    assert len(known["shortcuts"]) == 1
    assert "told seen              likelihood ratio" in said


def test_where_all_is_unusual_nothing_is_shown():
    given = case(unusual=np.ones(160, bool))
    found = measured(given)["answered"]
    assert (found["images"], found["area"], found["shortcuts"]) == (0, None, [])
    assert {each["value"] for each in found["ratios"]} == {None}
    assert "of the 0 that are not unusual" in table([measured(given)])


def test_reliability_is_scikit_learns():
    given = case()
    logits, labels = given.scores["original", ""], given.design.labels
    observed, predicted = calibration_curve(labels, 1 / (1 + np.exp(-logits)), n_bins=10)
    found = reliability(logits, labels)
    assert [record["observed"] for record in found] == pytest.approx(observed, abs=5e-4)
    assert [record["predicted"] for record in found] == pytest.approx(predicted, abs=5e-4)
    assert sum(record["images"] for record in found) == 160


def test_paired_differences_are_more_certain_than_their_parts():
    found = measured(case())
    lead = by_view(found["areas"])[LEAD, "x2"]
    (paired,) = [record for record in found["differences"] if record["pair"] == f"{LEAD}-original"]
    assert paired["high"] - paired["low"] < lead["high"] - lead["low"]


def test_where_no_order_changes_there_is_no_interval():
    given = case()
    found = measured(given._replace(scores={**given.scores, ("vdsr", "x2"): 2 * given.scores["srcnn", "x2"]}))
    (same,) = [record for record in found["differences"] if record["pair"] == "vdsr-srcnn"]
    assert (same["value"], same["low"], same["high"], same["detectable"]) == (0, None, None, None)
    assert "x2 VDSR - SRCNN" not in table([found])
    assert "1 further pairs place all images alike: their difference is 0." in table([found])


def test_a_class_of_nine_patients_has_areas_without_intervals():
    found = measured(case(negatives=18))
    for record in (*found["areas"], *found["differences"], *found["shortcuts"]):
        assert (record["low"], record["high"]) == (None, None)
    assert {record["detectable"] for record in found["differences"]} == {None}
    assert found["too_few"] == "71 patients with it and 9 without, of 10 each that an interval takes"
    said = table([found])
    assert f"Too few: {found['too_few']}" in said
    assert "nothing is detectable with 80% power" in said


@pytest.mark.parametrize("negatives", [0, 160])
def test_of_one_class_nothing_but_counts_is_told(negatives):
    found = measured(case(negatives=negatives, matched=0))
    assert set(found) == {"finding", "group", "images", "patients", "positives", "too_few", "abstaining", "answered"}
    assert [found["abstaining"][f"covered_{name}"] is None for name in ("with", "without")] == [negatives > 0, negatives == 0]
    assert for_metrics([found])["auc"] == {}
    assert "Too few" in table([found])


def test_what_metrics_diff_shows_is_small_and_the_rest_is_in_a_list():
    found = measured(case())
    original = {("original", ""): case().scores["original", ""]}
    outside = measured(case(group="external", scores=original))
    said = for_metrics([found, outside])
    areas = by_view(found["areas"])
    assert said["auc"] == {
        "PNEUMONIA": {
            "original": areas["original", ""]["value"],
            "edsr_x2": areas[LEAD, "x2"]["value"],
            "external": outside["areas"][0]["value"],
        }
    }
    assert said["measured"] == [found, outside]
    assert outside["differences"] == []


def test_the_table_says_everything_in_words():
    text = table([measured(case())])
    assert "PNEUMONIA, test: 160 images of 80 patients, 100 of the images with it" in text
    assert "by sharpness" in text
    assert "40 pairs are alike in sharpness" in text
    assert "x2 VDSR - Bicubic" in text
    assert "For research, not for diagnosis." in text
    assert "no pairs" in table([measured(case(matched=0))])


def test_curves_are_drawn_with_their_areas():
    given = case()
    views = {view: logits for (view, _), logits in given.scores.items()}
    (axes,) = charts.roc_curves(views, given.design.labels, "NODULE", "x2").axes
    named = {line.get_label(): line for line in axes.lines}
    area = roc_auc_score(given.design.labels, given.scores["vdsr", "x2"])
    curve = named[f"VDSR, AUC {area:.3f}"]
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(area)
    assert axes.get_title() == "NODULE, x2"
    figure = charts.reliability(reliability(given.scores["original", ""], given.design.labels), r"$\foo$")
    figure.canvas.draw()  # which a formula would stop


def test_of_tuberculosis_alone_whos_target_is_told():
    found = measured(case(finding="TUBERCULOSIS", threshold=9.0))
    assert found["who"]["target"] == "not met"
    assert "WHO's target: 90% sensitivity and 70% specificity" in table([{**found, "differences": []}])
    assert "who" not in measured(case())
