import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score

from cxr.detection import diagnosis
from cxr.detection.report import DEGRADED_VIEWS, PAIRS, findings, table
from cxr.figures import charts
from cxr.foundation.errors import UserError
from cxr.measures.areas import Design
from cxr.superres.methods import LEAD
from stages import diagnose, evaluate, split
from tests.support.tiny import TINY, write_params

HALVES = {"split": {"train": 0.4, "val": 0.3, "test": 0.3}}  # of 24 images, so that all parts hold both classes


@pytest.fixture(scope="module")
def told(finished, tmp_path_factory):
    """A workspace in which there is enough to tell; for reading only."""
    workspace = tmp_path_factory.mktemp("told") / "workspace"
    shutil.copytree(finished, workspace)
    write_params(workspace, TINY, HALVES)
    for stage in (split, evaluate, diagnose):
        stage.run(workspace)
    return workspace


def scores_of(count=160, negatives=60, seed=0):
    source = np.random.default_rng(seed)
    labels = np.arange(count) >= negatives
    patients = np.array([f"p{number // 2}" for number in range(count)])
    disease = source.normal(size=count) + 1.5 * labels
    scores = {("original", ""): disease}
    for spoilt, view in zip((0.8, 0.6, 0.4, 0.2, 0.15), DEGRADED_VIEWS, strict=True):
        scores[view, "x2"] = disease + spoilt * source.normal(size=count)
    return scores, labels, patients


def told_of(found, **left_out):
    """Return `found` as the stage writes it, when so many images of other findings are left out."""
    return {"left_out": left_out, **found}


def test_figures_are_those_of_scikit_learn():
    scores, labels, patients = scores_of()
    matched_rows = np.arange(40, 120)
    found = findings(scores, {"native_size": scores["low", "x2"]}, Design(labels, patients), matched_rows)
    assert (found["images"], found["patients"], found["negatives"]) == (160, 80, 60)
    for (view, scale), logits in scores.items():
        inner = found["auc"][scale][view] if scale else found["auc"][view]
        assert inner == pytest.approx(roc_auc_score(labels, logits), abs=0.0005)
        within = found["matched"]["auc"][scale][view] if scale else found["matched"]["auc"][view]
        assert within == pytest.approx(roc_auc_score(labels[matched_rows], logits[matched_rows]), abs=0.0005)
        accuracy = found["accuracy"][scale][view] if scale else found["accuracy"][view]
        assert accuracy == pytest.approx(accuracy_score(labels, logits > 0), abs=0.0005)
        brier = found["brier"][scale][view] if scale else found["brier"][view]
        assert brier == pytest.approx(brier_score_loss(labels, 1 / (1 + np.exp(-logits))), abs=0.0005)
    assert found["shortcuts"] == {"native_size": found["auc"]["x2"]["low"]}
    assert [record["pair"] for record in found["differences"]] == [f"{better}-{worse}" for better, worse in PAIRS]
    for record in found["differences"]:
        better, worse = record["pair"].split("-")
        expected = found["auc"]["x2"][better] - (found["auc"]["original"] if worse == "original" else found["auc"]["x2"][worse])
        assert record["value"] == pytest.approx(expected, abs=0.0011)
        assert record["low"] < record["value"] < record["high"]
        assert 0.9 < record["detectable"] / ((record["high"] - record["low"]) / 2) < 3
    for record in found["intervals"]:
        assert record["low"] < record["value"] < record["high"]


def test_paired_differences_are_more_certain_than_their_parts():
    scores, labels, patients = scores_of()
    found = findings(scores, {}, Design(labels, patients), np.arange(0))
    (lead,) = [r for r in found["intervals"] if (r["view"], r["metric"]) == (LEAD, "auc")]
    (paired,) = [r for r in found["differences"] if r["pair"] == f"{LEAD}-original"]
    assert paired["high"] - paired["low"] < lead["high"] - lead["low"]


def test_where_no_order_changes_there_is_no_interval():
    scores, labels, patients = scores_of()
    scores["vdsr", "x2"] = 2 * scores["srcnn", "x2"]
    found = findings(scores, {}, Design(labels, patients), np.arange(0))
    (same,) = [record for record in found["differences"] if record["pair"] == "vdsr-srcnn"]
    assert (same["value"], same["low"], same["high"], same["detectable"]) == (0, None, None, None)
    assert "x2 VDSR - SRCNN              +0.000 [none]" in table(told_of(found))


def test_a_class_of_nine_patients_has_areas_without_intervals():
    scores, labels, patients = scores_of(negatives=18)
    found = findings(scores, {"sharpness": scores["low", "x2"]}, Design(labels, patients), np.arange(0))
    for record in (*found["intervals"], *found["differences"], *found["shortcut_intervals"]):
        assert (record["low"], record["high"]) == (None, None)
    assert {record["detectable"] for record in found["differences"]} == {None}
    assert "nothing is detectable with 80% power" in table(told_of(found))
    assert all(0 < found["auc"]["x2"][view] < 1 for view in DEGRADED_VIEWS)


