import json
import random
import warnings
from pathlib import Path

import pandas as pd
import pytest

from cxr.dataset.settings import Split
from cxr.dataset.split import PARTS, counts, split, wishes
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
    table = pd.DataFrame(rows, columns=["findings", "patient"])
    table.insert(0, "id", [f"{i:012d}" for i in range(len(table))])
    return table.assign(split_wish="")


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
        for name, number in table["findings"].value_counts().items():
            assert abs((inside["findings"] == name).sum() - share * number) <= 5


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
    table = pd.DataFrame(
        {"id": range(number), "findings": (["A", "B"] * number)[:number], "patient": range(number), "split_wish": ""}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = split(table.astype(str), Split(0.8, 0.1, 0.1, 0))
    assert set(parts["split"]) == set(PARTS)
    assert (parts["split"] == "train").sum() >= (parts["split"] == "test").sum()


def test_too_few_patients_are_one_line():
    table = pd.DataFrame({"id": list("abcdef"), "findings": ["A"] * 6, "patient": list("xxxyyy"), "split_wish": ""})
    with pytest.raises(UserError, match="2 patients cannot be split into train, val, test"):
        split(table, Split(0.8, 0.1, 0.1, 0))


def test_three_patients_of_three_classes_are_one_for_each_part():
    table = pd.DataFrame({"id": list("abc"), "findings": list("ABC"), "patient": list("xyz"), "split_wish": ""})
    assert sorted(split(table, Split(0.8, 0.1, 0.1, 0))["split"]) == sorted(PARTS)


def test_shares_add_up_to_one():
    Split(0.7, 0.2, 0.1, 0)  # in floating point 0.9999999999999999
    with pytest.raises(ValueError, match=r"train, val and test are 0\.8, 0\.1 and 0\.2 and add up to 1\.1"):
        Split(0.8, 0.1, 0.2, 0)


def test_counts_are_of_images_and_of_patients():
    table = pd.DataFrame({"id": list("abcde"), "findings": list("NNPPP"), "patient": list("wwxyy")})
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


def kermany():
    """Return 28 images named as Kermany's, with the names of patients as they have been since the first version."""
    names = [f"IM-{n:04d}" for n in (115, 117, 119, 122, 125, 127, 128)] + ["IM-0374", "IM-0374"]
    names += [f"person{n}" for n in (1, 3, 10, 11, 100, 101, 7, 8, 9, 22, 23, 24) for _ in range(1 + n % 2)]
    findings = ["PNEUMONIA" if name.startswith("p") else "NORMAL" for name in names]
    ids = [f"{i:012x}" for i in range(len(names))]
    return pd.DataFrame({"id": ids, "patient": names, "findings": findings, "split_wish": ""})


@pytest.mark.parametrize(
    ("seed", "shares", "expected"),
    [  # made with commit 748093c
        (0, (0.8, 0.1, 0.1), "..v.T..............vv.TT...."),
        (0, (0.6, 0.2, 0.2), "..vTT.........vv.TTvv.TT...."),
        (7, (0.8, 0.1, 0.1), "v....T.............TT.vv...."),
        (7, (0.6, 0.2, 0.2), "v..T.T.....TT.vv...TT.vv...."),
    ],
)
def test_without_wishes_the_split_is_that_of_the_first_versions(seed, shares, expected):
    parts = split(kermany(), Split(*shares, seed))["split"]
    assert "".join(parts.map({"train": ".", "val": "v", "test": "T"})) == expected


def wanting(*wanted):
    """Return the people, some of whom want a part: pairs of a part and the rows of those."""
    table = people()
    for part, rows in wanted:
        table.loc[rows, "split_wish"] = part
    return table.assign(split=split(table, Split(0.8, 0.1, 0.1, 0))["split"])


@pytest.mark.parametrize("part", ["test", "val"])
def test_a_part_that_the_table_names_is_kept_and_the_other_one_drawn(part):
    pinned = people().index[:40]
    table = wanting((part, pinned))
    other = "val" if part == "test" else "test"
    named = set(table.loc[pinned, "patient"])
    assert set(table.loc[table["split"] == part, "patient"]) == named
    assert (table.groupby("patient")["split"].nunique() == 1).all()
    left = table[table["split"] != part]
    assert len(left[left["split"] == other]) == pytest.approx(len(left) / 9, abs=5)  # 0.1 to 0.8
    assert (left[left["split"] == other]["findings"] == "NORMAL").mean() == pytest.approx(120 / 420, abs=0.08)


def test_with_both_parts_named_nothing_is_drawn():
    table = wanting(("test", range(30)), ("val", range(30, 50)), ("train", range(50, 60)))
    assert (table.groupby("patient")["split"].nunique() == 1).all()
    pinned = set(table.loc[table["split_wish"].isin(["test", "val"]), "patient"])
    assert set(table.loc[table["split"] != "train", "patient"]) == pinned


def test_what_the_table_wants_for_training_serves_to_draw_validation_and_test():
    table = people().assign(split_wish="train")
    plain = split(people(), Split(0.8, 0.1, 0.1, 0))
    pd.testing.assert_frame_equal(split(table, Split(0.8, 0.1, 0.1, 0)), plain)


def test_external_patients_are_external_whole_and_change_nothing_else():
    table = people()
    outside = table[table["patient"].isin(table["patient"].iloc[:25])]
    table.loc[outside.groupby("patient").head(1).index, "split_wish"] = "external"
    parts = split(table, Split(0.8, 0.1, 0.1, 0)).set_index("id")["split"]
    assert set(parts[outside["id"]]) == {"external"}
    rest = table.drop(outside.index).reset_index(drop=True)
    assert parts[rest["id"]].tolist() == split(rest, Split(0.8, 0.1, 0.1, 0))["split"].tolist()
    counted = counts(table, parts.reset_index())
    assert sum(counted["images"]["external"].values()) == len(outside)
    assert sum(counted["patients"]["external"].values()) == outside["patient"].nunique()


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        (["train", "val"], "val"),
        (["val", "test"], "test"),
        (["test", "train", "val"], "test"),
        (["test", "external"], "external"),
        (["", "test"], "test"),
    ],
)
def test_a_patient_of_several_parts_goes_whole_to_the_most_secluded(wanted, part):
    both = pd.DataFrame({"id": [f"both{i}" for i in range(len(wanted))], "patient": "both", "findings": "NORMAL"})
    table = pd.concat([people(), both.assign(split_wish=wanted)], ignore_index=True)
    assert set(split(table, Split(0.8, 0.1, 0.1, 0))["split"].iloc[-len(wanted) :]) == {part}
    assert wishes(table)[1] == (["both"] if "" not in wanted else [])


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("external external external external - -", "2 patients, besides 4 external ones, cannot be split"),
        ("test test val val val val", "0 patients are left for train"),
        ("test test test test test -", "1 patients are left for train and val"),
    ],
)
def test_too_few_patients_beside_what_the_table_wants_are_one_line(wanted, told):
    wished = [part.strip("-") for part in wanted.split()]
    table = pd.DataFrame({"id": list("abcdef"), "findings": "A", "patient": list("uvwxyz"), "split_wish": wished})
    with pytest.raises(UserError, match=told):
        split(table, Split(0.8, 0.1, 0.1, 0))


