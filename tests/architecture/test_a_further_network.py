"""A further network needs changes in three existing files of code, and is then everywhere."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from tests.support.tiny import ROOT, TINY, write_params

COLOUR = "#56B4E9"
HALVES = {"split": {"train": 0.4, "val": 0.3, "test": 0.3}}  # so that all parts hold both classes
NETWORK = '''"""A network for a test: one layer that learns what the bicubic image lacks."""

import torch
from torch import Tensor, nn


class Dummy(nn.Module):
    """One 3x3 layer."""

    halo = 1

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the enhanced images."""
        return images + self.layer(images)


def as_multiplied(weights: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return `weights` as they are."""
    return weights


@torch.no_grad()
def start_from_bicubic(network: Dummy, seed: int) -> None:
    """Add the same everywhere."""
    nn.init.zeros_(network.layer.weight)
    nn.init.constant_(network.layer.bias, 0.02)
'''
EDITS = {  # what a further network changes in existing files of code: three files
    "cxr/superres/methods.py": [
        ("\n)\nLEAD", f'\n    Method("dummy", "Dummy", "{COLOUR}", "cross", (BICUBIC, "vdsr")),\n)\nLEAD'),
    ],
    "cxr/superres/model.py": [
        (
            "BUILDERS = {\n",
            'BUILDERS = {\n    "dummy": Builder(lambda _: Dummy(), per_scale=False, bfloat16=False),\n',
        ),
        ("from cxr.superres.networks.srcnn", "from cxr.superres.networks.dummy import Dummy\nfrom cxr.superres.networks.srcnn"),
    ],
    "stages/check.py": [('    "train_edsr": Training,\n', '    "train_edsr": Training,\n    "train_dummy": Training,\n')],
}
SCRIPT = """
import importlib, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
for name in sys.argv[2:]:
    importlib.import_module(f"stages.{name}").run(Path(sys.argv[1]))
from cxr.superres.model import load_model
assert load_model(Path(sys.argv[1]) / "models/dummy.safetensors").name == "dummy"
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a workspace in which all stages have run with a third network, and what they printed."""
    project = tmp_path_factory.mktemp("project")
    for name in ("cxr", "stages", "tools", ".dvc/plots"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path, edits in EDITS.items():
        text = (project / path).read_text()
        for before, after in edits:
            assert text.count(before) == 1, (path, before)
            text = text.replace(before, after)
        (project / path).write_text(text)
    (project / "cxr/superres/networks/dummy.py").write_text(NETWORK)
    stage = (ROOT / "stages/train_vdsr.py").read_text()
    stage = stage.replace("kernels.vdsr import FORMS", "kernels.forms import AS_PUBLISHED").replace("=FORMS", "=AS_PUBLISHED")
    stage = stage.replace("vdsr", "dummy").replace("VDSR", "Dummy")
    (project / "stages/train_dummy.py").write_text(stage)
    write_params(project, TINY, HALVES)
    yaml = YAML(typ="safe")
    params = yaml.load(project / "params.yaml")
    with (project / "params.yaml").open("w") as file:
        yaml.dump({**params, "train_dummy": {**params["train_vdsr"], "steps": 1}}, file)
    stages = yaml.load(ROOT / "dvc.yaml")["stages"]
    stages["train_dummy"] = {"deps": ["stages/train_dummy.py"], "outs": ["models/dummy.safetensors"]}
    with (project / "dvc.yaml").open("w") as file:
        yaml.dump({"stages": stages}, file)
    order = ["check", "download", "preprocess", "split", "train_srcnn", "train_vdsr", "train_edsr", "train_dummy"]
    order += ["train_detector", "evaluate", "errormaps", "detect"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, project, *order], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    subprocess.run([sys.executable, "-m", "tools.templates"], cwd=project, check=True)
    return project, done.stdout


def test_three_existing_files_of_code_are_changed(ran):
    project, _ = ran
    ours = {path.relative_to(project).as_posix(): path for path in project.rglob("*.py")}
    changed = {name for name, path in ours.items() if (ROOT / name).is_file() and path.read_text() != (ROOT / name).read_text()}
    assert changed == set(EDITS)
    assert len(changed) <= 3


def test_it_is_in_the_metrics(ran):
    workspace, _ = ran
    metrics = json.loads((workspace / "metrics/evaluate.json").read_text())
    assert list(metrics) == ["bicubic", "srcnn", "vdsr", "edsr", "dummy", "test_set"]
    assert all(set(metrics["dummy"][scale]) == {"psnr", "ssim"} for scale in ("x2", "x3", "x4"))
    differences = json.loads((workspace / "metrics/statistics.json").read_text())["differences"]
    assert {"dummy-bicubic", "dummy-vdsr"} <= {record["pair"] for record in differences}
    measured = json.loads((workspace / "metrics/detect.json").read_text())["measured"]
    records = [record for found in measured for record in found.get("areas", ())]
    seen = {record["view"] for record in records if record["degradation"] == "x3"}
    assert seen == {"low", "bicubic", "srcnn", "vdsr", "edsr", "dummy"}


def test_it_is_in_the_table(ran):
    _, printed = ran
    assert len(re.findall(r"^x\d +dummy +\d+\.\d+ ", printed, re.MULTILINE)) == 3
    assert "Dummy over VDSR (p: of the same mean" in printed
    assert "x2 Dummy" in printed  # of what the detector finds


def test_it_is_in_the_charts(ran):
    workspace, _ = ran
    for name, networks in (("psnr", 5), ("ssim", 5), ("gains", 4)):
        assert pd.read_csv(workspace / f"plots/{name}.csv")["model"].nunique() == networks
    for path in (workspace / ".dvc/plots").glob("*.json"):
        template = path.read_text()
        assert COLOUR in template
        assert "dummy: 'Dummy'" in template
    assert (pixels(workspace / "plots/detect/pneumonia_roc_x2.png") == rgb()).all(-1).any()


def test_it_is_on_the_panels_and_its_images_are_kept(ran):
    workspace, _ = ran
    for name in ("x2_1_worst.png", "x3_2_median.png", "x4_mean.png"):
        assert (pixels(workspace / "plots/errormaps" / name) == rgb()).all(-1).sum() > 100  # the strip above its column
    assert np.load(workspace / "data/restored/dummy_x2.npy").shape == np.load(workspace / "data/restored/vdsr_x2.npy").shape


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def rgb() -> list[int]:
    return [int(COLOUR[i : i + 2], 16) for i in (1, 3, 5)]