def test_sensitivity_takes_a_hundred_negatives():
    for negatives, few in ((99, True), (100, False)):
        scores, labels, patients = scores_of(150, negatives)
        found = findings(scores, {}, Design(labels, patients), np.arange(0))["sensitivity_at_95_specificity"]
        assert (found == "too few") == few
    highest = np.sort(scores["original", ""][~labels])[-5]  # five of a hundred are left above
    assert found["original"] == pytest.approx((scores["original", ""][labels] > highest).mean(), abs=0.03)


def test_the_table_says_everything_in_words():
    scores, labels, patients = scores_of()
    text = table(told_of(findings(scores, {"sharpness": scores["low", "x2"]}, Design(labels, patients), np.arange(40, 120))))
    assert "160 images of 80 patients, 60 of the images NORMAL" in text
    assert "by sharpness alone" in text
    assert "40 pairs are alike in sharpness" in text
    assert "x2 VDSR - Bicubic" in text
    assert "For research, not for diagnosis." in text


def test_the_stage_reports_every_view_and_the_shortcuts(told):
    written = json.loads((told / "metrics/diagnose.json").read_text())
    (found,) = written["measured"]
    assert written["auc"] == {"original": found["auc"]["original"], f"{LEAD}_x2": found["auc"]["x2"][LEAD]}
    assert set(found["auc"]) == {"original", "x2", "x3", "x4"}
    assert all(set(found["auc"][scale]) == set(DEGRADED_VIEWS) for scale in ("x2", "x3", "x4"))
    assert set(found["shortcuts"]) == {"native_size", "width_over_height", "sharpness"}
    assert found["sensitivity_at_95_specificity"] == "too few"
    split = pd.read_csv(told / "data/split.csv")
    images = pd.read_csv(told / "data/images.csv")
    judged = (images["findings"] == "NORMAL") | images["findings"].str.contains("PNEUMONIA")
    test = images[(split["split"] == "test") & judged]
    assert sum(found["left_out"].values()) >= (~judged).sum() > 0  # phantoms with tuberculosis and nodules
    assert (found["images"], found["patients"]) == (len(test), test["patient"].nunique())
    assert found["negatives"] == (test["findings"] == "NORMAL").sum()
    assert set(written["made_with"][0]) >= {"code", "device"}
    names = {path.name for path in (told / "plots/diagnose").iterdir()}
    assert names == {"auc.png", "roc_x2.png", "roc_x3.png", "roc_x4.png"}
    assert all(np.asarray(Image.open(told / "plots/diagnose" / name)).std() > 10 for name in names)


def test_nobody_is_learnt_from_and_tested_on(told, monkeypatch):
    """What the classifier learns from, is chosen on and is tested on shows other patients."""
    seen = {}
    table = pd.read_csv(told / "data/images.csv", dtype={"patient": str})

    def train(images, ill, learn, choose, *_):
        seen.update(learn=set(table["patient"].iloc[learn]), choose=set(table["patient"].iloc[choose]))
        raise KeyboardInterrupt

    monkeypatch.setattr(diagnosis, "train", train)
    with pytest.raises(KeyboardInterrupt):
        diagnose.run(told)
    split = pd.read_csv(told / "data/split.csv")["split"]
    tested = set(table["patient"][split == "test"])
    assert seen["learn"]
    assert seen["choose"]
    assert not tested & (seen["learn"] | seen["choose"])
    assert not seen["learn"] & seen["choose"]


def test_another_run_gives_the_same_bytes(told, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(told, again)
    diagnose.run(again)
    for path in [told / "metrics/diagnose.json", *(told / "plots/diagnose").iterdir()]:
        assert (again / path.relative_to(told)).read_bytes() == path.read_bytes()


def test_a_set_that_cannot_tell_says_so_and_goes_on(workspace, capsys):
    images = pd.read_csv(workspace / "data/images.csv", dtype=str)
    parts = pd.read_csv(workspace / "data/split.csv", dtype=str)
    images.loc[(parts["split"] == "test").to_numpy(), "findings"] = "NORMAL"
    images.to_csv(workspace / "data/images.csv", index=False)
    diagnose.run(workspace)
    found = json.loads((workspace / "metrics/diagnose.json").read_text())
    assert "images are not of both classes" in found["not_measured"]
    assert found["not_measured"] in capsys.readouterr().out
    assert list((workspace / "plots/diagnose").iterdir()) == []


def test_a_network_of_an_unknown_place_is_told(workspace):
    write_params(workspace, TINY, {"diagnose": {"network": "resnet18"}})
    with pytest.raises(UserError, match=r"diagnose\.network.*compact or torchvision:NAME or timm:NAME"):
        diagnose.run(workspace)


def test_curves_are_drawn_with_their_areas():
    scores, labels, _ = scores_of()
    views = {view: logits for (view, _), logits in scores.items()}
    figure = charts.roc_curves(views, labels, "x2")
    (axes,) = figure.axes
    named = {line.get_label(): line for line in axes.lines}
    area = roc_auc_score(labels, scores["vdsr", "x2"])
    curve = named[f"VDSR, AUC {area:.3f}"]
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(area)
