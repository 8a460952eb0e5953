import json
import random
import warnings
from pathlib import Path

import pandas as pd
import pytest

from cxr.dataset.settings import Split
from cxr.dataset.split import PARTS, counts, split
from cxr.foundation.errors import UserError
from stages import split as stage


def people(seed=0, normal=120, pneumonia=300, largest=5):
    """Return a table (id, class, patient) of so many patients, most with one image."""
    dice = random.Random(seed)
    rows = [
        (name, f"{name}{n}")
        for name, number in (("NORMAL", normal), ("PNEUMONIA", pneumonia))
        for n in range(number)
        for _ in range(dice.choice([1, 1, 1, 2, largest]))
    ]
    dice.shuffle(rows)
    table = pd.DataFrame(rows, columns=["class", "patient"])
    table.insert(0, "id", [f"{i:012d}" for i in range(len(table))])
    return table


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.7, 0.15, 0.15), (0.64, 0.16, 0.2), (0.5, 0.3, 0.2)])
def test_split_keeps_patients_together_and_shares_and_classes_in_proportion(shares, seed):
    table = people(seed)
    parts = split(table, Split(*shares, seed))
    assert parts.columns.tolist() == ["id", "split"]
    assert parts["id"].tolist() == table["id"].tolist()
    joined = table.assign(split=parts["split"])
    assert (joined.groupby("patient")["split"].nunique() == 1).all()
    for part, share in zip(PARTS, shares, strict=True):
        inside = joined[joined["split"] == part]
        # Within one patient's images, of each class.
        assert abs(len(inside) - share * len(table)) <= 5
        for name, number in table["class"].value_counts().items():
            assert abs((inside["class"] == name).sum() - share * number) <= 5


def test_split_follows_the_seed_and_nothing_else():
    table = people()
    first = split(table, Split(0.8, 0.1, 0.1, 0))
    pd.testing.assert_frame_equal(first, split(table, Split(0.8, 0.1, 0.1, 0)))
    test = set(first[first["split"] == "test"]["id"])
    other = split(table, Split(0.8, 0.1, 0.1, 1))
    overlap = len(test & set(other[other["split"] == "test"]["id"])) / len(test)
    assert overlap < 0.4  # by chance one in ten


def test_a_patient_of_two_classes_is_in_one_part():
    table = people()
    table.loc[::7, "patient"] = [f"both{n // 4}" for n in range(len(table.loc[::7]))]
    joined = table.assign(split=split(table, Split(0.8, 0.1, 0.1, 0))["split"])
    assert (joined.groupby("patient")["split"].nunique() == 1).all()


@pytest.mark.parametrize("number", [3, 4, 7, 12])
def test_few_patients_still_fill_three_parts_without_a_warning(number):
    table = pd.DataFrame({"id": range(number), "class": (["A", "B"] * number)[:number], "patient": range(number)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = split(table.astype(str), Split(0.8, 0.1, 0.1, 0))
    assert set(parts["split"]) == set(PARTS)
    assert (parts["split"] == "train").sum() >= (parts["split"] == "test").sum()


def test_too_few_patients_are_one_line():
    table = pd.DataFrame({"id": list("abcdef"), "class": ["A"] * 6, "patient": list("xxxyyy")})
    with pytest.raises(UserError, match="2 patients cannot be split into train, val, test"):
        split(table, Split(0.8, 0.1, 0.1, 0))


def test_three_patients_of_three_classes_are_one_for_each_part():
    table = pd.DataFrame({"id": list("abc"), "class": list("ABC"), "patient": list("xyz")})
    assert sorted(split(table, Split(0.8, 0.1, 0.1, 0))["split"]) == sorted(PARTS)


def test_shares_add_up_to_one():
    Split(0.7, 0.2, 0.1, 0)  # in floating point 0.9999999999999999
    with pytest.raises(ValueError, match=r"train, val and test are 0\.8, 0\.1 and 0\.2 and add up to 1\.1"):
        Split(0.8, 0.1, 0.2, 0)


def test_counts_are_of_images_and_of_patients():
    table = pd.DataFrame({"id": list("abcde"), "class": list("NNPPP"), "patient": list("wwxyy")})
    parts = pd.DataFrame({"id": list("abcde"), "split": ["train", "train", "val", "test", "test"]})
    assert counts(table, parts) == {
        "images": {"train": {"N": 2, "P": 0}, "val": {"N": 0, "P": 1}, "test": {"N": 0, "P": 2}},
        "patients": {"train": {"N": 1, "P": 0}, "val": {"N": 0, "P": 1}, "test": {"N": 0, "P": 1}},
    }


def test_the_stage_keeps_ids_that_look_like_numbers(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = people(normal=10, pneumonia=20, largest=1)
    table["id"] = ["000123456789", "1234e5678901", "nan", "NA", *table["id"][4:]]
    table["patient"] = ["NA", "null", "007", "7", *table["patient"][4:]]
    (tmp_path / "data").mkdir()
    table.to_csv(tmp_path / "data/images.csv", index=False)
    (tmp_path / "params.yaml").write_text("split: {train: 0.8, val: 0.1, test: 0.1, seed: 0}\n")
    stage.run(Path())
    lines = (tmp_path / "data/split.csv").read_text().splitlines()
    assert lines[0] == "id,split"
    assert [line.split(",")[0] for line in lines[1:]] == table["id"].tolist()
    metrics = json.loads((tmp_path / "metrics/split.json").read_text())
    assert sum(n for part in metrics["images"].values() for n in part.values()) == len(table)
    assert sum(n for part in metrics["patients"].values() for n in part.values()) == table["patient"].nunique()
    assert capsys.readouterr().out.startswith("train: ")