def test_one_patient_left_trains():
    table = pd.DataFrame({"id": list("abc"), "findings": "A", "patient": list("xyz"), "split_wish": ["test", "", "val"]})
    assert split(table, Split(0.8, 0.1, 0.1, 0))["split"].tolist() == ["test", "train", "val"]


def run_stage(folder, table):
    (folder / "data").mkdir()
    table.to_csv(folder / "data/images.csv", index=False)
    (folder / "params.yaml").write_text("split: {train: 0.8, val: 0.1, test: 0.1, seed: 0}\n")
    stage.run(folder)
    return json.loads((folder / "metrics/split.json").read_text())


def test_the_stage_tells_how_many_images_name_no_patient(tmp_path, capsys):
    table = people()
    table.loc[:6, "patient"] = table.loc[:6, "id"]
    metrics = run_stage(tmp_path, table)
    assert (metrics["patients_known"], metrics["own_patients"]) == (False, 7)
    assert f"7 of {len(table)} images name no patient: each counts as a patient of its own" in capsys.readouterr().out


def test_the_stage_tells_how_many_patients_are_wanted_in_several_parts(tmp_path, capsys):
    table = people()
    both = table.index[table["patient"] == table["patient"].value_counts().index[0]]
    table.loc[both, "split_wish"] = ["test", *["train"] * (len(both) - 1)]
    table.loc[table.index[-1], "split_wish"] = "external"
    metrics = run_stage(tmp_path, table)
    assert (metrics["patients_known"], metrics["own_patients"], metrics["patients_of_several_parts"]) == (True, 0, 1)
    assert list(metrics["images"]) == ["train", "val", "test", "external"]
    assert "1 patients are wanted in several parts" in capsys.readouterr().out


def test_findings_are_counted_as_texts_and_a_line_names_the_commonest(tmp_path, capsys):
    table = people()
    table["findings"] = [f"rare{i:02d}" if i < 20 else "Effusion|NODULE" if i % 2 else "" for i in range(len(table))]
    metrics = run_stage(tmp_path, table)
    assert sum(n for part in metrics["images"].values() for n in part.values()) == len(table)
    assert {"unknown", "Effusion|NODULE", "rare19"} <= set(metrics["images"]["train"])
    line = capsys.readouterr().out.splitlines()[0]
    assert " unknown" in line
    there = [name for name, number in metrics["images"]["train"].items() if number]
    assert f"{len(there) - 12} further findings" in line
    assert " 0 " not in line
