"""Show what a branch changes: `python -m tools.report [BASE [HEAD]] [-o FOLDER]`, by default main, or origin/main, and HEAD.

The demo, in a short form, runs on what both have in common and on HEAD. FOLDER gets `report.md`, which is printed, too:
`dvc metrics diff` as a table, and a panel of HEAD's error maps. What is not committed does not count.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_text
from cxr.foundation.place import ROOT
from tools.demo import OVERLAY, PARAMS, apply

SHORT: Mapping[str, Mapping[str, Any]] = {
    "phantom": {"images": 96},
    "train_srcnn": {"steps": 300, "validations": 2},
    "train_vdsr": {"steps": 150, "validations": 2},
    "train_edsr": {"steps": 210, "validations": 2},
    "errormaps": {"panels": 1},
    "train_detector": {"epochs": 3},
}
PANELS, ENVIRONMENT = "plots/errormaps", "tools/environment.py"
TITLE = "A short run on phantoms, of each side: what changes, and not how good it is."


def compared(project: Path, base: str, head: str, folder: Path, short: Mapping[str, Mapping[str, Any]] = SHORT) -> str:
    """Run both sides of the repository `project`, and return the report, as Markdown; its panel is put into `folder`.

    Raises UserError when a side is no commit, or its pipeline stops.
    """
    python = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    variables = {**os.environ, "PATH": python, "DVC_NO_ANALYTICS": "1"}
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary) / "clone"

        def call(*command: str, shown: bool = False) -> str:
            done = subprocess.run(
                command, cwd=clone, env=variables, text=True, stdout=subprocess.PIPE, stderr=None if shown else -1, check=False
            )
            if done.returncode:
                raise UserError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
            return done.stdout.strip()

        _git(project, "clone", "--quiet", "--no-checkout", str(project), str(clone))
        commits = {"head": _commit(project, head)}
        commits["base"] = _git(project, "merge-base", _commit(project, base), commits["head"])
        for key, value in {"user.name": "report", "user.email": "report@localhost", "commit.gpgsign": "false"}.items():
            call("git", "config", key, value)
        for side in ("base", "head"):
            call("git", "checkout", "--quiet", "--force", "-B", side, commits[side])
            apply(clone / OVERLAY, clone / PARAMS)
            _shorten(clone / PARAMS, short)
            if (clone / ENVIRONMENT).is_file():
                call(sys.executable, "-m", "tools.environment")
            print(f"{side}: {call('git', 'log', '-1', '--format=%h %s')}", file=sys.stderr, flush=True)
            call("dvc", "repro", "--quiet", shown=True)
            call("git", "add", "--all")
            call("git", "commit", "--quiet", "--message", "Run")
        table = call("dvc", "metrics", "diff", "--md", "base", "head") or "No metric changes."
        panels = sorted((clone / PANELS).glob("*.png"))
        folder.mkdir(parents=True, exist_ok=True)
        if panels:
            shutil.copyfile(panels[0], folder / "panel.png")
    lines = [f"# {commits['base'][:10]} and {commits['head'][:10]}", "", TITLE, "", table, ""]
    return "\n".join([*lines, *(["Error maps of the branch: `panel.png`, beside this.", ""] if panels else [])])


def _git(project: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=project, text=True, capture_output=True, check=False)
    if done.returncode:
        raise UserError(f"git {' '.join(arguments)}: {done.stderr.strip() or 'they have no commit in common'}")
    return done.stdout.strip()


def _has(project: Path, name: str) -> bool:
    return not subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", name], cwd=project, capture_output=True, check=False
    ).returncode


def _commit(project: Path, name: str) -> str:
    return _git(project, "rev-parse", "--verify", f"{name}^{{commit}}")


def _shorten(params: Path, short: Mapping[str, Mapping[str, Any]]) -> None:
    """Set what of `short` there is in `params`: an older side may lack a section."""
    yaml = YAML()
    yaml.preserve_quotes = True
    document = yaml.load(params)
    for section, keys in short.items():
        document.get(section, {}).update({key: value for key, value in keys.items() if key in document.get(section, {})})
    with params.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)


def main() -> None:
    """Run, write and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("base", nargs="?")
    parser.add_argument("head", nargs="?", default="HEAD")
    parser.add_argument("-o", "--output", type=Path, default=Path("report"))
    given = parser.parse_args()
    base = given.base or ("main" if _has(ROOT, "main") else "origin/main")
    text = compared(ROOT, base, given.head, given.output)
    write_text(given.output / "report.md", text)
    print(text)


if __name__ == "__main__":
    with one_line_errors():
        main()
