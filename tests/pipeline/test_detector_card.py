"""The card of a detector."""

import csv
import json
import re
import shutil

import pytest

from cxr.foundation.errors import UserError
from stages import detect, evaluate, split, train_detector
from tests.support.tiny import ROOT, TINY, write_params
from tools import detector_card, kept
from tools.claim import HEADINGS, NOT_SAID, SECTIONS
from tools.detector_card import bundled, card, of_workspace, said_in

ITEM = re.compile(r"^\*\*(\d+)\. .*\.\*\*\n+(.*)", re.MULTILINE)
RESULTS = ROOT / "benchmarks/results"


def rows_of(name):
    with (RESULTS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def workspace(finished, tmp_path_factory):
    """A workspace with a detector of phantoms, and half of its test radiographs as if they were of another source."""
    made = tmp_path_factory.mktemp("card") / "workspace"
    shutil.copytree(finished, made)
    write_params(made, TINY, {"split": {"train": 0.4, "val": 0.3, "test": 0.3}})
    for stage in (split, evaluate, train_detector, detect):
        stage.run(made)
    return made


def test_the_committed_card_is_of_the_kept_figures():
    text = (ROOT / "docs/cards/detector.md").read_text()
    assert text == bundled()
    for row in rows_of("kermany_detection"):
        if row["what"] == "area" and row["of"] == "original":
            assert f"AUC {float(row['value']):.3f} [{float(row['low']):.3f}, {float(row['high']):.3f}]; thumbnail alone" in text
    for row in rows_of("kermany_unusual"):
        assert f"| {row['kind']} | {row['images']} | " in text
    for row in rows_of("kermany_sets"):
        assert f"| {row['images']} | {float(row['held']):.1%} | " in text
    hits = {row["of"]: float(row["value"]) for row in rows_of("kermany_heat_maps")}
    assert f"| {hits['chance']:.3f} | {hits['correlation']:.2f} |" in text
    assert hits["hit"] < hits["chance"] < hits["one place"]  # as the card's verdict on heat maps has it
    assert "PNEUMONIA, test: of 42 with it 5 are missed; of 15 without it 0 are called ill." in text  # .881 and 1
    assert "451 radiographs of 342 patients" in text
    assert "**It is not shown to tell more on another source than the best shortcut, such as a tiny thumbnail.**" in text


def test_every_item_is_answered_or_said_to_be_unknown():
    assert list(HEADINGS) == list(range(1, 45))
    assert [number for numbers in SECTIONS.values() for number in numbers] == list(HEADINGS)
    found = {int(number): first for number, first in ITEM.findall(bundled())}
    assert list(found) == list(HEADINGS)
    assert all(found.values())


def test_a_detector_of_a_workspace_is_described_by_its_files(workspace):
    known = of_workspace(workspace)
    text = card(known, {7: ["Drawn."], 34: ["Not registered."]})
    found = {int(number): first for number, first in ITEM.findall(text)}
    assert (found[7], found[34], found[16]) == ("Drawn.", "Not registered.", NOT_SAID)
    measured = json.loads((workspace / "metrics/detect.json").read_text())
    assert measured["made_with"][0]["detector"] in text
    assert "It learnt from phantoms alone" in text
    assert "2 epochs, in batches of 4." in text
    assert "reduced to 64 rows and columns" in text
    (pneumonia,) = [each for each in measured["measured"] if each["finding"] == "PNEUMONIA"]
    heat = pneumonia["heat_map"]
    assert f"PNEUMONIA, test: heat maps are greatest in a box in {heat['hit']['value']:.3f}" in text
    assert f"by chance {heat['chance']:.3f}." in text
    assert f"it refuses {pneumonia['abstaining']['unusual']:.1%} as unlike" in text
    assert "It was not tested on another source." in text
    assert "- val: " in text
    assert "- external: " not in text


def test_a_workspace_that_lacks_a_detector_or_has_figures_of_another_is_refused(workspace, finished, tmp_path):
    with pytest.raises(UserError, match="holds no network, since no finding could be learnt; there is nothing to describe"):
        of_workspace(finished)
    other = shutil.copytree(workspace, tmp_path / "other")
    metrics = json.loads((other / "metrics/detect.json").read_text())
    (other / "metrics/detect.json").write_text(json.dumps({**metrics, "made_with": [{"detector": "0"}]}))
    with pytest.raises(UserError, match=r"detect\.json is of another detector; run dvc repro"):
        of_workspace(other)


@pytest.mark.parametrize(
    ("low", "verdict"),
    [
        ("0.8", "the interval of its area lies above the areas of all shortcuts"),
        ("0.6", "It is not shown"),
        ("", "It is not shown"),
    ],
)
def test_what_is_shown_outside_hangs_on_the_interval(workspace, low, verdict):
    base = {"finding": "A", "group": "external", "degradation": "", "high": "", "detectable": ""}
    outside = [
        {**base, "what": "area", "of": "original", "value": "0.9", "low": low, "high": "0.95" if low else ""},
        {**base, "what": "shortcut", "of": "sharpness", "value": "0.7", "low": ""},
        *({**base, "what": "count", "of": name, "value": "40", "low": ""} for name in ("images", "patients", "positives")),
    ]
    assert verdict in card(of_workspace(workspace)._replace(rows=outside), {})


@pytest.mark.parametrize("items", ["{45: [a]}", "{7: a}", "{7: [3]}", "{a: [b]}"])
def test_what_is_said_must_be_of_an_item(tmp_path, items):
    (tmp_path / "a.yaml").write_text(f"items: {items}\n")
    with pytest.raises(UserError, match=r"expected a number from 1 to 44, and a list of sentences"):
        said_in(tmp_path / "a.yaml")


def test_the_command_writes_where_it_is_told(workspace, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["", str(workspace), "--study", str(detector_card.STUDY), "-o", str(tmp_path / "card.md")])
    detector_card.main()
    text = (tmp_path / "card.md").read_text()
    assert "two physicians graded each radiograph" in text
    monkeypatch.setattr("sys.argv", ["", str(workspace)])
    detector_card.main()
    assert capsys.readouterr().out.startswith("# Card of a detector\n")


def test_what_a_card_needs_is_kept(workspace, tmp_path):
    kept.keep(workspace, "seen", tmp_path, kept.DETECTION)
    with (tmp_path / "seen.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["finding"] == "PNEUMONIA"]
    record = next(
        each
        for each in json.loads((workspace / "metrics/detect.json").read_text())["measured"]
        if each["finding"] == "PNEUMONIA"
    )
    heat = {row["of"]: row for row in rows if row["what"] == "heat map"}
    assert float(heat["hit"]["value"]) == record["heat_map"]["hit"]["value"]
    assert float(heat["chance"]["value"]) == record["heat_map"]["chance"]
    sets = {row["of"]: row["value"] for row in rows if row["what"] == "sets"}
    assert float(sets["not_known"]) == record["abstaining"]["not_known"]
    assert [row["of"] for row in rows if row["what"] == "ratio"] == ["not seen", "seen", "not known"]
