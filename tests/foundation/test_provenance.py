"""What a result was made with is told truly."""

import hashlib
import json
import platform

import cv2
import numpy as np
import pandas as pd
import PIL
import pytest
import scipy
import sklearn
import torch
from packaging.version import Version

from cxr.compute import modelfile
from cxr.foundation.provenance import code_of, made_with
from cxr.superres.methods import NETWORKS
from tests.support.tiny import ROOT
from tools.dependencies import closure


@pytest.mark.parametrize("stage", ["check", "train_srcnn", "evaluate"])
def test_the_code_is_all_that_the_stage_imports(stage):
    lines = [
        f"{path} {hashlib.sha256((ROOT / path).read_bytes()).hexdigest()}\n" for path in sorted(closure(f"stages.{stage}"))
    ]
    assert code_of(stage) == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_versions_are_those_that_run():
    made = made_with("check")
    assert made["python"] == platform.python_version()
    assert Version(made["torch"]).public == Version(torch.__version__).public  # one may name the build, as 2.13.0+cu130
    versions = {"numpy": np, "pandas": pd, "pillow": PIL, "scikit-learn": sklearn, "scipy": scipy}
    assert {name: made[name] for name in versions} == {name: module.__version__ for name, module in versions.items()}
    assert made["opencv-python-headless"].startswith(cv2.__version__)


def test_models_and_metrics_tell_what_made_them(finished):
    for network in NETWORKS:
        _, described = modelfile.read(finished / f"models/{network}.safetensors")
        assert described["made_with"] == made_with(f"train_{network}")
        assert set(described) >= {"settings", "augment", "data", "device", "precision", "scales", "noise", "best_step"}
        assert described["phantoms"] is True
    (made,) = json.loads((finished / "metrics/statistics.json").read_text())["made_with"]
    assert made == {**made_with("evaluate"), "device": "cpu", "precision": dict.fromkeys(NETWORKS, "float32")}
