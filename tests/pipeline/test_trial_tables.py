"""The tables of the trial have what the stage found."""

import pytest

from cxr.foundation.errors import UserError
from cxr.foundation.files import write_table
from cxr.trial.analysis import COLUMNS
from cxr.trial.protocol import FINDINGS
from cxr.trial.report import verdict
from tools import trial_tables


def row(what, observer="hotelling", finding="nodule", people="all", dose=1, pixel=0.3, view="edsr", of="", value=0.0, **ends):
    named = what, observer, finding, people, dose, pixel, view, of, value, ends.get("low"), ends.get("high"), ends.get("p")
    return dict(zip(COLUMNS, named, strict=True))


ROWS = [
    row("auc", value=0.8123, low=0.7, high=0.9),
    row("auc", people="adults", value=0.1),
    row("auc", observer="network", value=0.6),
    row("difference", of="bicubic", value=0.0123, low=0.0044, high=0.0201),
    row("difference", of="original", value=-0.5),
    row("difference", of="bicubic", people="children", value=-0.02, low=-0.03, high=-0.01),
    row("detectable", of="bicubic", value=0.0111),
    row("recovered", value=0.25, low=0.1, high=0.4),
    row("dose", value=None, of="above"),
    row("pixel", value=0.2123, low=0.2, high=0.25),
    row("difference", dose=4, of="bicubic", value=0.03),
    row("gate", observer="", finding="", people="", dose="", pixel="", view="order", of="because", value=1),
    row("spectrum", observer="", finding="", people="adults", view="original", of="0.1 per mm", value=-2.96),
    row("spectrum", observer="", finding="", people="adults", view="original", of="0.2 per mm", value=1.04),
    row("spectrum", observer="", finding="", people="children", view="original", of="0.1 per mm", value=5.0),
]


@pytest.fixture
def made(tmp_path):
    write_table(tmp_path / "trial.csv", ROWS)
    return trial_tables.tables(tmp_path)


def line(lines: list[str], first: str) -> list[str]:
    """The cells of the line that begins so."""
    found = [cells for cells in ([cell.strip() for cell in each.strip("|").split("|")] for each in lines) if cells[0] == first]
    assert len(found) == 1
    return found[0]


def test_areas_are_of_all_people_at_the_usual_setting_by_the_observer_that_is_named(made):
    lines = made["trial_areas"]("trial", "hotelling")
    assert line(lines, "EDSR")[1:] == ["0.812 [0.700, 0.900]"] + ["-"] * (len(FINDINGS) - 1)
    assert line(made["trial_areas"]("trial", "network"), "EDSR")[1] == "0.600"


def test_gains_say_first_what_would_be_found(made):
    lines = made["trial_gains"]("trial", "hotelling")
    assert "0.011" in lines[2]
    assert line(lines, "EDSR")[1] == "+0.012 [+0.004, +0.021] better"


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.001, 0.1, "better"),
        (-0.01, 0.03, "no worse"),
        (-0.015, -0.001, "worse, within the margin"),
        (-0.03, -0.001, "worse"),
        (-0.03, 0.01, "not told"),
        (None, None, "not told"),
        ("", "", "not told"),
    ],
)
def test_a_verdict_is_what_the_interval_says_of_the_margin(low, high, told):
    assert verdict({"low": low, "high": high}, 0.02) == told


def test_settings_and_people_stand_apart(made):
    assert line(made["trial_settings"]("trial", "edsr"), "dose 4, 0.3 mm")[1] == "+0.030"
    assert line(made["trial_people"]("trial", "edsr"), "children")[1] == "-0.020 [-0.030, -0.010]"


def test_what_prevents_an_equivalent_is_said(made):
    found = made["trial_worth"]("trial")
    assert any("0.25 [0.10, 0.40] | above | 0.21 [0.20, 0.25]" in each for each in found)


def test_shares_are_of_the_observer_that_is_named(made):
    assert line(made["trial_recovered"]("trial", "hotelling"), "EDSR")[1] == "0.25 [0.10, 0.40]"


def test_gates_and_spectrum_are_told(made):
    assert line(made["trial_gates"]("trial"), "order")[1:] == ["yes", "because"]
    assert line(made["trial_spectrum"]("trial"), "adults")[1:] == ["-3.0", "+1.0"]


def test_a_missing_csv_says_what_writes_it(tmp_path):
    with pytest.raises(UserError, match=r"dvc repro trial/dvc\.yaml"):
        trial_tables.tables(tmp_path)["trial_gates"]("trial")
