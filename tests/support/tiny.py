"""A tiny run of the pipeline: its parameters."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]

# Patches and sizes are as small as margins allow; budgets are a few steps. SRCNN's further scales take a third of its steps, of
# which SOAP's first moves nothing: with fewer than six all scales would share one network, and no test could tell them apart.
# A step of EDSR is for one scale of three, and its body moves once a last layer, which starts at zero, has moved.
TINY: dict[str, dict[str, Any]] = {
    "download": {"source": "phantom"},
    "phantom": {"images": 24, "size": 112, "seed": 0},
    "preprocess": {"size": 96},
    "train_srcnn": {"steps": 6, "batch": 3, "patch": 24, "validations": 1, "precision": "float32"},
    "train_vdsr": {"steps": 3, "batch": 3, "patch": 24, "validations": 1, "precision": "float32"},
    "train_edsr": {"steps": 7, "batch": 3, "patch": 24, "validations": 1, "precision": "float32"},
    "evaluate": {"conditions": ["clean"]},
    "errormaps": {"inset": 16},
    "detection": {"size": 64},
    "train_detector": {"epochs": 2, "batch": 4},
    "runtime": {"workers": 1, "device": "cpu"},
}


def copy_project(folder: Path, *names: str) -> None:
    """Copy into `folder` the files of the project below `names` that git tracks or does not ignore."""
    command = ["git", "ls-files", "-co", "--exclude-standard", *names]
    for name in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def write_params(workspace: Path, *changes: dict[str, dict[str, Any]]) -> None:
    """Write the committed params.yaml with `changes` to `workspace`."""
    yaml = YAML()
    document = yaml.load(ROOT / "params.yaml")
    for change in changes:
        for section, keys in change.items():
            document[section].update(keys)
    with (workspace / "params.yaml").open("w") as file:
        yaml.dump(document, file)


def ended(process: psutil.Process, seconds: float) -> bool:
    """Tell whether `process` ends within `seconds`; that nobody has asked how does not make it alive."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
