import subprocess
from pathlib import Path

import pytest
from PIL import Image

from cxr.foundation.errors import UserError
from tests.support.tiny import TINY, copy_project, write_params
from tools import report

IGNORED = ".gitignore", ".dvcignore"


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository of the project, whose branch `other` crops its grey levels."""
    folder = tmp_path / "project"
    copy_project(folder, "cxr", "stages", "tools", ".dvc", "dvc.yaml", *IGNORED)
    (folder / "demo.yaml").write_text("download:\n  source: phantom\n")
    write_params(folder, TINY)
    git(folder, "init", "--quiet", "--initial-branch=main")
    for key, value in {"user.name": "test", "user.email": "test@localhost", "commit.gpgsign": "false"}.items():
        git(folder, "config", key, value)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    git(folder, "checkout", "--quiet", "-b", "other")
    write_params(folder, TINY, {"errormaps": {"ceiling": 20}, "train_edsr": {"seed": 1}})
    git(folder, "commit", "--quiet", "--all", "--message", "another seed")
    return folder


@pytest.mark.slow
def test_what_a_branch_changes_is_shown_as_a_table_and_a_panel(project, tmp_path, capfd):
    text = report.compared(project, "main", "other", tmp_path / "out", {"phantom": {"images": 20}, "no_such": {"steps": 1}})
    rows = [line for line in text.splitlines() if line.startswith("| metrics/")]
    assert [line for line in rows if "train_edsr.json" in line]
    assert not [line for line in rows if "train_vdsr.json" in line or "vdsr.x2" in line]
    assert "`panel.png`, beside this" in text
    assert min(Image.open(tmp_path / "out/panel.png").size) > 100
    assert [line.split(": ")[0] for line in capfd.readouterr().err.splitlines() if line.startswith(("base", "head"))] == [
        "base",
        "head",
    ]
    status = subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True, check=True)
    assert not status.stdout


def test_a_side_that_is_no_commit_is_one_line(project, tmp_path):
    with pytest.raises(UserError, match=r"^git rev-parse --verify nowhere"):
        report.compared(project, "nowhere", "other", tmp_path / "out")
