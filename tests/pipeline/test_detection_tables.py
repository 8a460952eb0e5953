"""The tables of detection have what the stage detect measured."""

import csv
import json

import numpy as np
import pytest

from cxr.detection.abstaining import Sets
from cxr.detection.evaluation.report import DEGRADED_VIEWS, PAIRS, Case, for_metrics, measured
from cxr.foundation.errors import UserError
from cxr.measures.areas import Design
from cxr.superres.methods import VIEWS
from tools import kept, results
from tools.markdown import written


def area(view, degradation, value, low=None, high=None):
    return {"view": view, "degradation": degradation, "value": value, "low": low, "high": high}


def difference(pair, degradation, value, low=None, high=None, detectable=None):
    return {"pair": pair, "degradation": degradation, "value": value, "low": low, "high": high, "detectable": detectable}


MEASURED = {
    "finding": "PNEUMONIA",
    "group": "test",
    "images": 57,
    "patients": 43,
    "positives": 42,
    "too_few": "",
    "areas": [area("original", "", 0.981, 0.95, 0.998), area("low", "x2", 0.9805), area("vdsr", "x4", 1.0)],
    "of_pairs": [area("low", "x2", 0.99)],
    "pairs": 10,
    "operating": [{"view": "original", "degradation": "", "sensitivity": 0.881, "specificity": 0.933, "threshold": 0.1}],
    "differences": [
        difference("bicubic-original", "x2", -0.005, -0.0213, 0.0004, 0.03),
        difference("vdsr-bicubic", "x2", 0.024),
        difference("vdsr-bicubic", "x3", -0.0),
    ],
    "shortcuts": [
        {"measure": "native_size", "value": 0.906, "low": 0.8, "high": 0.97},
        {"measure": "sharpness", "value": 0.933, "low": None, "high": None},
    ],
}
OUTSIDE = {"finding": "PNEUMONIA", "group": "external", "images": 5, "patients": 5, "positives": 0, "too_few": "0 patients"}
LINES = [
    "finding,group,what,of,degradation,value,low,high,detectable",
    "PNEUMONIA,test,count,images,,57,,,",
    "PNEUMONIA,test,count,patients,,43,,,",
    "PNEUMONIA,test,count,positives,,42,,,",
    "PNEUMONIA,test,count,pairs,,10,,,",
    "PNEUMONIA,test,area,original,,0.981,0.95,0.998,",
    "PNEUMONIA,test,area,low,x2,0.9805,,,",
    "PNEUMONIA,test,area,vdsr,x4,1,,,",
    "PNEUMONIA,test,matched,low,x2,0.99,,,",
    "PNEUMONIA,test,sensitivity,original,,0.881,,,",
    "PNEUMONIA,test,specificity,original,,0.933,,,",
    "PNEUMONIA,test,difference,bicubic-original,x2,-0.005,-0.0213,0.0004,0.03",
    "PNEUMONIA,test,difference,vdsr-bicubic,x2,0.024,,,",
    "PNEUMONIA,test,difference,vdsr-bicubic,x3,-0,,,",
    "PNEUMONIA,test,shortcut,native_size,,0.906,0.8,0.97,",
    "PNEUMONIA,test,shortcut,sharpness,,0.933,,,",
    "PNEUMONIA,external,count,images,,5,,,",
    "PNEUMONIA,external,count,patients,,5,,,",
    "PNEUMONIA,external,count,positives,,0,,,",
]
ROWS = list(csv.DictReader(LINES))


def put(workspace, metrics):
    (workspace / "metrics").mkdir(exist_ok=True)
    (workspace / "metrics/detect.json").write_text(json.dumps(metrics))


def test_what_was_found_is_kept(tmp_path):
    put(tmp_path, {"auc": {}, "measured": [MEASURED, OUTSIDE], "made_with": []})
    path = kept.keep(tmp_path, "seen", tmp_path / "results", kept.DETECTION)
    assert path.read_text().splitlines() == LINES
    assert kept.keep(tmp_path, "seen", tmp_path / "results", kept.DETECTION) == path


@pytest.mark.parametrize(("options", "source"), [([], "metrics/statistics.json"), (["--detection"], "metrics/detect.json")])
def test_the_command_keeps_the_kind_that_is_asked_for(monkeypatch, capsys, options, source):
    monkeypatch.setattr(kept, "keep", lambda workspace, name, kind: f"{name}: {workspace / kind.source}")
    monkeypatch.setattr("sys.argv", ["", "demo", "seen", *options])
    kept.main()
    assert capsys.readouterr().out == f"seen: demo/{source}\n"


def test_each_group_is_told_with_its_best_shortcut():
    assert results.detection(ROWS) == [
        "| finding | group | with it, of images | patients | AUC | sensitivity | specificity | best shortcut, AUC |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| PNEUMONIA | test | 42 of 57 | 43 | 0.981 [0.950, 0.998] | 0.88 | 0.93 | sharpness 0.933 |",
        "|  | external | 0 of 5 | 5 | - | - | - | - |",
    ]


