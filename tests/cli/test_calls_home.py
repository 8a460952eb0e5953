"""The instrument, laid out as a wheel installs it, looks up no name and opens no connection.

strace records every connection of a process, its threads and its children, by Python or by C libraries: a look-up asks a name
server or a service of this machine. It does not see what comes later than ten seconds after the work; onnxruntime, for one,
waits for three to ten.
"""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr.foundation.place import ROOT
from tests.support.dicom_files import BY_GDCM, dataset, save, values

PYTHON = sys.executable
RECORD = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o"]
LATE = 10  # seconds

LOOK_UP = """
import ctypes, threading
def look_up(): ctypes.CDLL(None).getaddrinfo(b"name.invalid", b"80", None, ctypes.byref(ctypes.c_void_p()))
thread = threading.Thread(target=look_up); thread.start(); thread.join()
"""
USE = """
import sys, time
from cxr.cli.main import run
for line in sys.argv[1:]:
    sys.argv = ["cxr", *line.split()]
    run()
time.sleep({late})
import cxr; print(cxr.__path__[0])
"""
RUN_EXPORT = """
import onnxruntime, sys
onnxruntime.InferenceSession(sys.argv[1])
"""


def recorded(folder, code, *arguments, **environment):
    """Run `code` in a process of its own; return what it printed, and the calls by which it connected or sent to a network."""
    trace = folder / "trace"
    done = subprocess.run(
        [*RECORD, str(trace), PYTHON, "-P", "-c", code, *map(str, arguments)],
        cwd=folder, env={**os.environ, "HOME": str(folder), **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = trace.read_text().splitlines()
    return done.stdout, [line for line in lines if "AF_INET" in line or "connect(" in line]


def records():
    try:
        return subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.slow
recording = pytest.mark.skipif(not records(), reason="strace is not installed, or may not look at processes")


@recording
def test_the_recorder_sees_what_a_c_library_looks_up(tmp_path):
    assert recorded(tmp_path, LOOK_UP)[1]


@pytest.fixture
def installed(tmp_path):
    """Return a folder that holds what pyproject.toml puts into a wheel."""
    site = tmp_path / "site"
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for name in wheel["packages"]:
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
    for source, target in wheel["force-include"].items():
        (site / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, site / target)
    return site


@recording
def test_the_installed_instrument_looks_up_no_name(tmp_path, installed):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 16), np.uint8)).save(tmp_path / "in/a.png")
    for number, syntax in enumerate(BY_GDCM):  # some of which a process of its own decodes
        save(dataset(values()), tmp_path / f"in/{number}.dcm", syntax)
    shutil.copy(ROOT / "pretrained/vdsr.safetensors", tmp_path / "free.safetensors")  # no limits are beside it
    commands = "enhance in -o out --compare --model free.safetensors", "export vdsr -o vdsr.onnx"
    said, connected = recorded(tmp_path, USE.format(late=LATE), *commands, PYTHONPATH=str(installed))
    assert said.splitlines()[-1] == str(installed / "cxr")
    assert f"{len(BY_GDCM) + 1} of {len(BY_GDCM) + 1} enhanced" in said
    assert (tmp_path / "vdsr.onnx").exists()
    assert connected == []


@recording
def test_the_export_runs_in_onnxruntime_without_a_trace(tmp_path):
    """Of a process that sends telemetry the first sign is a device's number below the user's folder."""
    subprocess.run([PYTHON, "-m", "cxr.cli.export", "srcnn", "-o", tmp_path / "srcnn.onnx"], cwd=ROOT, check=True)
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"  # as tests/conftest.py sets it and docs/guide.md asks of users
    _, connected = recorded(tmp_path, RUN_EXPORT, tmp_path / "srcnn.onnx")
    assert connected == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["srcnn.onnx", "trace"]


def imports_onnxruntime(path: Path) -> bool:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return any(name.partition(".")[0] == "onnxruntime" for name in names)


def test_no_code_but_the_tests_imports_onnxruntime():
    """So that tests/conftest.py, which is imported before them, is the one place that must switch its telemetry off."""
    found = [path for folder in ("cxr", "stages", "tools", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")]
    importing = [path.relative_to(ROOT).as_posix() for path in found if imports_onnxruntime(path)]
    assert importing == ["tests/cli/test_export.py"]
