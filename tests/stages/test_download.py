import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from cxr.foundation.errors import UserError
from cxr.sources import local
from stages import download

PARAMS = """
download:
  source: {source}
  path: k.zip
phantom:
  images: 9
  size: 64
  seed: 0
runtime:
  workers: 1
  device: cpu
  checkpoint_minutes: 5
  stall_seconds: 60
  retry_minutes: 10
  cluster: ""
"""


WANTED = {"NORMAL/IM-0001-0001.jpeg": b"normal", "PNEUMONIA/person1_virus_1.jpeg": b"pneumonia"}


def write_kaggle_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in WANTED.items():
            archive.writestr(f"chest_xray/train/{name}", content)
            archive.writestr(f"chest_xray/chest_xray/train/{name}", content)
        archive.writestr("chest_xray/.DS_Store", b"litter")


def workspace(folder, source):
    (folder / "params.yaml").write_text(PARAMS.format(source=source))
    return folder


def test_local_writes_images_and_what_the_source_was(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_kaggle_zip(workspace(tmp_path, "local") / "k.zip")
    stale = tmp_path / "data/raw/OLD/old.jpeg"
    stale.parent.mkdir(parents=True)
    stale.touch()
    download.run(Path())
    raw = tmp_path / "data/raw"
    assert {path.relative_to(raw).as_posix(): path.read_bytes() for path in raw.glob("*/*")} == WANTED
    assert json.loads((tmp_path / "metrics/download.json").read_text()) == {
        "source": "local",
        "images": {"NORMAL": 1, "PNEUMONIA": 1},
        "sha256": hashlib.sha256((tmp_path / "k.zip").read_bytes()).hexdigest(),
    }
    assert capsys.readouterr().out == (
        "2 images (1 NORMAL, 1 PNEUMONIA); left out: 2 further copies, 1 files that are no images\n"
    )


def test_phantoms_arrive_as_a_local_folder_would(tmp_path):
    download.run(workspace(tmp_path, "phantom"))
    metrics = json.loads((tmp_path / "metrics/download.json").read_text())
    assert sum(metrics["images"].values()) == 9
    assert metrics["sha256"] == local.survey(tmp_path / "data/raw").sha256


def test_a_failed_download_leaves_no_data(tmp_path):
    with pytest.raises(UserError, match=r"k\.zip: no such file"):
        download.run(workspace(tmp_path, "local"))
    assert not list((tmp_path / "data").iterdir())