def test_what_sets_hold_and_what_is_unusual_is_told():
    row = {
        "finding": "NODULE",
        "group": "external",
        "images": "196",
        "held": "0.5",
        "held_with": "0.653",
        "held_without": "0.15",
    }
    assert results.sets([{**row, "single": "0.71"}])[2] == "| NODULE | another source | 196 | 50.0% | 65.3% | 15.0% | 71.0% |"
    kind = {"kind": "inverted", "images": "57", "auc": "0.99", "low": "0.965", "high": "0.998", "refused": "0.491"}
    assert results.unusual([kind])[2] == "| inverted | 57 | 0.990 [0.965, 0.998] | 49% |"
    assert results.unusual([{**kind, "low": "", "high": ""}])[2] == "| inverted | 57 | 0.990 | 49% |"


def test_networks_are_told_with_what_could_be_found_first():
    columns = "what,finding,group,images,patients,positives,network,epochs,rate,seed,value,low,high"
    lines = [
        "detectable,A,test,9,9,4,lite0-compact,20,,mean logits,,,",
        "detectable,A,external,9,9,4,lite0-compact,20,,mean logits,0.12,,",
        "tuned,,,,,,compact,20,0.002,0,0.16,,",
        "tuned,,,,,,compact,20,0.0005,0,0.2,,",
        "area,A,test,9,9,4,compact,20,0.002,0,0.9,0.8,0.95",
        "area,A,external,9,9,4,compact,20,0.002,0,0.6,,",
        "difference,A,test,9,9,4,lite0-compact,20,,0,0.01,-0.02,0.04",
        "difference,A,external,9,9,4,lite0-compact,20,,0,-0.1,,",
    ]
    rows = list(csv.DictReader([columns, *lines]))
    assert results.backbones(rows) == [
        "| AUC | test | another source |",
        "| --- | --- | --- |",
        "| least lite0 - compact found four times in five | - | 0.120 |",
        "| compact, seed 0 | 0.900 [0.800, 0.950] | 0.600 |",
        "| lite0 - compact, seed 0 | +0.010 [-0.020, +0.040] | -0.100 |",
    ]
    assert results.tuning(rows)[::2] == ["| validation loss at a rate of | 0.0005 | 0.002 |", "| compact | 0.200 | 0.160 |"]


def test_lesions_are_told_by_view_and_diameter():
    columns = "what,form,diameter,of,degradation,lesions,patients,value,low,high,detectable"
    lines = [
        "count,,,train,,409,150,409,,,",
        "area,full,all,original,,184,70,0.65,0.6,0.7,",
        "area,full,all,bicubic,x2,184,70,0.64,,,",
        "area,full,below 9,original,,60,9,0.6,,,",
        "area,256,all,original,,184,70,0.61,,,",
        "difference,full,all,bicubic-original,x2,184,70,-0.01,-0.02,0.01,0.031",
        "difference,full,below 9,bicubic-original,x2,60,9,0,,,",
    ]
    rows = list(csv.DictReader([columns, *lines]))
    assert results.lesions(rows, "full") == [
        "| seen as | all: 184 of 70 | below 9: 60 of 9 |",
        "| --- | --- | --- |",
        "| original | 0.650 [0.600, 0.700] | 0.600 |",
        "| bicubic x2 | 0.640 | - |",
    ]
    assert results.lesion_differences(rows, "full")[2:] == [
        "| bicubic - original, x2 | -0.010 [-0.020, +0.010]; 0.031 | +0.000; - |"
    ]
    assert results.lesions(rows, "256")[2:] == ["| original | 0.610 |"]


def test_detectors_of_their_own_views_are_told_after_what_could_be_found():
    columns = "what,finding,group,images,patients,positives,of,scale,size,epochs,seed,value,low,high"
    lines = [
        "detectable,A,test,9,9,4,vdsr-original,4,256,40,0,,,",
        "detectable,A,external,9,9,4,vdsr-original,4,256,40,0,0.12,,",
        "area,A,test,9,9,4,original,4,256,40,0,0.9,0.8,0.95",
        "sensitivity,A,test,9,9,4,original,4,256,40,0,0.875,,",
        "specificity,A,test,9,9,4,original,4,256,40,0,1,,",
        "area,A,test,9,9,4,vdsr,4,256,40,0,0.91,,",
        "area,A,external,9,9,4,original,4,256,40,0,0.6,,",
        "difference,A,test,9,9,4,vdsr-original,4,256,40,0,0.01,,",
        "difference,A,external,9,9,4,vdsr-original,4,256,40,0,-0.1,-0.22,0.02",
    ]
    rows = list(csv.DictReader([columns, *lines]))
    heads = "test: AUC | sensitivity | specificity | another source: AUC | sensitivity | specificity |"
    assert results.own_views(rows)[::2] == [
        f"| learns from and is judged on | {heads}",
        "| original, seed 0 | 0.900 [0.800, 0.950] | 0.88 | 1.00 | 0.600 | - | - |",
    ]
    assert results.own_views(rows)[3] == "| VDSR, seed 0 | 0.910 | - | - | - | - | - |"
    assert results.own_view_differences(rows) == [
        "| AUC | test: least found | difference | another source: least found | difference |",
        "| --- | --- | --- | --- | --- |",
        "| VDSR - original, seed 0 | - | +0.010 | 0.120 | -0.100 [-0.220, +0.020] |",
    ]


