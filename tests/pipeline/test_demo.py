import os
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cxr.foundation.errors import UserError
from tests.support.tiny import ROOT
from tools import demo


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "code").mkdir(parents=True)
    (folder / "metrics").mkdir()
    for name in ("code/a.py", "code/b.py", "params.yaml", "dvc.lock", "metrics/evaluate.json", "metrics/README.md"):
        (folder / name).write_text(name)
    (folder / ".gitignore").write_text("/ignored\n/demo\n")
    (folder / "ignored").write_text("secret")
    git(folder, "init", "-q")
    git(folder, "add", "code/a.py")
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts}


def test_the_copy_holds_tracked_and_unignored_files_but_no_results(project):
    demo.copy_project(project, project / "demo")
    assert files(project / "demo") == {"code/a.py", "code/b.py", "params.yaml", "metrics/README.md", ".gitignore"}


def test_a_second_copy_follows_the_project_and_keeps_the_demos_results(project):
    copy = project / "demo"
    demo.copy_project(project, copy)
    git(copy, "init", "-q")
    (copy / "dvc.lock").write_text("the demo's own")
    (copy / "metrics/evaluate.json").write_text("the demo's own")
    git(copy, "add", "-A")
    (project / "code/b.py").unlink()
    (project / "code/a.py").write_text("edited")
    demo.copy_project(project, copy)
    assert not (copy / "code/b.py").exists()
    assert (copy / "code/a.py").read_text() == "edited"
    assert (copy / "dvc.lock").read_text() == (copy / "metrics/evaluate.json").read_text() == "the demo's own"


def test_a_folder_without_git_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(UserError, match="no git repository"):
        demo.copy_project(tmp_path, tmp_path / "demo")


def test_the_demo_changes_its_keys_and_nothing_else(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text((ROOT / "params.yaml").read_text())
    demo.apply(ROOT / "demo.yaml", params)
    yaml = YAML(typ="safe")
    before, after, overlay = (yaml.load(path) for path in (ROOT / "params.yaml", params, ROOT / "demo.yaml"))
    for section, keys in before.items():
        assert after[section] == {**keys, **overlay.get(section, {})}
    comments = [line.partition("#")[2] for line in (ROOT / "params.yaml").read_text().splitlines()]
    assert [line.partition("#")[2] for line in params.read_text().splitlines()] == comments


def test_a_key_of_the_demo_that_is_not_there_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_text("split:\n  seed: 0\n")
    (tmp_path / "demo.yaml").write_text("split:\n  sed: 1\n")
    with pytest.raises(UserError, match=r"split\.sed is not in"):
        demo.apply(tmp_path / "demo.yaml", tmp_path / "params.yaml")


def test_a_pipeline_that_stops_is_one_line(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("params.yaml", ".dvc/config", ".dvc/.gitignore", ".gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "demo.yaml").write_text("split:\n  seed: 1\n")
    (folder / "dvc.yaml").write_text("stages:\n  fail:\n    cmd: exit 3\n")
    git(folder, "init", "-q")
    with pytest.raises(UserError, match="the pipeline stopped; the lines above say why"):
        demo.run(folder, os.environ)
