import json
from importlib.metadata import version

import pytest

from cxr.compute.device import resolved
from cxr.foundation import environment, params
from cxr.foundation.errors import UserError
from tests.support.tiny import ROOT
from tools import environment as tool

STAGES = params.load(ROOT / "dvc.yaml")["stages"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with dvc.yaml and environment.json, in place of the project's."""
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    tool.write(tmp_path)
    return tmp_path


def change(root, **told):
    path = root / "environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **told}))


def test_what_is_installed_is_told(root):
    told = json.loads((root / "environment.json").read_text())
    assert told["pillow"] == version("pillow")
    assert told["torch"] == version("torch")
    assert told["device"] in ("cpu", "cuda")
    assert told["precision"] in ("float32", "bfloat16")


@pytest.mark.parametrize("stage", STAGES)
def test_where_it_is_so_nothing_is_said(root, stage):
    environment.expect(stage, resolved("auto"))


@pytest.mark.parametrize(
    ("stage", "key"),
    [("preprocess", "pillow"), ("split", "scikit-learn"), ("train_edsr", "torch"), ("train_vdsr", "precision")],
)
def test_a_stage_of_another_environment_is_refused_in_one_line(root, stage, key):
    change(root, **{key: "0.1"})
    with pytest.raises(
        UserError,
        match=rf"^environment\.json has {key} 0\.1, but here it is .+; go back .+ or run python -m tools\.environment",
    ):
        environment.expect(stage, resolved("auto"))


def test_what_does_not_decide_a_stage_is_not_asked(root):
    change(root, pillow="0.1", matplotlib="0.1", scipy="0.1")
    for network in ("srcnn", "vdsr", "edsr"):
        environment.expect(f"train_{network}", resolved("auto"))
    environment.expect("split")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"numpy": 2, "scikit-learn": "1"}'])
def test_a_file_that_cannot_be_read_is_said(root, text):
    (root / "environment.json").write_text(text)
    with pytest.raises(UserError, match=r"^environment\.json (is no JSON|does not tell) .*; run python -m tools\.environment"):
        environment.expect("split")


def test_without_the_file_that_is_said_under_dvc_alone(root, monkeypatch):
    (root / "environment.json").unlink()
    monkeypatch.delenv("DVC_ROOT", raising=False)
    environment.expect("split")
    monkeypatch.setenv("DVC_ROOT", str(root))
    with pytest.raises(UserError, match=r"^environment\.json is missing; run python -m tools\.environment$"):
        environment.expect("split")


def test_what_is_not_installed_is_none():
    assert environment.versions(["no-such-package"]) == {"no-such-package": "none"}


def test_the_device_that_the_parameters_ask_for_counts(root):
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("device: auto", "device: cpu"))
    assert tool.write(root)["device"] == "cpu"
