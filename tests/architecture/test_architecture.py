"""dvc.yaml says of each stage what is true: what code it runs, which parameters it reads, what it writes."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cxr.foundation import environment
from cxr.superres.methods import NETWORKS
from tests.support.tiny import ROOT
from tools.dependencies import FETCHING, closure, deciding

STAGES: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
NAMES = ["check", "download", "preprocess", "split", "train_srcnn", "train_vdsr", "train_edsr"]
NAMES += ["train_detector", "evaluate", "errormaps", "detect"]

ENVIRONMENT = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def paths(entries: list[Any]) -> dict[str, dict[str, Any]]:
    """Return the options of each path of an `outs`, `metrics` or `plots` list."""
    return {
        name: options or {}
        for entry in entries
        for name, options in (entry if isinstance(entry, dict) else {entry: {}}).items()
    }


def test_the_stages_are_all_there_with_a_description_each():
    assert list(STAGES) == NAMES
    assert all(stage["desc"] for stage in STAGES.values())
    assert all(stage["cmd"] == f"python -m stages.{name}" for name, stage in STAGES.items())


@pytest.mark.parametrize("name", NAMES)
def test_declared_code_is_exactly_what_the_stage_imports(name):
    declared = {dep for dep in STAGES[name]["deps"] if dep.endswith(".py")}
    expected = closure(f"stages.{name}")
    assert declared == expected, "dvc.yaml should list:\n" + "\n".join(f"      - {path}" for path in sorted(expected))


@pytest.mark.parametrize("name", NAMES[1:])
def test_declared_parameters_are_exactly_the_sections_that_the_stage_reads(name):
    read = {
        ast.literal_eval(call.args[1])
        for call in ast.walk(ast.parse((ROOT / f"stages/{name}.py").read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "params.read"
    }
    if "conditions(path)" in (ROOT / f"stages/{name}.py").read_text():  # whose names are the user's, so that no schema has them
        read.add("conditions")
    assert {entry for entry in STAGES[name]["params"] if isinstance(entry, str)} == read - {"runtime"}


@pytest.mark.parametrize("name", NAMES)
def test_declared_keys_of_the_environment_are_those_that_decide(name):
    expected = [] if name in FETCHING else deciding(closure(f"stages.{name}"))
    assert environment.declared(name) == expected
    if name.removeprefix("train_") in NETWORKS:
        assert expected == ["numpy", "torch", "device", "precision"]
    if name == "preprocess":
        assert {"numpy", "opencv-python-headless", "pillow", "pydicom", "python-gdcm"} <= set(expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_imports_no_other(name):
    assert {path for path in closure(f"stages.{name}") if path.startswith("stages/")} == {f"stages/{name}.py"}


@pytest.mark.parametrize("name", NAMES[2:])
def test_what_follows_download_does_not_know_where_radiographs_come_from(name):
    sources = [path for path in closure(f"stages.{name}") if path.startswith("cxr/sources/")]
    assert set(sources) <= {"cxr/sources/table.py"}  # what every source writes


def test_check_depends_on_the_whole_of_params_yaml():
    assert STAGES["check"]["params"] == [{"params.yaml": None}]


@pytest.mark.parametrize("name", NAMES)
def test_every_path_of_a_stages_code_is_declared_and_nothing_else(name):
    constants = {
        ast.literal_eval(call.args[0])
        for call in ast.walk(ast.parse((ROOT / f"stages/{name}.py").read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "Path" and call.args
    }
    stage = STAGES[name]
    declared = {dep for dep in stage["deps"] if not dep.endswith(".py")}
    for kind in ("outs", "metrics", "plots"):
        declared |= set(paths(stage.get(kind, [])))
    if "models" in constants:  # the folder: a file for each network that there is
        constants = constants - {"models"} | {f"models/{network}.safetensors" for network in NETWORKS}
    # check writes the file by which download waits for it; download's code need not open it.
    assert declared - {"data/params.ok"} == constants - {"params.yaml", "checkpoints", "downloads", "data/params.ok"}


def test_no_out_is_uncached_and_all_metrics_are():
    for stage in STAGES.values():
        # An uncached out, `persist` or `always_changed` would cost the stage its run-cache; what names people is not pushed.
        assert all(options in ({}, {"push": False}) for options in paths(stage.get("outs", [])).values())
        assert not stage.keys() & {"always_changed", "frozen"}
        assert all(options == {"cache": False} for options in paths(stage.get("metrics", [])).values())
        # Pictures show patients: never in git.
        assert not any("cache" in options for options in paths(stage.get("plots", [])).values())


def test_whatever_a_stage_reads_another_has_written():
    written: set[str] = set()
    for stage in STAGES.values():
        assert {dep for dep in stage["deps"] if not dep.endswith(".py")} <= written
        for kind in ("outs", "metrics", "plots"):
            written |= set(paths(stage.get(kind, [])))


def test_packages_hold_a_docstring_only():
    for path in (*ROOT.glob("cxr/**/__init__.py"), ROOT / "stages/__init__.py"):
        tree = ast.parse(path.read_text())
        assert len(tree.body) == 1
        assert ast.get_docstring(tree)


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_stage_needs_dvc_kaggle_or_pydicom_to_be_imported():
    """In a process each, forked where the libraries are imported already; and what is loaded is what dvc.yaml declares."""
    printed = run_python(f"""
