"""Training in several processes, by the stage scripts themselves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from cxr.compute.ranks import Rank, launch
from cxr.foundation.errors import UserError
from stages import download, preprocess, split
from tests.support.tiny import ROOT, TINY, write_params

STEPS = {"steps": 300, "batch": 4, "patch": 12, "validations": 10, "schedule": "quadratic"}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    workspace = tmp_path_factory.mktemp("prepared")
    write_params(workspace, TINY)
    for stage in (download, preprocess, split):
        stage.run(workspace)
    return workspace


@pytest.fixture
def python(warm_commands: Path) -> Path:
    return warm_commands / "python"


def workspace_with(prepared: Path, workspace: Path, train: dict, network: str = "srcnn", **sections: dict) -> Path:
    workspace.mkdir()
    (workspace / "data").symlink_to(prepared / "data")
    write_params(workspace, TINY, {f"train_{network}": {**STEPS, **train}, "degrade": {"scales": [2]}, **sections})
    return workspace


IN_HALVES = """
from pathlib import Path
import torch
from cxr.superres.training.run import Run
from stages import train_NETWORK
whole = Run.compute_gradients

def halves(run, *batch):
    errors, gradients = [], []
    for half in zip(*(each.chunk(2) for each in batch)):
        errors.append(whole(run, *half))
        gradients.append([parameter.grad.clone() for parameter in run.network.parameters()])
    for parameter, first, second in zip(run.network.parameters(), *gradients):
        parameter.grad.copy_(first / 2 + second / 2)
    return torch.cat(errors)

Run.compute_gradients = halves
train_NETWORK.run(Path())
"""


def start(workspace: Path, python: Path | str, code: str | None = None, network: str = "srcnn") -> subprocess.Popen[str]:
    command = [str(python), "-m", f"stages.train_{network}"]
    if code:
        command = [sys.executable, "-c", code.replace("NETWORK", network)]
    ranks = {"PYTHON_EXEC": str(python)}  # by which torch's launcher starts them
    return subprocess.Popen(command, cwd=workspace, env={**ENVIRONMENT, **ranks}, stdout=-1, stderr=-1, text=True)


def train(workspace: Path, python: Path | str, code: str | None = None, network: str = "srcnn") -> pd.DataFrame:
    process = start(workspace, python, code, network)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert sum(output.count(f"{network.upper()} {name}: ") for name in ("x2", "x2_ranges")) == 1
    assert errors == ""
    return pd.read_csv(workspace / f"plots/train_{network}.csv")


def ranks_of(workspace: Path) -> dict[int, int]:
    """Return the process id of each rank that trains in `workspace`."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").resolve() == workspace.resolve():
                words = dict(word.partition("=")[::2] for word in (entry / "environ").read_text().split("\0"))
                if "RANK" in words:
                    found[int(words["RANK"])] = int(entry.name)
        except OSError:  # it has just ended
            continue
    return found


def test_two_ranks_learn_what_one_process_learns(prepared, tmp_path, python):
    # Noise as well, since crops of a rank must get what they have in the whole batch. By Adam: SOAP makes of another rounding,
    # such as that of a sum of two sums, another run, whether in one process or two (docs/scale.md): see the next test. At
    # SOAP's learning rate one pixel whose error rounds to the other sign makes another run of Adam's, too: so at a twentieth.
    sections = {"degrade": {"scales": [2], "noise": [0, 5]}}
    adam = {"optimizer": "adam", "learning_rate": 5e-5}
    alone = train(workspace_with(prepared, tmp_path / "alone", adam, **sections), python)
    together = train(workspace_with(prepared, tmp_path / "together", {**adam, "ranks": 2}, **sections), python)
    assert alone["gain"].iloc[-2] > 0.15  # something was learnt
    assert list(together["step"]) == list(alone["step"])
    assert (together["psnr"] - alone["psnr"]).abs().max() < 0.01
    assert (together["loss"] - alone["loss"]).abs().max() < 1e-4


