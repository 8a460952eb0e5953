"""Archives in the manner of public sets and hospitals, from files to the split: nobody is on two sides."""

import random
import zipfile

import pandas as pd
import pytest

from cxr.dataset.settings import Split
from cxr.dataset.split import split
from cxr.sources import local, table
from cxr.sources.settings import Download
from tests.support.dicom_files import dataset, save, values

PATIENTS, IMAGES = 30, 3


def digits(dice, number, alphabet="0123456789abcdef"):
    return "".join(dice.choice(alphabet) for _ in range(number))


# Of each set, the path of image `i` of patient `n`, from 1.
SETS = {
    "NIH": lambda n, i, _: f"images_{n % 3 + 1:03d}/images/{n:08d}_{i:03d}.png",
    "CheXpert": lambda n, i, _: f"CheXpert-v1.0-small/train/patient{n:05d}/study{i + 1}/view1_frontal.jpg",
    "MIMIC": lambda n, i, dice: (
        f"files/p1{n % 3}/p1{n % 3}{n:06d}/s5{n:03d}{i:04d}/{'-'.join(digits(dice, 8) for _ in range(5))}.jpg"
    ),
    "Open-i": lambda n, i, _: f"NLMCXR_png/CXR{n}_1_IM-{n % 7:04d}-{i + 3:04d}.png",
    "Open-i, Kaggle": lambda n, i, _: f"images/images_normalized/{n}_IM-{n % 7:04d}-{i + 3:04d}.dcm.png",
    "Shenzhen": lambda n, i, _: f"CXR_png/CHNCXR_{n:04d}_{n % 2}{' (1)' * i}.png",
    "Montgomery": lambda n, i, _: f"CXR_png/MCUCXR_{n:04d}_{n % 2}{' (1)' * i}.png",
    "JSRT": lambda n, i, _: (
        f"{'Nodule154images' if n % 2 else 'NonNodule93images'}/JPC{'LN'[n % 2]}N{n:03d}{'_resized' * i}.png"
    ),
    "LIDC": lambda n, i, dice: f"LIDC-IDRI-{n:04d}/01-01-2000-{digits(dice, 5, '0123456789')}/3000566-03192/1-{i:03d}.png",
    "BIMCV": lambda n, i, _: f"sub-S{n:05d}/ses-E{i:05d}/mod-rx/sub-S{n:05d}_ses-E{i:05d}_run-1_bp-chest_vp-ap_dx.png",
    "Kermany": lambda n, i, _: f"train/PNEUMONIA/person{n}_{('bacteria', 'virus')[i % 2]}_{n + 40 * i}.jpeg",
    "VinDr": lambda n, i, _: f"train/{digits(random.Random(n), 31)}a{'_aug' * min(i, 1)}{i}.png".replace("a0.png", "a.png"),
}
BY_FOLDER = ("CheXpert", "MIMIC", "LIDC")
"""Sets whose names alone tell no patient: laid flat, they have the folders in the name."""


def leaking(folder, truth):
    """Return the files of the table of `folder` whose patient, in truth `truth`(row), is in several parts."""
    rows = table.read(folder)
    ids = [f"{i:012x}" for i in range(len(rows))]
    patients = [row.patient or name for row, name in zip(rows, ids, strict=True)]
    frame = pd.DataFrame({"id": ids, "patient": patients, "findings": [row.findings for row in rows], "split_wish": ""})
    frame["split"] = split(frame, Split(0.6, 0.2, 0.2, 0))["split"]
    frame["truth"] = [truth(row) for row in rows]
    assert len(frame) == PATIENTS * IMAGES
    return frame[frame.groupby("truth")["split"].transform("nunique") > 1]


def fetch(source, folder):
    return local.fetch(source, folder, Download("local", str(source), "", {}, {}, "", ""))


def pack(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"top/{name}", name)
    return path


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("flat", [False, True])
def test_nobody_of_a_public_set_is_on_two_sides(tmp_path, name, flat):
    dice = random.Random(0)
    paths = {SETS[name](n, i, dice): n for n in range(1, PATIENTS + 1) for i in range(IMAGES)}
    if flat:
        paths = {path.replace("/", "_") if name in BY_FOLDER else path.rpartition("/")[2]: n for path, n in paths.items()}
    fetched = fetch(pack(tmp_path / "set.zip", paths), tmp_path / "raw")
    # Each file holds its path in the source.
    assert leaking(tmp_path / "raw", lambda row: paths[(tmp_path / "raw" / row.file).read_text()]).empty
    assert fetched.patients["none"] == 0
    assert sum(fetched.patients.values()) == len({row.patient for row in table.read(tmp_path / "raw")}) == PATIENTS


def test_nobody_of_a_hospitals_archive_is_on_two_sides(tmp_path):
    (tmp_path / "archive").mkdir()
    truth = {}
    for image in range(PATIENTS * IMAGES):
        name = f"1.2.840.113619.{image * 7919 % 1000}"
        save(
            dataset(values(height=4, width=4), PatientID=f"MRN {image % PATIENTS}", PatientName="", SOPInstanceUID=name),
            tmp_path / "archive" / name,
        )
        truth[name] = image % PATIENTS
    fetched = fetch(tmp_path / "archive", tmp_path / "raw")
    assert leaking(tmp_path / "raw", lambda row: truth[row.file]).empty
    assert fetched.patients["header"] == PATIENTS


def test_what_names_no_patient_may_leak_and_is_told(tmp_path):
    paths = {f"scan{n:02d}{letter}.png": n for n in range(PATIENTS) for letter in "abc"}
    fetched = fetch(pack(tmp_path / "set.zip", paths), tmp_path / "raw")
    assert not leaking(tmp_path / "raw", lambda row: paths[row.file]).empty
    assert fetched.patients["none"] == len(paths)
    assert "90 of 90 images name no patient" in fetched.notes[-1]
