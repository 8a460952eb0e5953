import csv
from collections import Counter

import numpy as np
import pytest

from benchmarks import coverage
from benchmarks.coverage import COLUMNS, FEW, LEAST, MOST, SLACK, Case, cases, gains, simulated
from cxr.measures.intervals import Estimate
from tests.support.tiny import ROOT

TIMES = 2000


def committed() -> list[dict[str, str]]:
    with (ROOT / "benchmarks/results/coverage.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_committed_table_is_of_all_cases_in_order():
    rows = committed()
    assert list(rows[0]) == list(COLUMNS)
    assert [(row["quantity"], row["size"], row["setting"], float(row["truth"])) for row in rows] == [
        case[:4] for case in cases()
    ]


def test_no_interval_that_is_printed_falls_short():
    for row in committed():
        told = float(row["told"])
        if told < FEW:
            assert row["verdict"] == "too few"
            continue
        covered = float(row["covered"])
        slack = SLACK * np.sqrt(LEAST * (1 - LEAST) / (told * TIMES))
        assert covered >= LEAST - slack - 5e-4
        assert row["verdict"] == ("conservative" if covered > MOST else "covers") or covered == pytest.approx(MOST, abs=5e-4)


def case(covering: float, told: float = 1.0) -> Case:
    """Return a case whose intervals are told in a share of the sets, of which a share holds the truth 1."""

    def draw(random: np.random.Generator) -> Estimate:
        if random.random() >= told:
            return Estimate(1)
        return Estimate(1, 0.5, 1.5, 0.01) if random.random() < covering else Estimate(2, 1.5, 2.5, 0.01)

    return Case("mean gain", "some", "", 1, draw)


@pytest.mark.parametrize(
    ("covering", "told", "verdict"),
    [
        (0.95, 1, "covers"),
        (0.99, 1, "conservative"),
        (0.9, 1, "falls short"),
        (0.5, 0.001, "too few"),
        (0.8, 0.1, "falls short"),
    ],
)
def test_the_verdict_is_of_the_intervals_that_are_told(covering, told, verdict):
    row = simulated(case(covering, told), 3000, (0, 0))
    assert row["verdict"] == verdict
    assert float(row["told"]) == pytest.approx(told, abs=0.02)
    if verdict != "too few":
        assert float(row["covered"]) == pytest.approx(covering, abs=0.06)
        assert float(row["found"]) == float(row["told"])


def test_a_row_that_falls_short_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(coverage, "cases", lambda: iter([case(0.95), case(0.8)]))
    monkeypatch.setattr("sys.argv", ["coverage", "--times", "500"])
    with pytest.raises(coverage.UserError, match="1 of 2 kinds of interval fall short"):
        coverage.main()
    assert "verdict covers" in capsys.readouterr().out


@pytest.mark.parametrize("skew", [-1.0, 0.0, 1.0])
def test_gains_are_skewed_as_the_table_says(skew):
    random = np.random.default_rng(0)
    values = np.concatenate([gains(200, skew, random)[0] for _ in range(300)])
    assert values.mean() == pytest.approx(0, abs=0.02)
    assert values.std() == pytest.approx(1, abs=0.02)
    assert ((values - values.mean()) ** 3).mean() == pytest.approx(skew, abs=0.15)


def test_mixed_cases_have_patients_in_both_classes():
    found = coverage.design(60, 40, np.random.default_rng(0), mixed=True)
    assert Counter(found.labels.tolist()) == {True: 60, False: 40}
    assert set(found.patients[found.labels]) & set(found.patients[~found.labels])
    apart = coverage.design(60, 40, np.random.default_rng(0))
    assert not set(apart.patients[apart.labels]) & set(apart.patients[~apart.labels])