def test_two_ranks_are_one_process_that_takes_the_batch_in_halves(prepared, tmp_path, python):
    alone = train(workspace_with(prepared, tmp_path / "alone", {}), python, IN_HALVES)
    together = train(workspace_with(prepared, tmp_path / "together", {"ranks": 2}), python)
    assert alone["gain"].iloc[-2] > 0.15  # something was learnt
    pd.testing.assert_series_equal(together["psnr"], alone["psnr"], check_exact=True)


@pytest.mark.parametrize(("scales", "clean"), [([2], 1), ([2, 3], 1), ([2, 3], 0.3)])
def test_two_ranks_of_edsr_whose_steps_use_one_tail_each_are_one_process_that_takes_the_batch_in_halves(
    prepared, tmp_path, python, scales, clean
):
    sections = {"degrade": {"scales": scales}, "edsr": {"blocks": 1, "width": 16}, "ranges": {"clean": clean}}
    alone = train(workspace_with(prepared, tmp_path / "alone", {}, "edsr", **sections), python, IN_HALVES, "edsr")
    together = train(workspace_with(prepared, tmp_path / "together", {"ranks": 2}, "edsr", **sections), python, None, "edsr")
    assert clean < 1 or alone["gain"].iloc[-len(scales) :].min() > 0.1  # something was learnt, at each scale
    pd.testing.assert_series_equal(together["psnr"], alone["psnr"], check_exact=True)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the ranks in Linux's /proc")
def test_a_lost_rank_ends_the_run_in_one_line_and_the_next_run_goes_on(prepared, tmp_path, python):
    runtime = {"runtime": {"checkpoint_minutes": 0}}
    undisturbed = train(workspace_with(prepared, tmp_path / "undisturbed", {"ranks": 2, "steps": 120}, **runtime), python)
    workspace = workspace_with(prepared, tmp_path / "disturbed", {"ranks": 2, "steps": 120}, **runtime)
    process = start(workspace, sys.executable)  # a process of its own is what is killed
    deadline = time.monotonic() + 60
    while not list(workspace.glob("checkpoints/*.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(ranks_of(workspace)[1], signal.SIGKILL)
    killed = time.monotonic()
    output, errors = process.communicate(timeout=60)
    assert time.monotonic() - killed < 60
    assert process.returncode == 1
    assert output == ""
    (line,) = errors.splitlines()
    assert line.startswith("error: training lost a rank of 2: rank ")
    assert "1 (killed by signal 9)" in line
    assert ranks_of(workspace) == {}
    assert not (workspace / "models/srcnn.safetensors").exists()
    pd.testing.assert_frame_equal(train(workspace, python), undisturbed)
    models = [(tmp_path / name / "models/srcnn.safetensors").read_bytes() for name in ("undisturbed", "disturbed")]
    assert models[0] == models[1]


def test_a_mistake_that_all_ranks_find_is_told_once(prepared, tmp_path):
    workspace = workspace_with(prepared, tmp_path / "mistaken", {"ranks": 2, "patch": 96})
    process = start(workspace, sys.executable)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output == ""
    (line,) = errors.splitlines()
    assert line.startswith("error: images of 96 pixels are too small for patches of 96")


def test_a_batch_that_cannot_be_shared_is_refused(prepared, tmp_path, python):
    process = start(workspace_with(prepared, tmp_path / "odd", {"ranks": 3}), python)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == (
        "error: params.yaml: train_srcnn: a batch of 4 cannot be shared among 3 ranks; make it a multiple of ranks\n"
    )


def test_ranks_that_do_not_fit_the_machines_are_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PET_NNODES", "2")
    with pytest.raises(UserError, match=r"3 ranks cannot be shared evenly among 2 machines"):
        launch("stages.train_srcnn", 3, tmp_path)


def test_the_shares_of_all_ranks_are_the_batch():
    assert [crop for number in range(3) for crop in range(12)[Rank(number, 3).share(12)]] == list(range(12))
