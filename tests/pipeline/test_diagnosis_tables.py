"""The tables of diagnosis have what the stage diagnose measured."""

import csv
import json

import numpy as np
import pytest

from cxr.detection.report import DEGRADED_VIEWS, PAIRS, findings, for_metrics
from cxr.foundation.errors import UserError
from cxr.measures.areas import Design
from cxr.superres.methods import VIEWS
from tools import kept, results
from tools.markdown import written


def area(view, degradation, value, low=None, high=None):
    return {"view": view, "degradation": degradation, "metric": "auc", "value": value, "low": low, "high": high}


def difference(pair, degradation, value, low=None, high=None, detectable=None):
    return {"pair": pair, "degradation": degradation, "value": value, "low": low, "high": high, "detectable": detectable}


MEASURED = {
    "images": 57,
    "patients": 43,
    "negatives": 15,
    "matched": {"pairs": 10, "auc": {}},
    "intervals": [
        area("original", "", 0.981, 0.95, 1.0),
        area("low", "x2", 0.9805),
        area("bicubic", "x2", 0.976, 0.94, 0.999),
        area("vdsr", "x2", 1.0),
        area("low", "x4", 0.967),
    ],
    "matched_intervals": [area("original", "", 0.98), area("low", "x2", 0.99), area("bicubic", "x4", 0.97)],
    "differences": [
        difference("bicubic-original", "x2", -0.005, -0.0213, 0.0004, 0.03),
        difference("vdsr-bicubic", "x2", 0.024),
        difference("bicubic-original", "x3", -0.016),
        difference("vdsr-bicubic", "x3", -0.0),
    ],
    "matched_differences": [difference("bicubic-original", "x2", 0.5)],
    "shortcut_intervals": [{"measure": "native_size", "value": 0.906, "low": 0.8, "high": 0.97}],
}
LINES = [
    "what,group,of,degradation,value,low,high,detectable",
    "area,all,original,,0.981,0.95,1,",
    "area,all,low,x2,0.9805,,,",
    "area,all,bicubic,x2,0.976,0.94,0.999,",
    "area,all,vdsr,x2,1,,,",
    "area,all,low,x4,0.967,,,",
    "area,matched,original,,0.98,,,",
    "area,matched,low,x2,0.99,,,",
    "area,matched,bicubic,x4,0.97,,,",
    "difference,all,bicubic-original,x2,-0.005,-0.0213,0.0004,0.03",
    "difference,all,vdsr-bicubic,x2,0.024,,,",
    "difference,all,bicubic-original,x3,-0.016,,,",
    "difference,all,vdsr-bicubic,x3,-0,,,",
    "difference,matched,bicubic-original,x2,0.5,,,",
    "shortcut,all,native_size,,0.906,0.8,0.97,",
    "count,all,images,,57,,,",
    "count,all,patients,,43,,,",
    "count,all,negatives,,15,,,",
    "count,all,pairs,,10,,,",
]


def put(workspace, metrics):
    (workspace / "metrics").mkdir(exist_ok=True)
    (workspace / "metrics/diagnose.json").write_text(json.dumps(metrics))


def test_what_a_diagnosis_found_is_kept(tmp_path):
    put(tmp_path, {"auc": {}, "measured": [MEASURED], "made_with": []})
    path = kept.keep(tmp_path, "seen", tmp_path / "results", kept.DIAGNOSIS)
    assert path.read_text().splitlines() == LINES
    assert kept.keep(tmp_path, "seen", tmp_path / "results", kept.DIAGNOSIS) == path


@pytest.mark.parametrize(("options", "source"), [([], "metrics/statistics.json"), (["--diagnosis"], "metrics/diagnose.json")])
def test_the_command_keeps_the_kind_that_is_asked_for(monkeypatch, capsys, options, source):
    monkeypatch.setattr(kept, "keep", lambda workspace, name, kind: f"{name}: {workspace / kind.source}")
    monkeypatch.setattr("sys.argv", ["", "demo", "seen", *options])
    kept.main()
    assert capsys.readouterr().out == f"seen: demo/{source}\n"


