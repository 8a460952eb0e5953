"""Which images are used when there are more than wanted."""

import random

import pandas as pd
import pytest

from cxr.dataset.choice import choose


def patients(seed, classes=(("A", 30), ("B", 90)), largest=6):
    """Return a shuffled table of so many patients by class, each with 1 to `largest` images."""
    dice = random.Random(seed)
    rows = [(name, f"{name}{n}") for name, count in classes for n in range(count) for _ in range(dice.randint(1, largest))]
    dice.shuffle(rows)
    return pd.DataFrame(rows, columns=["findings", "patient"])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [40, 101, 250])
def test_choose_fills_the_limit_with_whole_patients_in_proportion(seed, limit):
    table = patients(seed)
    chosen = choose(table, limit, seed)
    assert len(chosen) == limit  # with single images about, whole patients can fill any limit
    assert chosen == sorted(set(chosen))
    taken = table.iloc[chosen]
    sizes = table["patient"].value_counts()
    assert taken["patient"].value_counts().to_dict() == sizes[taken["patient"].unique()].to_dict()
    share = (table["findings"] == "A").mean()
    assert abs((taken["findings"] == "A").sum() - share * limit) <= 2 * 6  # within two of the largest patients


def test_choose_follows_the_seed():
    table = patients(0)
    assert choose(table, 50, 1) == choose(table, 50, 1)
    assert choose(table, 50, 1) != choose(table, 50, 2)
    assert choose(table, len(table), 1) == list(range(len(table)))


@pytest.mark.parametrize(
    ("sizes", "limit", "most"),
    [
        ({"a": 4, "b": 4}, 7, 4),
        ({"a": 4, "b": 4}, 3, 0),
        ({"a": 3, "b": 5, "c": 7}, 8, 8),
        ({"a": 3, "b": 5, "c": 7}, 10, 10),
        ({"a": 3, "b": 5, "c": 7}, 11, 10),
    ],
)
def test_choose_comes_as_near_to_the_limit_as_whole_patients_allow(sizes, limit, most):
    table = pd.DataFrame([("A", name) for name, size in sizes.items() for _ in range(size)], columns=["findings", "patient"])
    # The smallest patient always counts as the class's one patient, which 3 + 7 and 3 + 5 contain.
    assert len(choose(table, limit, 0)) == most


def test_choose_keeps_a_patient_of_every_class_where_that_fits():
    rows = [("A", f"a{n}") for n in range(50)] + [("B", "b1")] * 3 + [("B", "b2")] * 2
    table = pd.DataFrame(rows, columns=["findings", "patient"])
    for seed in range(5):
        assert set(table.iloc[choose(table, 3, seed)]["findings"]) == {"A", "B"}
        assert table.iloc[choose(table, 1, seed)]["findings"].tolist() == ["A"]
