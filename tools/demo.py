"""Run the whole pipeline on radiograph phantoms, in a workspace of its own: `make demo`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cxr.foundation.errors import UserError, one_line_errors
from cxr.superres.evaluation import per_image, report
from tools import environment, plots_page

DEMO = Path("demo")
OVERLAY = Path("demo.yaml")
PARAMS = Path("params.yaml")
PER_IMAGE = Path("plots/per_image.csv")

# What a run of the user's own may have committed: the demo makes its own.
RESULTS = ("dvc.lock", "metrics/", "plots/", "models/", "data/")

TO_TRY = """
Now try, by copy and paste:

  cd demo && . ../.venv/bin/activate
  dvc plots show                                      # charts and error maps: open dvc_plots/index.html
  dvc repro                                           # nothing has changed, so nothing runs

  git switch -c short                                 # an experiment on a branch: VDSR with fewer steps
  dvc exp run train_vdsr -S train_vdsr.steps=200
  git commit -am "VDSR, 200 steps"
  dvc metrics diff main short                         # gains on the validation images, by which one chooses

  dvc repro                                           # once one has chosen: what the test images say
  git commit -am "Evaluate"
  dvc metrics diff main short                         # PSNR and SSIM of both branches, and the difference
  dvc plots diff main short                           # charts and error maps of both, side by side
"""


def copy_project(source: Path, target: Path) -> None:
    """Make `target` hold the project files of `source` that git tracks or does not ignore, and none that it held before.

    Results, `source`'s and `target`'s own, stay where they are. Raises UserError when `source` is no git repository.
    """
    try:
        files = set(_listed(source))
    except subprocess.CalledProcessError:
        raise UserError("the demo copies what git tracks, and this folder is no git repository; clone it with git") from None
    if (target / ".git").exists():
        for name in set(_listed(target)) - files:
            (target / name).unlink()
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target / name)


def apply(overlay: Path, params: Path) -> None:
    """Set the keys of the YAML file `overlay` in `params`, and keep all else, comments included.

    Raises UserError for a key that `params` does not have.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    document, changes = yaml.load(params), yaml.load(overlay)
    for section, keys in changes.items():
        for key, value in keys.items():
            if key not in document.get(section, {}):
                raise UserError(f"{overlay}: {section}.{key} is not in {params}; remove it or correct its name")
            document[section][key] = value
    with params.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)


def run(workspace: Path, variables: Mapping[str, str]) -> str:
    """Run the demo of `workspace` in its folder DEMO and return the table of results.

    Raises UserError when the pipeline fails, which has then said why.
    """
    demo = workspace / DEMO
    demo.mkdir(exist_ok=True)
    copy_project(workspace, demo)
    apply(workspace / OVERLAY, demo / PARAMS)
    environment.write(demo)  # which is no user's own

    def call(*command: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, cwd=demo, env=dict(variables), check=True, **options)

    call("git", "init", "--quiet", "--initial-branch=main")
    for key, value in {"user.name": "demo", "user.email": "demo@localhost", "commit.gpgsign": "false"}.items():
        call("git", "config", key, value)
    plots_page.run(demo)
    try:
        call(sys.executable, "-m", "dvc", "repro")
    except subprocess.CalledProcessError:
        raise UserError("the pipeline stopped; the lines above say why. Mend it and run make demo again") from None
    call("git", "add", "--all")
    if call("git", "status", "--porcelain", stdout=subprocess.PIPE).stdout:
        call("git", "commit", "--quiet", "--message", "Run the demo")
    return report.table(per_image.read(demo / PER_IMAGE))


def _listed(folder: Path) -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=folder, check=True, capture_output=True
    )
    names = listing.stdout.decode().split("\0")[:-1]
    kept = [name for name in names if not name.startswith(RESULTS) or name.endswith("README.md")]
    return [name for name in kept if (folder / name).is_file()]


def main() -> None:
    """Run in the current folder, with this environment's Python first, since stages are run as `python`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    print(f"\n{run(Path.cwd(), {**os.environ, 'PATH': path})}\n{TO_TRY}")


if __name__ == "__main__":
    with one_line_errors():
        main()