import importlib, json, os, sys
from pathlib import Path
import torch, torch.optim.swa_utils, torch.nn.parallel, pandas, cv2
import matplotlib.figure, matplotlib.style, matplotlib.backends.backend_agg
import scipy.stats, scipy.interpolate, scipy.ndimage, scipy.optimize, sklearn.model_selection, sklearn.metrics, ruamel.yaml
assert not {{"dvc", "kaggle", "pydicom", "cxr"}} & sys.modules.keys()
for blocked in ("dvc", "kaggle", "pydicom"):
    sys.modules[blocked] = None
for name in {NAMES}:
    if os.fork() == 0:
        importlib.import_module(f"stages.{{name}}")
        loaded = [module.__file__ for key, module in sys.modules.items() if key.split(".")[0] in ("cxr", "stages")]
        print(json.dumps([name, sorted(os.path.relpath(path) for path in loaded)]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, name
""")
    loaded = dict(json.loads(line) for line in printed.splitlines())
    assert list(loaded) == NAMES
    for name, paths in loaded.items():
        files = {path for path in paths if not path.endswith("__init__.py")}
        assert files <= set(STAGES[name]["deps"]), name  # an independent reading of what closure() reads off the syntax


def test_the_instrument_imports_no_more_than_it_is_installed_with():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert not any(line.startswith(("pandas", "scipy", "scikit")) for line in project["dependencies"])
    run_python("""
import sys
for blocked in ("dask", "distributed", "dvc", "filelock", "kaggle", "pandas", "scipy", "skimage", "sklearn", "vl_convert"):
    sys.modules[blocked] = None
import cxr.api, cxr.cli.detect, cxr.cli.enhance, cxr.cli.export, cxr.cli.main
""")


def test_imports_have_no_side_effect():
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in ("cxr", "stages")
        for path in sorted((ROOT / folder).glob("**/*.py"))
        if path.name != "__init__.py"
    ]
    assert len(modules) > 25
    printed = run_python(f"""
import importlib, logging, random, sys
import cv2, matplotlib, numpy, sklearn.model_selection, torch
def state():
    return (
        torch.initial_seed(), torch.get_rng_state().numpy().tobytes(), str(numpy.random.get_state()), random.getstate(),
        torch.get_num_threads(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(),
        cv2.getNumThreads(), len(logging.root.handlers), dict(matplotlib.rcParams).__repr__(),
    )
before = state()
for name in {modules}:
    importlib.import_module(name)
    changed = [i for i, (a, b) in enumerate(zip(before, state())) if a != b]
    assert not changed, (name, changed)
""")
    assert printed == ""


def test_the_layers_are_kept():
    done = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout
