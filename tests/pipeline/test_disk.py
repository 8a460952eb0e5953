"""A disk (a small tmpfs) that is full, read-only or closed: each stage says so in one line, and runs once it can."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.tiny import ROOT

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
NAMESPACE = ["unshare", "--mount", "--map-root-user"]
MOUNT = 'mount -t tmpfs -o size=64m none "$1" && cp -a "$2/." "$1" && cd "$1" && shift 2 && exec "$@"'
RUN = """
import ctypes, importlib, os, shutil, subprocess, sys, traceback
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
    # Without its capabilities, or root could write where nobody may: capset(2), version 3, all bits off.
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0
    folders = [path for path in [Path.cwd(), *Path.cwd().rglob("*")] if path.is_dir()]
    for mode in (0o555, 0o755):
        for folder in folders:
            folder.chmod(mode)
        if mode == 0o555:
            yield

def remove(name):
    path = Path(name)
    shutil.rmtree(path) if path.is_dir() else path.unlink()

def run(trouble, out):
    with eval(trouble):
        try:
            with one_line_errors():
                stage.run(Path())
            print(trouble, "ended with 0", flush=True)
        except SystemExit as ended:
            print(trouble, "ended with", ended.code, flush=True)
    stage.run(Path())
    assert not list(Path.cwd().rglob(".*partial*"))
    for name in outputs:
        copy = shutil.copytree if Path(name).is_dir() else shutil.copy2
        target = Path(out, trouble, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        copy(name, target)

name, out, outputs, troubles = sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4].split(",")
stage = importlib.import_module("stages." + name)  # once for all troubles, which get a process each
for trouble in troubles:
    for output in outputs:
        remove(output)
    child = os.fork()
    if child == 0:
        try:
            run(trouble, out)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{trouble}: the stage does not run once it can")
"""
SAYS = {
    "full(0)": "No space left on device; make room and run it again",
    "full(6000)": "No space left on device; make room and run it again",
    "read_only()": "Read-only file system; get permission for it and run it again",
    "closed()": "Permission denied; get permission for it and run it again",
}


SMALL = "check", "train_detector", "detect"  # need no more room; of so few images nothing can be learnt


def outputs(stage: str) -> list[str]:
    """Return the paths that `stage` writes, as dvc.yaml has them."""
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in STAGES[stage].get(kind, [])]
    return [name for entry in entries for name in ([entry] if isinstance(entry, str) else entry)]


def contents(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode != 0,
    reason="this system lets no user mount a small disk",
)
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_cannot_write_says_so_and_runs_once_it_can(workspace, tmp_path, stage):
    expected = {name: contents(workspace / name) for name in outputs(stage)}
    disk, after = tmp_path / "disk", tmp_path / "after"
    disk.mkdir()
    troubles = [trouble for trouble in SAYS if trouble != "full(6000)" or stage not in SMALL]
    given = [stage, str(after), ",".join(outputs(stage)), ",".join(troubles)]
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", MOUNT, "sh", str(disk), str(workspace), sys.executable, "-c", RUN, *given],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(tuple(SAYS))]
    assert len(lines) == len(troubles)
    for line, trouble in zip(lines, troubles, strict=True):
        assert line.startswith(f"{trouble} ended with error: ")
        assert line.endswith(SAYS[trouble])
        assert {name: contents(after / trouble / name) for name in outputs(stage)} == expected
