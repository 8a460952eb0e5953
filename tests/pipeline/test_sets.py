"""The benchmark of how often a detector's sets hold the truth."""

import shutil

import numpy as np
import pytest

from benchmarks import sets as tool
from cxr.detection.abstaining import Sets
from cxr.foundation.errors import UserError
from stages import split, train_detector
from tests.support.tiny import TINY, write_params


def test_shares_are_of_all_and_of_each_class():
    logits, shown = np.array([-2.0, 0.0, 2.0, -2.0, 2.0]), np.array([False, False, False, True, True])
    found = tool.held(Sets(least_with=0.5, most_without=0.5), logits, shown)
    assert found == pytest.approx([3 / 5, 1 / 2, 2 / 3, 1.0])


def test_of_exchangeable_cases_nine_in_ten_are_held_and_patients_stay_together():
    source = np.random.default_rng(0)
    patients = np.repeat(np.arange(150), 2)
    shown = source.random(300) < 0.5
    logits = source.normal(size=150)[patients] + source.normal(size=300) + shown
    all_of, having, without, _ = tool.divided(logits, shown, patients, 200)
    assert 0.88 < all_of < 0.93
    assert 0.87 < having < 0.94
    assert 0.87 < without < 0.94


def test_a_workspace_is_measured_inside_and_outside(finished, tmp_path):
    workspace = tmp_path / "workspace"
    shutil.copytree(finished, workspace)
    with pytest.raises(UserError, match="holds no network"):
        tool.measured(workspace, 3)
    write_params(workspace, TINY, {"split": {"train": 0.4, "val": 0.3, "test": 0.3}})
    for stage in (split, train_detector):
        stage.run(workspace)
    text = (workspace / "data/split.csv").read_text()
    (workspace / "data/split.csv").write_text(text.replace(",test", ",external"))
    found = tool.measured(workspace, 20)
    assert ("PNEUMONIA", "external") in {(row["finding"], row["group"]) for row in found}
    assert all(0 <= row[name] <= 1 for row in found for name in ("held", "single"))
