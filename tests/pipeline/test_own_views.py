"""The benchmark of detectors that learn from what they are judged on."""

import shutil

import numpy as np
import pytest
import torch

from benchmarks import own_views as tool
from cxr.detection import detector
from cxr.detection.frames import levels
from cxr.foundation.errors import UserError
from cxr.measures.areas import Design
from cxr.superres.evaluation.restore import Restorers
from cxr.superres.methods import BICUBIC, ORIGINAL
from cxr.superres.model import FOLDERS
from cxr.superres.settings import Degradation
from stages import split, train_detector
from tests.support.tiny import TINY, write_params

SPLIT = {"split": {"train": 0.4, "val": 0.3, "test": 0.3}}


@pytest.fixture
def restorers():
    return Restorers(FOLDERS[-1], [Degradation(tool.SCALE)], 0, torch.device("cpu"), tool.RESTORED)


def test_what_could_be_found_comes_before_what_was():
    source = np.random.default_rng(0)
    shown = np.arange(80) % 2 == 0
    design = Design(shown, np.arange(80).astype(str))
    good, poor = (source.normal(size=80) + by * shown for by in (3.0, 0.3))
    scores = {ORIGINAL: good, BICUBIC: poor, "vdsr": good, "edsr": poor}
    thresholds = {view: float(np.sort(each[shown])[4]) for view, each in scores.items()}
    rows = tool.compared(scores, design, thresholds)
    assert {tuple(row) for row in rows} == {tool.COLUMNS}
    assert [row["what"] for row in rows[: len(tool.PAIRS)]] == [tool.DETECTABLE] * len(tool.PAIRS)
    at = {(row["what"], row["of"]): row for row in rows}
    assert 0 < at[tool.DETECTABLE, "bicubic-original"]["value"] < 0.4
    assert at[tool.DIFFERENCE, "bicubic-original"]["high"] < 0 < at[tool.DIFFERENCE, "vdsr-bicubic"]["low"]
    assert at[tool.DIFFERENCE, "vdsr-original"]["value"] == 0
    assert at[tool.DIFFERENCE, "edsr-bicubic"]["low"] is None  # all are placed alike
    assert {at["sensitivity", view]["value"] for view in scores} == {0.9}
    assert at["specificity", "vdsr"]["value"] > at["specificity", "edsr"]["value"]


def test_each_view_has_a_detector_of_its_own_once(finished, tmp_path, monkeypatch, restorers):
    workspace = tmp_path / "workspace"
    shutil.copytree(finished, workspace)
    with pytest.raises(UserError, match="holds no network"):
        tool.measured([workspace], restorers)
    write_params(workspace, TINY, SPLIT)
    for stage in (split, train_detector):
        stage.run(workspace)
    text = (workspace / "data/split.csv").read_text()
    first, _, last = text.rpartition(",test")
    (workspace / "data/split.csv").write_text(f"{first},external{last}")
    rows = tool.measured([workspace], restorers)
    assert rows[0]["what"] == tool.DETECTABLE
    areas = {row["of"]: row["value"] for row in rows if row["what"] == tool.AREA and row["group"] == "test"}
    assert list(areas) == [ORIGINAL, *tool.MADE]
    assert all(0 <= value <= 1 for value in areas.values())

    trained = detector.read(workspace / "models/detector.safetensors", torch.device("cpu"))
    study = tool.Study(workspace, restorers)
    asis = study.originals()
    looks = [trained.looks(levels(study.data.images[row]))[0] for row in study.rows["test"]]
    assert asis.logits["test"] == pytest.approx(np.array(looks), abs=2e-2)  # squares are kept in float16
    assert set(asis.logits) == {"test", "external"}

    def again(*_):
        raise AssertionError("it is done again")

    monkeypatch.setattr(tool, "fit", again)
    monkeypatch.setattr(restorers, "restore", again)
    assert tool.measured([workspace], restorers) == rows
    with pytest.raises(UserError, match="2 workspaces have 1 seeds"):
        tool.measured([workspace, workspace], restorers)
    write_params(workspace, TINY, SPLIT, {"train_detector": {"epochs": 3}})
    with pytest.raises(UserError, match="learnt otherwise than"):
        tool.measured([workspace], restorers)


def test_seeds_are_told_with_their_mean_logits(finished, tmp_path, restorers):
    workspaces = [tmp_path / f"seed{seed}" for seed in range(2)]
    for seed, workspace in enumerate(workspaces):
        shutil.copytree(finished, workspace)
        write_params(workspace, TINY, SPLIT, {"train_detector": {"seed": seed}})
        for stage in (split, train_detector):
            stage.run(workspace)
    rows = tool.measured(workspaces, restorers)
    assert list(dict.fromkeys(row["seed"] for row in rows)) == [tool.OF_MEAN, 0, 1]
    assert {row["seed"] for row in rows if row["what"] in tool.OPERATING} == {0, 1}
    one, other = (tool.by_seed([tool.Study(each, restorers)]) for each in workspaces)
    means = tool.by_seed([tool.Study(each, restorers) for each in workspaces])[tool.OF_MEAN]
    expected = (one[0]["vdsr"].logits["test"] + other[1]["vdsr"].logits["test"]) / 2
    assert means["vdsr"].logits["test"] == pytest.approx(expected)

    write_params(workspaces[1], TINY, SPLIT, {"train_detector": {"seed": 1, "epochs": 3}})
    train_detector.run(workspaces[1])
    with pytest.raises(UserError, match=r"seed1 differs from .*seed0 in more than train_detector\.seed"):
        tool.measured(workspaces, restorers)


def test_a_view_is_learnt_from_that_view(finished, tmp_path, monkeypatch, restorers):
    workspace = tmp_path / "workspace"
    shutil.copytree(finished, workspace)
    write_params(workspace, TINY, SPLIT)
    for stage in (split, train_detector):
        stage.run(workspace)
    given = []
    fit = tool.fit
    monkeypatch.setattr(tool, "fit", lambda learnt, val, *more: given.append((learnt, val)) or fit(learnt, val, *more))
    study = tool.Study(workspace, restorers)
    study.made()
    originals = tool.Images.of(study.data.images, study.rows["val"], study.known, study.trained.size)
    differences = [float((val.pixels.float() - originals.pixels.float()).abs().mean()) for _, val in given]
    assert len(given) == len(tool.MADE)
    assert len(set(differences)) == len(tool.MADE)
    assert all(0 < each < 0.1 for each in differences)
    assert all(torch.equal(val.shown, originals.shown) for _, val in given)
