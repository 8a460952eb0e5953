"""A full disk, which is a small tmpfs: each stage says so in one line, and runs once there is room."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tiny import ROOT

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
NAMESPACE = ["unshare", "--mount", "--map-root-user"]
MOUNT = 'mount -t tmpfs -o size=64m none "$1" && cp -a "$2/." "$1" && cd "$1" && exec "$3" -c "$4" "$5" "$6"'
RUN = """
import importlib, shutil, sys
from pathlib import Path
from superres.errors import one_line_errors
stage, left = importlib.import_module("stages." + sys.argv[1]), int(sys.argv[2])
filler = Path("filler")
with filler.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        file.truncate(max(0, file.tell() - left))
try:
    with one_line_errors():
        stage.main()
    print("ended with 0", flush=True)
except SystemExit as ended:
    print("ended with", ended.code, flush=True)
filler.unlink()
stage.main()
shutil.copytree(".", OUT, dirs_exist_ok=True)
"""


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
@pytest.mark.parametrize(
    ("stage", "left"), [*((stage, 0) for stage in STAGES), *((stage, 6000) for stage in STAGES if stage != "check")]
)
def test_a_stage_on_a_full_disk_says_so_and_runs_once_there_is_room(workspace, tmp_path, stage, left):
    expected = {}
    for name in outputs(stage):
        path = workspace / name
        expected[name] = contents(path)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    disk, after = tmp_path / "disk", tmp_path / "after"
    disk.mkdir()
    code = RUN.replace("OUT", repr(str(after)))
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", MOUNT, "sh", str(disk), str(workspace), sys.executable, code, stage, str(left)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ended with")]
    told = line.removeprefix("ended with ")
    assert told.startswith("error: ")
    assert told.endswith("No space left on device; make room and run it again")
    assert "Traceback" not in done.stderr
    assert {name: contents(after / name) for name in outputs(stage)} == expected
    assert not list(after.rglob(".*partial*"))
