import os
import shutil
import stat
import subprocess

import pytest

from cxr.foundation.access import close, private
from cxr.foundation.files import write_text
from cxr.foundation.place import ROOT


@pytest.fixture(autouse=True)
def _usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("shared", "file", "folder"), [(False, 0o600, 0o700), (True, 0o644, 0o755)])
def test_what_is_written_is_private_unless_its_folder_is_shared(tmp_path, shared, file, folder):
    place = tmp_path / "there"
    place.mkdir()
    place.chmod(0o2755 if shared else 0o755)
    path = place / "new/deep/a.txt"
    with private(path):
        write_text(path, "private")
    assert mode(path) == file
    assert mode(path.parent) & 0o777 == folder
    write_text(tmp_path / "metrics.json", "for everyone")
    assert mode(tmp_path / "metrics.json") == 0o644


def test_the_umask_is_given_back_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), private(tmp_path / "a"):
        raise RuntimeError
    assert os.umask(0o022) == 0o022


@pytest.mark.parametrize(
    ("before", "after"), [(0o755, 0o700), (0o770, 0o700), (0o500, 0o500), (0o2770, 0o2770), (0o1777, 0o1700)]
)
def test_a_folder_is_closed_unless_it_is_shared(tmp_path, before, after):
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(before)
    (folder / "README.md").touch() if before & 0o200 else None
    close(folder, tmp_path / "new/plots")
    assert mode(folder) == after
    assert mode(tmp_path / "new/plots") == 0o700


def test_a_folder_of_another_user_is_left_as_it_is(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.chmod", refused)
    close(tmp_path)


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize(("before", "after"), [(0o755, 0o700), (0o2775, 0o2775)])
def test_make_setup_closes_the_folders_that_git_brought(tmp_path, before, after):
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    folders = [tmp_path / name for name in ("data", "plots", ".dvc/cache")]
    for folder in folders[:2]:
        folder.mkdir()
        folder.chmod(before)
    (tmp_path / ".venv").mkdir()
    for name in (".venv/ready", "environment.json"):
        (tmp_path / name).touch()  # as if all were installed
    subprocess.run(["make", "--silent", "setup"], cwd=tmp_path, check=True)
    assert [mode(folder) for folder in folders] == [after, after, 0o700]
