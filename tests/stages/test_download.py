import hashlib
import json
import stat
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
  table: {table}
  columns: {columns}
  findings: {{}}
  patient: ""
  external: ""
phantom:
  images: 9
  size: 64
  seed: 0
  format: jpeg
  bits: 8
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


def workspace(folder, source, table='""', columns="{}"):
    (folder / "params.yaml").write_text(PARAMS.format(source=source, table=table, columns=columns))
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
        "left_out": {"copies": 2, "no_image": 1, "masks": 0, "not_in_table": 0, "external": 0},
        "patients": {"table": 0, "expression": 0, "header": 0, "name": 2, "none": 0},
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


def test_a_table_is_followed_and_what_it_leaves_open_is_told(tmp_path, capsys):
    with zipfile.ZipFile(workspace(tmp_path, "local", "t.csv", "{file: f, findings: what}") / "k.zip", "w") as archive:
        archive.writestr(
            "t.csv", "f,what\n" + "".join(f"{i:02d}.png,finding {i:02d}\n" for i in range(14)) + "a.png,\ngone.png,\n"
        )
        for name in [*(f"{i:02d}.png" for i in range(14)), "a.png", "b.png"]:
            archive.writestr(f"images/{name}", name)
    download.run(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("15 images (1 finding 00, ")
    assert lines[0].endswith(
        ", 3 further findings); left out: 0 further copies, 0 files that are no images, 1 images that the table does not name"
    )
    assert lines[1].endswith("1 rows name a radiograph that is not there, the first 'gone.png'")
    assert lines[2] == "1 of 15 images have no finding: no folder and no table names one"
    assert lines[3].startswith(
        "15 of 15 images name no patient: each counts as a patient of its own; say which by download.patient"
    )
    metrics = json.loads((tmp_path / "metrics/download.json").read_text())
    assert metrics["left_out"]["not_in_table"] == 1
    assert metrics["patients"]["none"] == 15


@pytest.mark.parametrize("before", [None, 0o755, 0o2775])
def test_the_owner_alone_may_read_what_shows_patients_unless_a_folder_is_shared(tmp_path, monkeypatch, before):
    monkeypatch.chdir(tmp_path)
    write_kaggle_zip(workspace(tmp_path, "local") / "k.zip")
    (tmp_path / ".dvc").mkdir()
    folders = [tmp_path / name for name in ("data", "plots", ".dvc/cache")]
    for folder in folders:
        if before is not None:
            folder.mkdir()
            folder.chmod(before)
    download.run(Path())
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {before if before == 0o2775 else 0o700}
    shown = [tmp_path / "metrics", tmp_path / "metrics/download.json"]
    assert all(path.stat().st_mode & stat.S_IROTH for path in shown)  # figures alone


def test_no_folder_of_dvc_is_made_where_dvc_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_kaggle_zip(workspace(tmp_path, "local") / "k.zip")
    download.run(Path())
    assert not (tmp_path / ".dvc").exists()
