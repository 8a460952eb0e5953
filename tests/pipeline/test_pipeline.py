"""The whole pipeline under DVC, on a tiny run, in a git repository of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from cxr.foundation.params import load
from tests.support.kaggle_server import IMAGES, Kaggle, status, write_zip
from tests.support.tiny import ROOT, TINY, copy_project, write_params
from tools import environment, plots_page

TRAINED = "train_srcnn", "train_vdsr", "train_edsr"
ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "OMP_NUM_THREADS": "1",
    "DVC_NO_ANALYTICS": "1",
}


WARM = dict(ENVIRONMENT)  # whose PATH `_warm` fills


@pytest.fixture(scope="session", autouse=True)
def _warm(warm_commands: Path) -> None:
    """Let the tests' commands start at once; but for the first run, which starts Python and DVC as a user would."""
    WARM["PATH"] = os.pathsep.join([str(warm_commands), ENVIRONMENT["PATH"]])


def call(folder: Path, *command: str, fails: bool = False, variables: dict[str, str] = WARM) -> str:
    done = subprocess.run(
        command, cwd=folder, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


def ran(output: str) -> list[str]:
    """Return the stages that `dvc repro` ran, in order."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")]


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> tuple[Path, str]:
    """Return a committed workspace after its first `dvc repro`, and what that printed; made once for all test processes."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    workspace, said = shared / "first", shared / "first.txt"
    with FileLock(shared / "first.lock"):
        if not said.exists():
            said.write_text(first_run(workspace))
    return workspace, said.read_text()


def first_run(workspace: Path) -> str:
    copy_project(workspace, "cxr", "stages", ".dvc", "dvc.yaml", ".gitignore", ".dvcignore")
    write_params(workspace, TINY)
    environment.write(workspace)
    call(workspace, "git", "init", "--quiet", "--initial-branch=main")
    for key, value in {"user.name": "test", "user.email": "test@localhost", "commit.gpgsign": "false"}.items():
        call(workspace, "git", "config", key, value)
    output = call(workspace, "dvc", "repro", variables=ENVIRONMENT)
    call(workspace, "git", "add", "--all")
    call(workspace, "git", "commit", "--quiet", "--message", "first run")
    return output


@pytest.fixture
def workspace(first: tuple[Path, str], tmp_path: Path) -> Path:
    copy = tmp_path / "workspace"
    shutil.copytree(first[0], copy, symlinks=True)
    return copy


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_the_first_run_runs_every_stage_in_order(first):
    assert ran(first[1]) == [
        "check",
        "download",
        "preprocess",
        "split",
        "train_srcnn",
        "train_vdsr",
        "train_edsr",
        "train_detector",
        "evaluate",
        "errormaps",
        "detect",
    ]


def test_git_holds_text_results_but_no_picture_image_or_model(first):
    tracked = call(first[0], "git", "ls-files").split()
    assert {name for name in tracked if name.startswith("metrics/")} == {
        f"metrics/{name}.json"
        for name in (*TRAINED, "download", "preprocess", "split", "evaluate", "statistics", "train_detector", "detect")
    }
    assert not [name for name in tracked if name.startswith(("data/", "models/", "plots/"))]


def test_nothing_written_tells_where_or_when(first):
    workspace = first[0]
    written = [p for folder in ("data", "models", "metrics", "plots") for p in (workspace / folder).rglob("*") if p.is_file()]
    assert len(written) > 40
    for path in written:
        content = path.read_bytes()
        assert str(workspace).encode() not in content, path
        if path.suffix in {".csv", ".json"}:
            words = set(re.findall(r"[^\s\",:{}]+", content.decode()))
            assert not words & {os.uname().nodename, str(Path.home()), str(date.today()), str(date.today().year)}, path


def test_a_second_run_does_nothing(workspace):
    begun = time.monotonic()
    output = call(workspace, "dvc", "repro")
    assert "Data and pipelines are up to date." in output
    assert ran(output) == []
    assert time.monotonic() - begun < 60  # a hang; the 3 seconds that a user sees are measured by hand
    assert call(workspace, "git", "status", "--porcelain") == ""


def test_a_forced_run_changes_nothing(workspace):
    assert len(ran(call(workspace, "dvc", "repro", "--force"))) == 11
    assert call(workspace, "git", "status", "--porcelain") == ""


def test_editing_vdsr_reruns_what_uses_it_and_not_srcnn(workspace):
    edit(workspace / "cxr/superres/networks/vdsr.py", "DEPTH = 20", "DEPTH = 19")
    assert ran(call(workspace, "dvc", "repro")) == ["train_vdsr", "evaluate", "errormaps", "detect"]


def test_editing_edsr_retrains_it_alone(workspace):
    edit(workspace / "cxr/superres/networks/edsr.py", "SMALL = 0.1", "SMALL = 0.2")
    assert ran(call(workspace, "dvc", "repro")) == ["train_edsr", "evaluate", "errormaps", "detect"]


def test_errormaps_parameters_rerun_errormaps_alone(workspace):
    write_params(workspace, TINY, {"errormaps": {"ceiling": 20}})
    assert ran(call(workspace, "dvc", "repro")) == ["check", "errormaps"]


def test_editing_the_detector_reruns_what_uses_it_alone(workspace):
    edit(workspace / "cxr/detection/detector.py", "DROPOUT = 0.2", "DROPOUT = 0.3")
    assert ran(call(workspace, "dvc", "repro")) == ["train_detector", "detect"]
    write_params(workspace, TINY, {"split": {"train": 0.4, "val": 0.3, "test": 0.3}})  # so that there is something to tell
    call(workspace, "dvc", "repro")
    assert re.search(r"detect\.json +auc\.PNEUMONIA\.edsr_x2 ", call(workspace, "dvc", "metrics", "diff"))


def test_runtime_reruns_nothing_but_the_check(workspace):
    write_params(workspace, TINY, {"runtime": {"workers": 2}})
    assert ran(call(workspace, "dvc", "repro")) == ["check"]


def test_changing_a_parameter_back_retrains_nothing(workspace):
    write_params(workspace, TINY, {"train_vdsr": {"steps": 2}})
    assert ran(call(workspace, "dvc", "repro", "train_vdsr")) == ["check", "train_vdsr"]
    write_params(workspace, TINY)
    output = call(workspace, "dvc", "repro")
    assert "train_vdsr" not in ran(output)
    assert call(workspace, "git", "status", "--porcelain") == ""


def test_a_typo_in_the_last_section_stops_before_the_download_in_one_line(workspace):
    edit(workspace / "params.yaml", "  retry_minutes:", "  retry_minuts:")
    output = call(workspace, "dvc", "repro", "--force", fails=True)
    assert ran(output) == ["check"]
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert errors == ["error: params.yaml: runtime.retry_minuts is unknown; did you mean retry_minutes?"]
    assert "Traceback" not in output


def test_kaggle_refuses_in_one_line_and_when_it_gives_its_zip_stays_outside_git_and_dvc(workspace, tmp_path):
    write_params(workspace, TINY, {"download": {"source": "kaggle"}})
    with Kaggle(write_zip(tmp_path / "served.zip")) as server:
        variables = {name: value for name, value in WARM.items() if not name.startswith("KAGGLE_")}
        variables |= {"HOME": str(tmp_path), **server.environment}
        server.api = [status(401)]
        output = call(workspace, "dvc", "repro", fails=True, variables=variables)
        assert ran(output) == ["check", "download"]
        errors = [line for line in output.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert "Kaggle refuses a download without credentials" in errors[0]
        assert "Traceback" not in output
        server.api = []
        assert ran(call(workspace, "dvc", "repro", "download", variables=variables)) == ["download"]
    assert (workspace / "downloads/chest-xray-pneumonia.zip").is_file()
    assert len(list((workspace / "data/raw").glob("*/*"))) == len(IMAGES)
    assert "downloads" not in call(workspace, "git", "status", "--porcelain", "--untracked-files=all")
    assert "downloads" not in (workspace / "dvc.lock").read_text()
    assert ran(call(workspace, "dvc", "repro", "--force", "download")) == ["check", "download"]  # and that with no network


def test_noise_over_every_test_row_changes_no_byte_of_any_model(workspace):
    models = [workspace / f"models/{name}.safetensors" for name in ("srcnn", "vdsr", "edsr")]
    before = [path.read_bytes() for path in models]
    parts = pd.read_csv(workspace / "data/split.csv", dtype=str)["split"]
    pixels = np.load(workspace / "data/pixels.npy")
    table = pd.read_csv(workspace / "data/images.csv")
    for row in table[(parts == "test").to_numpy()].itertuples():
        size = row.rows * row.columns
        pixels[row.begin : row.begin + size] = np.random.default_rng(row.begin).integers(0, 256, size)
    (workspace / "data/pixels.npy").unlink()
    np.save(workspace / "data/pixels.npy", pixels)
    for name in ("train_srcnn", "train_vdsr", "train_edsr"):
        call(workspace, "python", "-m", f"stages.{name}")
    assert [path.read_bytes() for path in models] == before


def test_of_two_runs_at_once_one_does_the_work_and_the_other_waits_or_says_so(workspace, tmp_path):
    write_params(workspace, TINY, {"train_vdsr": {"steps": 12}})
    alone = tmp_path / "alone"
    shutil.copytree(workspace, alone, symlinks=True)
    call(alone, "dvc", "repro")
    both = [
        subprocess.Popen(["dvc", "repro"], cwd=workspace, env=WARM, text=True, stdout=-1, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    ends = [(process.communicate()[0], process.returncode) for process in both]
    assert 0 in [code for _, code in ends], ends
    for output, code in ends:
        assert "Traceback" not in output
        assert code == 0 or "is busy" in output or "Unable to acquire lock" in output, output
    assert "up to date" in call(workspace, "dvc", "repro")
    for name in ("dvc.lock", "models/vdsr.safetensors", "plots/train_vdsr.csv", "metrics/evaluate.json"):
        assert (workspace / name).read_bytes() == (alone / name).read_bytes(), name


def test_a_queued_experiment_runs_the_code_it_was_queued_with(workspace):
    source = workspace / "stages/errormaps.py"
    line = '            save(means, folder / f"{name}.png")\n'
    edit(source, line, line + '            (folder / "code.txt").write_text("queued")\n')
    call(workspace, "dvc", "exp", "run", "--queue", "--name", "queued", "-S", "errormaps.ceiling=7")
    edit(source, '"queued"', '"edited later"')
    call(workspace, "dvc", "exp", "run", "--run-all")
    call(workspace, "dvc", "exp", "branch", "queued", "kept")
    call(workspace, "git", "checkout", "--quiet", "--force", "kept")
    call(workspace, "dvc", "checkout", "--force")
    assert (workspace / "plots/errormaps/code.txt").read_text() == "queued"


def test_another_version_reruns_what_it_decides_and_no_more(workspace):
    told = json.loads((workspace / "environment.json").read_text())
    before = {name: (workspace / name).read_bytes() for name in ("data/pixels.npy", "models/edsr.safetensors")}
    (workspace / "environment.json").write_text(json.dumps({**told, "pillow": "12.0.0"}))
    status = json.loads(call(workspace, "dvc", "status", "--json"))
    assert {stage for stage, changes in status.items() if "pillow" in str(changes)} == {"preprocess", "errormaps", "detect"}
    output = call(workspace, "dvc", "repro", "preprocess", fails=True)
    assert f"error: environment.json has pillow 12.0.0, but here it is {told['pillow']}; go back to that" in output
    (workspace / "environment.json").write_text(json.dumps(told))
    assert not ran(call(workspace, "dvc", "repro"))  # what was there is taken from the cache
    assert before == {name: (workspace / name).read_bytes() for name in before}


def test_a_clone_on_another_machine_runs_nothing_again(workspace, tmp_path):
    for command in (("dvc", "remote", "add", "--default", "store", str(tmp_path / "store")), ("git", "add", "--all")):
        call(workspace, *command)
    call(workspace, "git", "commit", "--quiet", "--message", "store")
    call(workspace, "dvc", "push")
    call(tmp_path, "git", "clone", "--quiet", str(workspace), "clone")
    call(tmp_path / "clone", "dvc", "pull", "--allow-missing")  # the radiographs themselves are not pushed
    output = call(tmp_path / "clone", "dvc", "repro", "--allow-missing", variables={**WARM, "OMP_NUM_THREADS": "2"})
    assert not ran(output)
    assert not call(tmp_path / "clone", "git", "status", "--porcelain")


def test_metrics_diff_compares_branches_in_a_clone_without_a_remote(workspace, tmp_path):
    call(workspace, "git", "switch", "--quiet", "-c", "other")
    write_params(workspace, TINY, {"preprocess": {"normalise": "minmax"}})
    call(workspace, "dvc", "repro")
    call(workspace, "git", "commit", "--quiet", "--all", "--message", "stretch the grey levels")
    call(tmp_path, "git", "clone", "--quiet", str(workspace), "clone")
    call(tmp_path / "clone", "git", "branch", "--quiet", "main", "origin/main")
    table = json.loads(call(tmp_path / "clone", "dvc", "metrics", "diff", "--json", "main", "other"))
    changed = table["metrics/evaluate.json"]
    for model in ("bicubic", "srcnn", "vdsr", "edsr"):
        for scale in ("x2", "x3", "x4"):
            assert changed[f"{model}.{scale}.psnr"]["diff"] != 0
    assert changed["test_set"]["old"] != changed["test_set"]["new"]
    shown = sum(len(rows) for rows in table.values())
    conditions = len(load(ROOT / "params.yaml")["evaluate"]["conditions"])  # one of them in this run, and clean
    assert shown + (conditions - 1) * 4 <= 40  # lines of the defaults: another condition has a line a model
    for network in ("srcnn", "vdsr", "edsr"):
        assert set(table[f"metrics/train_{network}.json"]) == {"gain.x2", "gain.x3", "gain.x4"}


def walkthrough() -> list[str]:
    """Return the shell blocks of the guide's section on comparing branches."""
    section = (ROOT / "docs/guide.md").read_text().partition("## Comparing branches\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def page_of(folder: Path) -> tuple[int, dict[str, list[str]]]:
    """Return how many charts DVC's page holds, and the error maps on it by revision."""
    page = (folder / "dvc_plots/index.html").read_text().partition("<main>")[2]
    pictures: dict[str, list[str]] = {}
    for source in re.findall(r'<img[^>]*src="([^"]+)"', page):
        assert (folder / "dvc_plots" / source).is_file()
        revision, _, name = Path(source).name.partition("_plots_")
        pictures.setdefault(revision, []).append(name)
    return page.count("vegaEmbed("), pictures


@pytest.mark.parametrize(("block", "address"), [(1, "s3://BUCKET/chest-xray"), (2, "ssh://USER@HOST/srv/chest-xray")])
def test_the_guides_other_stores_are_set_as_it_says(tmp_path, block, address):
    install, *lines = walkthrough()[block].splitlines()
    assert install.startswith("pip install dvc-")
    call(tmp_path, "git", "init", "--quiet")
    call(tmp_path, "dvc", "init", "--quiet")
    call(tmp_path, "bash", "-e", "-c", "\n".join(lines))
    assert call(tmp_path, "dvc", "remote", "list").split() == ["store", address, "(default)"]
    assert "keyfile" not in (tmp_path / ".dvc/config").read_text()


def test_the_guides_walkthrough_does_what_it_says(workspace, tmp_path):
    share, _, _, change, judge, copy, several = walkthrough()
    (tmp_path / "store").mkdir()
    plots_page.run(workspace)

    def follow(folder: Path, lines: str, **instead: str) -> str:
        for said, meant in instead.items():
            assert said in lines
            lines = lines.replace(said, meant)
        return call(folder, "bash", "-e", "-c", lines)

    def said_of_quality(output: str) -> set[tuple[str, str, str]]:
        return set(re.findall(r"evaluate\.json +(bicubic|srcnn|vdsr|edsr)\.(x\d)\.(psnr|ssim) ", output))

    assert "up to date" in follow(
        workspace, share, **{"/mnt/share/store": str(tmp_path / "store"), 'git commit -m "First run"': "git status"}
    )
    output = follow(workspace, change, **{"steps=36000": "steps=4"})
    assert ran(output) == ["check", "train_vdsr"]
    assert re.findall(r"train_vdsr\.json +gain\.(x\d) ", output) == ["x2", "x3", "x4"]
    assert not said_of_quality(output)  # by which nothing may be chosen
    output = follow(workspace, judge)
    assert ran(output) == ["evaluate", "errormaps", "detect"]
    vdsr = {("vdsr", scale, metric) for scale in ("x2", "x3", "x4") for metric in ("psnr", "ssim")}
    assert {row for row in said_of_quality(output) if row[2] == "psnr"} == {row for row in vdsr if row[2] == "psnr"}
    assert said_of_quality(output) <= vdsr
    assert "test_set" not in output
    charts, pictures = page_of(workspace)
    assert charts == 5
    assert len(pictures) == 2
    assert sorted(pictures["main"]) == sorted(pictures["longer"])

    set_up = f"{sys.executable} -c 'from pathlib import Path; from tools import plots_page; plots_page.run(Path())'"
    (tmp_path / "home").mkdir()
    output = follow(
        tmp_path / "home",
        copy,
        **{"YOUR-REPOSITORY": str(workspace), "make setup && . .venv/bin/activate": f"PYTHONPATH={ROOT} {set_up}"},
    )
    assert said_of_quality(output) <= vdsr
    assert page_of(tmp_path / "home/copy") == (charts, pictures)

    lines = [line for line in several.splitlines() if not line.startswith(("dvc queue start", "dvc exp branch"))]
    output = follow(workspace, "\n".join([*lines[:2], "dvc exp run --run-all", *lines[2:]]))
    shown = output.partition("dvc exp show")[2] or output
    assert "gain.x2" in shown
    assert "psnr" not in shown
    names = re.findall(r"\[([a-z]+-[a-z]+)\]", call(workspace, "dvc", "exp", "list"))
    assert len(names) >= 2
