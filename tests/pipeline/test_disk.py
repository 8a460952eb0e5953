"""A disk (a small tmpfs) that is full, read-only or closed: each stage says so in one line, and runs once it can."""

import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.tiny import ROOT

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
NAMESPACE = ["unshare", "--mount", "--map-root-user"]
WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]  # or root could write where nobody may
MOUNT = 'mount -t tmpfs -o size=64m none "$1" && cp -a "$2/." "$1" && cd "$1" && shift 2 && exec "$@"'
RUN = """
import importlib, shutil, subprocess, sys
from contextlib import contextmanager
from pathlib import Path
from cxr.foundation.errors import one_line_errors

@contextmanager
def full(left):
    filler = Path("filler")
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - left))
    yield
    filler.unlink()

@contextmanager
def read_only():
    for mode in ("ro", "rw"):
        subprocess.run(["mount", "-o", f"remount,{mode}", str(Path.cwd())], check=True)
        if mode == "ro":
            yield

@contextmanager
def closed():
    folders = [path for path in [Path.cwd(), *Path.cwd().rglob("*")] if path.is_dir()]
    for mode in (0o555, 0o755):
        for folder in folders:
            folder.chmod(mode)
        if mode == 0o555:
            yield

stage = importlib.import_module("stages." + sys.argv[1])
with TROUBLE:
    try:
        with one_line_errors():
            stage.main()
        print("ended with 0", flush=True)
    except SystemExit as ended:
        print("ended with", ended.code, flush=True)
stage.main()
shutil.copytree(".", OUT, dirs_exist_ok=True)
"""
SAYS = {
    "full(0)": "No space left on device; make room and run it again",
    "full(6000)": "No space left on device; make room and run it again",
    "read_only()": "Read-only file system; get permission for it and run it again",
    "closed()": "Permission denied; get permission for it and run it again",
}


SMALL = "check", "diagnose"  # need no more room; of so few images nothing can be told of diagnosis


def outputs(stage: str) -> list[str]:
    """Return the paths that `stage` writes, as dvc.yaml has them."""
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in STAGES[stage].get(kind, [])]
    return [name for entry in entries for name in ([entry] if isinstance(entry, str) else entry)]


def contents(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


@pytest.mark.skipif(
    not (shutil.which("unshare") and shutil.which("setpriv"))
    or subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode != 0,
    reason="this system lets no user mount a small disk",
)
@pytest.mark.parametrize(
    ("stage", "trouble"),
    [each for each in product(STAGES, SAYS) if each[1] != "full(6000)" or each[0] not in SMALL],
)
def test_a_stage_that_cannot_write_says_so_and_runs_once_it_can(workspace, tmp_path, stage, trouble):
    expected = {}
    for name in outputs(stage):
        path = workspace / name
        expected[name] = contents(path)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    disk, after = tmp_path / "disk", tmp_path / "after"
    disk.mkdir()
    code = RUN.replace("OUT", repr(str(after))).replace("TROUBLE", trouble)
    rights = WITHOUT_RIGHTS if trouble == "closed()" else []
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", MOUNT, "sh", str(disk), str(workspace), *rights, sys.executable, "-c", code, stage],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ended with")]
    assert line.startswith("ended with error: ")
    assert line.endswith(SAYS[trouble])
    assert "Traceback" not in done.stderr
    assert {name: contents(after / name) for name in outputs(stage)} == expected
    assert not list(after.rglob(".*partial*"))