def test_areas_are_told_by_view_of_all_images_and_of_the_pairs():
    assert results.diagnosis(list(csv.DictReader(LINES))) == [
        "| AUC, seen as | 57 images: x2 | x3 | x4 | 10 pairs: x2 | x3 | x4 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| low resolution | 0.981 | - | 0.967 | 0.990 | - | - |",
        "| bicubic | 0.976 | - | - | - | - | 0.970 |",
        "| VDSR | 1.000 | - | - | - | - | - |",
        "| original | 0.981 | 0.981 | 0.981 | 0.980 | 0.980 | 0.980 |",
    ]


def test_differences_are_told_by_pair_with_the_interval_that_they_have():
    assert results.diagnosis_differences(list(csv.DictReader(LINES))) == [
        "| difference in AUC | x2 | x3 | x4 |",
        "| --- | --- | --- | --- |",
        "| bicubic - original | -0.005 [-0.022, +0.001] | -0.016 | - |",
        "| VDSR - bicubic | +0.024 | +0.000 | - |",
    ]


@pytest.mark.parametrize("matched", [0, 4])
def test_what_the_report_finds_fills_the_tables(tmp_path, matched):
    source = np.random.default_rng(0)
    labels = np.arange(12) % 2 == 0
    scores = {("original", ""): source.normal(size=12) + labels}
    scores |= {(view, name): source.normal(size=12) + labels for view in DEGRADED_VIEWS for name in ("x2", "x3")}
    design = Design(labels, np.array([f"p{number}" for number in range(12)]))
    found = findings(scores, {"sharpness": source.normal(size=12)}, design, np.arange(matched))
    put(tmp_path, for_metrics(found))
    kept.keep(tmp_path, "seen", tmp_path, kept.DIAGNOSIS)
    made = results.tables([], tmp_path)
    heads, _, *areas = made["diagnosis"]("seen")
    assert heads == f"| AUC, seen as | 12 images: x2 | x3 | x4 | {matched // 2} pairs: x2 | x3 | x4 |"
    assert len(areas) == len(VIEWS)
    assert areas[0].startswith(f"| low resolution | {found['auc']['x2']['low']:.3f} | {found['auc']['x3']['low']:.3f} | - |")
    assert {line.endswith(" | - | - | - |") for line in areas} == {not matched}
    assert len(made["diagnosis_differences"]("seen")) == 2 + len(PAIRS)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"not_measured": "the test split has no NORMAL"}, r"^there is no diagnosis to keep: the test split has no NORMAL$"),
        ({"auc": {}}, r"metrics/diagnose\.json is damaged \('measured'\); remove it and run dvc repro"),
        (
            {"measured": []},
            r"metrics/diagnose\.json is damaged \(not enough values to unpack .*\); remove it and run dvc repro",
        ),
    ],
)
def test_what_was_not_measured_is_not_kept(tmp_path, metrics, message):
    put(tmp_path, metrics)
    with pytest.raises(UserError, match=message):
        kept.keep(tmp_path, "seen", tmp_path / "results", kept.DIAGNOSIS)
    assert not (tmp_path / "results").exists()


def test_one_kind_of_figures_does_not_take_the_place_of_another(tmp_path):
    put(tmp_path, {"measured": [MEASURED]})
    (tmp_path / "seen.csv").write_text(f"{','.join(kept.COLUMNS)}\n")
    with pytest.raises(UserError, match=r"seen\.csv has figures of another kind; give another NAME, or remove it$"):
        kept.keep(tmp_path, "seen", tmp_path, kept.DIAGNOSIS)
    with pytest.raises(
        UserError, match=r"seen\.csv is no CSV of this .*; python -m tools\.kept WORKSPACE seen --diagnosis writ"
    ):
        written("<!-- table diagnosis seen -->\n<!-- end -->\n", results.tables([], tmp_path))