def test_heat_maps_are_told_beside_what_has_learnt_nothing():
    columns = "finding,group,images,of,value,low,high"
    lines = [
        "A,external,60,hit,0.25,0.15,0.375",
        "A,external,60,randomised,0.1,0.05,0.2",
        "A,external,60,one place,0.5,0.4,0.6",
        "A,external,60,chance,0.2,,",
        "A,external,60,correlation,-0.126,,",
    ]
    rows = list(csv.DictReader([columns, *lines]))
    told = "0.250 [0.150, 0.375] | 0.100 [0.050, 0.200] | 0.500 [0.400, 0.600] | 0.200"
    assert results.heat_maps(rows)[2:] == [f"| A | another source | 60 | {told} | -0.13 |"]


def test_areas_are_told_by_view():
    assert results.views(ROWS, "PNEUMONIA") == [
        "| PNEUMONIA, seen as | x2 | x3 | x4 |",
        "| --- | --- | --- | --- |",
        "| low resolution | 0.981 | - | - |",
        "| VDSR | - | - | 1.000 |",
        "| original | 0.981 [0.950, 0.998] | 0.981 [0.950, 0.998] | 0.981 [0.950, 0.998] |",
    ]
    with pytest.raises(UserError, match="the CSV has nothing of NODULE: name one of PNEUMONIA"):
        results.views(ROWS, "NODULE")


def test_differences_are_told_by_pair_with_the_interval_that_they_have():
    assert results.view_differences(ROWS, "PNEUMONIA") == [
        "| difference in AUC | x2 | x3 | x4 |",
        "| --- | --- | --- | --- |",
        "| bicubic - original | -0.005 [-0.022, +0.001] | - | - |",
        "| VDSR - bicubic | +0.024 | +0.000 | - |",
    ]


@pytest.mark.parametrize("matched", [0, 4])
def test_what_the_report_finds_fills_the_tables(tmp_path, matched):
    source = np.random.default_rng(0)
    labels = np.arange(12) % 2 == 0
    scores = {("original", ""): source.normal(size=12) + labels}
    scores |= {(view, name): source.normal(size=12) + labels for view in DEGRADED_VIEWS for name in ("x2", "x3")}
    design = Design(labels, np.array([f"p{number}" for number in range(12)]))
    shortcuts = {"sharpness": source.normal(size=12)}
    found = measured(Case("NODULE", "test", design, 0.0, scores, shortcuts, np.arange(matched), Sets(-1, 1), labels))
    put(tmp_path, for_metrics([found]))
    kept.keep(tmp_path, "seen", tmp_path, kept.DETECTION)
    made = results.tables([], tmp_path)
    _, _, *areas = made["views"]("seen", "NODULE")
    assert len(areas) == len(VIEWS)
    (low,) = [record for record in found["areas"] if (record["view"], record["degradation"]) == ("low", "x2")]
    assert areas[0].startswith(f"| low resolution | {low['value']:.3f} | ")
    assert len(made["view_differences"]("seen", "NODULE")) == 2 + len(PAIRS)
    assert len(made["detection"]("seen")) == 3


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"not_measured": "no finding could be learnt"}, r"^there is no detection to keep: no finding could be learnt$"),
        ({"auc": {}}, r"metrics/detect\.json is damaged \('measured'\); remove it and run dvc repro"),
        ({"measured": [{}]}, r"metrics/detect\.json is damaged \('finding'\); remove it and run dvc repro"),
    ],
)
def test_what_was_not_measured_is_not_kept(tmp_path, metrics, message):
    put(tmp_path, metrics)
    with pytest.raises(UserError, match=message):
        kept.keep(tmp_path, "seen", tmp_path / "results", kept.DETECTION)
    assert not (tmp_path / "results").exists()


def test_one_kind_of_figures_does_not_take_the_place_of_another(tmp_path):
    put(tmp_path, {"measured": [MEASURED]})
    (tmp_path / "seen.csv").write_text(f"{','.join(kept.COLUMNS)}\n")
    with pytest.raises(UserError, match=r"seen\.csv has figures of another kind; give another NAME, or remove it$"):
        kept.keep(tmp_path, "seen", tmp_path, kept.DETECTION)
    with pytest.raises(
        UserError, match=r"seen\.csv is no CSV of this .*; python -m tools\.kept WORKSPACE seen --detection writ"
    ):
        written("<!-- table detection seen -->\n| a |\n<!-- end -->\n", results.tables([], tmp_path))
