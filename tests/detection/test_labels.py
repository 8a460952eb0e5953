"""What is known of which finding."""

import numpy as np
import pandas as pd
import pytest

from cxr.detection.labels import labels, learnable

FINDINGS = ["NORMAL", "PNEUMONIA", "COVID", "NODULE|PNEUMONIA", "", "COVID|NODULE"]


def table(findings=FINDINGS, parts=("train", "val", "test")) -> pd.DataFrame:
    return pd.DataFrame({"findings": list(findings) * len(parts), "split": np.repeat(parts, len(findings))})


@pytest.mark.parametrize(
    ("complete", "known"),
    [(True, [True, True, True, True, False, True]), (False, [True, True, False, True, False, False])],
)
def test_what_is_not_said_is_unknown_unless_labels_are_complete(complete, known):
    found = labels(table(parts=["train"]), ["PNEUMONIA", "COVID"], complete)
    assert found.of("PNEUMONIA").tolist() == [False, True, False, True, False, False]
    assert found.known[:, 0].tolist() == known
    assert found.rows("PNEUMONIA", np.array([0, 2, 4, 5])).tolist() == [row for row in (0, 2, 4, 5) if known[row]]
    assert found.known[4].tolist() == [False, False]  # of which nobody has said anything
    assert found.known[0].all()  # NORMAL shows nothing


def test_findings_are_learnt_of_which_training_and_validation_have_two_of_each():
    twice = table(FINDINGS * 2)
    assert learnable(twice, complete=True) == (["COVID", "NODULE", "PNEUMONIA"], "")
    val = twice["split"] == "val"
    twice.loc[val, "findings"] = twice["findings"].replace({"COVID": "", "COVID|NODULE": "NODULE"})
    names, reason = learnable(twice, complete=True)
    assert names == ["NODULE", "PNEUMONIA"]
    assert reason == "COVID: 0 with it and 8 without in val"


def test_other_parts_have_no_say_in_what_is_learnt():
    given = table(FINDINGS * 2, ("train", "val", "test", "external"))
    other = given.copy()
    other.loc[other["split"].isin(["test", "external"]), "findings"] = "EFFUSION"
    names, _ = learnable(given, complete=True)
    assert (names, "") == learnable(other, complete=True)
    learnt = given["split"].isin(["train", "val"]).to_numpy()
    for first, second in zip(labels(given, names, True)[1:], labels(other, names, True)[1:], strict=True):
        assert np.array_equal(first[learnt], second[learnt])


def test_a_set_that_shows_nothing_says_so():
    assert learnable(table(["NORMAL", ""]), complete=True) == ([], "no radiograph shows anything but NORMAL")
