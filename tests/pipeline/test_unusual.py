"""The benchmark of what a detector takes for unusual."""

import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import unusual
from cxr.foundation.errors import UserError
from stages import split, train_detector
from tests.support.tiny import TINY, write_params


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory):
    workspace = tmp_path_factory.mktemp("unusual") / "workspace"
    shutil.copytree(finished, workspace)
    write_params(workspace, TINY, {"split": {"train": 0.4, "val": 0.3, "test": 0.3}})
    for stage in (split, train_detector):
        stage.run(workspace)
    return workspace


def test_each_kind_is_told_beside_the_radiographs_as_they_are(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(unusual, "PHANTOMS", 3)
    source = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(source.integers(0, 256, (80, 100, 3), np.uint8)).save(tmp_path / f"{number}.png")
    with zipfile.ZipFile(tmp_path / "drr.zip", "w") as archive:
        archive.write(tmp_path / "0.png", "images/0.png")
        archive.write(tmp_path / "1.png", "masks/1.png")
    rows = {row["kind"]: row for row in unusual.measured(trained, tmp_path, tmp_path / "drr.zip")}
    assert list(rows) == ["as they are", *unusual.CHANGES, "phantoms", "photographs", "reconstructed from CT"]
    assert rows["as they are"]["auc"] == 0.5
    assert [rows[kind]["images"] for kind in ("phantoms", "photographs", "reconstructed from CT")] == [3, 4, 1]
    assert rows["photographs"]["auc"] > 0.8  # noise
    assert all(0 <= row["auc"] <= 1 and 0 <= row["refused"] <= 1 for row in rows.values())


def test_changes_are_what_they_are_called():
    image = torch.arange(6.0).view(1, 1, 2, 3) / 10
    changed = {name: change(image)[0, 0] for name, change in unusual.CHANGES.items()}
    assert torch.equal(changed["inverted"], 1 - image[0, 0])
    assert changed["turned left"].tolist()[0] == pytest.approx([0.2, 0.5])  # what was at the right is on top
    assert changed["turned right"].tolist()[0] == pytest.approx([0.3, 0.0])
    assert changed["upside down"].tolist()[0] == pytest.approx([0.5, 0.4, 0.3])
    assert changed["mirrored"].tolist()[0] == pytest.approx([0.2, 0.1, 0.0])


def test_without_a_detector_there_is_nothing_to_measure(finished):
    with pytest.raises(UserError, match=r"detector\.safetensors holds no network, since no finding could be learnt"):
        unusual.measured(finished, None, None)
