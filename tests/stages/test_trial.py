"""The stage trial, as small as it can be."""

import csv
import json
import shutil
from dataclasses import asdict, replace

from ruamel.yaml import YAML

import stages.trial
from cxr.foundation import params
from cxr.trial.protocol import Protocol
from tests.support.tiny import ROOT

PROTOCOL = params.read(ROOT / "trial/params.yaml", "trial", Protocol)
TINY = replace(PROTOCOL, people=4, regions=2, side=32, inner=24, epochs=1)


def test_a_tiny_trial_writes_what_it_found_and_goes_on_where_it_was(tmp_path, capsys, monkeypatch):
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
    before = {path.name: path.read_bytes() for path in (tmp_path / "plots/trial").iterdir()}
    monkeypatch.setattr("cxr.trial.run._setting", None)  # every setting is there already
    stages.trial.run(tmp_path)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "plots/trial").iterdir()}
