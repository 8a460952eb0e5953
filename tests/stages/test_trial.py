"""The stage trial, as small as it can be."""

import csv
import json
import shutil
from dataclasses import asdict, replace

import torch
from ruamel.yaml import YAML

import stages.trial
from cxr.foundation import params
from cxr.trial import run
from cxr.trial.analysis import HOTELLING
from cxr.trial.protocol import FINDINGS, Protocol
from cxr.trial.views import VIEWS
from tests.support.tiny import ROOT

PROTOCOL = params.read(ROOT / "trial/params.yaml", "trial", Protocol)
TINY = replace(PROTOCOL, people=4, regions=2, side=80, inner=72, epochs=1)


def test_a_tiny_trial_writes_what_it_found(tmp_path, capsys, monkeypatch):
    (tmp_path / "trial").mkdir()
    shutil.copy(ROOT / "trial/spectrum.csv", tmp_path / "trial")
    document = {"trial": {**asdict(TINY), **{name: list(getattr(TINY, name)) for name in ("doses", "pixels", "unsharp")}}}
    YAML().dump(document, tmp_path / "trial/params.yaml")
    monkeypatch.setattr("cxr.trial.spectrum.PEOPLE", 1)
    stages.trial.run(tmp_path)
    metrics = json.loads((tmp_path / "metrics/trial.json").read_text())
    assert list(metrics["gates"]) == ["order", "original", "spectrum"]
    with (tmp_path / "plots/trial/trial.csv").open(newline="") as file:
        kept = list(csv.DictReader(file))
    assert not any(row["low"] for row in kept)  # four people are too few for any interval
    assert (tmp_path / "plots/trial/harm_map.png").stat().st_size > 10_000
    said = capsys.readouterr().out
    assert "NOT HELD: order" in said
    assert not list((tmp_path / "checkpoints").iterdir())  # what it led to has been written


def test_a_setting_that_is_done_is_taken_up_by_the_same_code_alone(tmp_path, monkeypatch):
    made = []

    def one(protocol, setting, networks, progress):
        made.append(setting)
        scores = torch.full((2, protocol.pairs), float(len(made)))
        return {f"{HOTELLING}|{finding}": dict.fromkeys(VIEWS, scores) for finding in FINDINGS}

    monkeypatch.setattr(run, "_setting", one)
    assert len(run.run(TINY, tmp_path)) == 5 * len(FINDINGS)
    assert len(made) == 5
    run.run(TINY, tmp_path)
    assert len(made) == 5
    monkeypatch.setattr(run, "made_with", lambda: {"code": "changed"})
    run.run(TINY, tmp_path)
    assert len(made) == 10


def test_what_decides_a_trial_is_code_networks_limits_and_versions():
    declared = YAML(typ="safe").load(ROOT / "trial/dvc.yaml")["stages"]["trial"]["deps"]
    assert {"pretrained/limits.csv", "pretrained/edsr.safetensors", "cxr/trial/observers.py", "trial/spectrum.csv"} <= set(
        declared
    )
    assert {"code", "torch", "numpy", "scipy"} <= set(run.made_with())
