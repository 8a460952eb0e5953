"""Tuberculosis, from files that are named as those of Shenzhen and Montgomery are: learnt on one, tested on the other."""

import json
import shutil

import pandas as pd
import pytest
import torch

from cxr.detection import detector
from cxr.sources.phantom.anatomy import Subject
from cxr.sources.phantom.pictures import write_png
from cxr.sources.phantom.scene import expose
from stages import detect, download, evaluate, preprocess, split, train_detector
from tests.support.tiny import TINY, write_params

SHENZHEN, MONTGOMERY = 44, 24
"""Phantoms named as theirs, every other one with tuberculosis."""
CLINICS = {
    "download": {"source": "local", "path": "tb", "external": "MCUCXR"},
    "split": {"train": 0.5, "val": 0.25, "test": 0.25},
}


def put(source, clinic, first, count):
    """Draw `count` phantoms into `source`, named as those of a clinic."""
    source.mkdir(parents=True)
    for number in range(count):
        ill = number % 2
        subject = Subject(first + number, 0, ("tuberculosis",) if ill else ())
        write_png(source / f"{clinic}CXR_{number + 1:04d}_{ill}.png", expose(0, subject, 112).pixels, 8)


@pytest.fixture(scope="module")
def clinics(finished, tmp_path_factory):
    """A workspace in which all stages have run on such files; for reading only."""
    workspace = tmp_path_factory.mktemp("clinics") / "workspace"
    shutil.copytree(finished, workspace)
    put(workspace / "tb/shenzhen/CXR_png", "CHN", 0, SHENZHEN)
    put(workspace / "tb/montgomery/CXR_png", "MCU", 1000, MONTGOMERY)
    write_params(workspace, TINY, CLINICS)
    for stage in (download, preprocess, split, train_detector, evaluate, detect):
        stage.run(workspace)
    return workspace


def table_of(workspace):
    images = pd.read_csv(workspace / "data/images.csv", dtype=str, keep_default_na=False)
    return images.assign(split=pd.read_csv(workspace / "data/split.csv", dtype=str)["split"])


def test_one_clinic_is_learnt_from_and_the_other_is_apart(clinics):
    table = table_of(clinics)
    outside = table["source"].str.contains("MCUCXR")
    assert (outside.sum(), (~outside).sum()) == (MONTGOMERY, SHENZHEN)
    assert set(table.loc[outside, "split"]) == {"external"}
    assert set(table.loc[~outside, "split"]) == {"train", "val", "test"}
    assert table.groupby("patient")["split"].nunique().max() == 1
    assert table["patient"].nunique() == MONTGOMERY + SHENZHEN
    ill = table["source"].str.contains(r"_1\.png")
    assert (table["findings"] == ill.map({True: "TUBERCULOSIS", False: "NORMAL"})).all()


def test_the_frozen_threshold_is_held_against_whos_target(clinics):
    measured = json.loads((clinics / "metrics/detect.json").read_text())["measured"]
    assert [(each["finding"], each["group"]) for each in measured] == [("TUBERCULOSIS", "test"), ("TUBERCULOSIS", "external")]
    inside, outside = measured
    assert (outside["images"], outside["positives"]) == (MONTGOMERY, MONTGOMERY // 2)
    (told,) = outside["operating"]
    for name in ("sensitivity", "specificity"):
        assert outside["who"][name]["value"] == told[name]  # each patient has one image
        assert outside["who"][name]["low"] <= told[name] <= outside["who"][name]["high"]
        assert inside["who"][name]["low"] is None  # of too few
    assert outside["who"]["target"] in {"met", "not met", "cannot be told"}
    trained = detector.read(clinics / "models/detector.safetensors", torch.device("cpu"))
    assert told["threshold"] == pytest.approx(trained.thresholds["TUBERCULOSIS"], abs=6e-4)
    assert {each["heat_map"]["reason"] for each in measured} == {"no boxes"}


def test_nothing_of_the_other_clinic_changes_the_detector(clinics, tmp_path, capsys):
    workspace = shutil.copytree(clinics, tmp_path / "workspace")
    folder = workspace / "tb/montgomery/CXR_png"
    for path in sorted(folder.iterdir()):
        name = path.name.replace("_1.png", "_x.png").replace("_0.png", "_1.png").replace("_x.png", "_0.png")
        path.rename(folder / name)  # each said to be what it is not
    for stage in (download, preprocess, split, train_detector, detect):
        stage.run(workspace)
    assert (workspace / "models/detector.safetensors").read_bytes() == (clinics / "models/detector.safetensors").read_bytes()
    before, after = (json.loads((each / "metrics/detect.json").read_text())["measured"] for each in (clinics, workspace))
    assert before[0] == after[0]
    assert before[1]["operating"][0]["threshold"] == after[1]["operating"][0]["threshold"]
    assert before[1]["who"]["sensitivity"]["value"] == pytest.approx(1 - after[1]["who"]["specificity"]["value"])
    assert "WHO's target: 90% sensitivity and 70% specificity (WHO, target product profile for triage 2014); here" in (
        capsys.readouterr().out
    )
