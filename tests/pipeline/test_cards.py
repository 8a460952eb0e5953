"""The cards of the bundled networks."""

import csv
from dataclasses import replace

import pytest
from ruamel.yaml import YAML

from cxr.foundation.errors import UserError
from cxr.foundation.place import ROOT
from cxr.superres.limits import COLUMNS
from cxr.superres.model import load_model
from tools import cards
from tools.cards import card, entry

BUNDLED = sorted(path.stem for path in (ROOT / "pretrained").glob("*.safetensors"))


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_network_has_its_card(name):
    path = ROOT / f"docs/cards/{name}.md"
    assert path.read_text() == card(load_model(ROOT / f"pretrained/{name}.safetensors"))
    _, head, text = path.read_text().split("---\n", 2)
    assert YAML(typ="safe").load(head)["license"] == "apache-2.0"
    assert "**It is not a medical device**" in text
    assert "451 radiographs of 342 patients" in text


@pytest.fixture(params=[1, 0], ids=["twins", "no twins"])
def findings(request) -> int:
    return request.param


@pytest.fixture
def model(tmp_path, monkeypatch, findings):
    """Return a bundled network, of which conditions and limits are known."""
    found = load_model(ROOT / "pretrained/srcnn.safetensors")
    columns = ("digest", "condition", "scale", "images", "patients", "gain", "low", "high", "worse")
    with (tmp_path / "conditions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for scale in (2, 3):
            writer.writerow([found.digest, "clean", scale, 57, 43, "1.234", "1.1", "1.3", "0"])
        writer.writerow([found.digest, "noise5", 2, 57, 43, "-0.5", "-0.6", "-0.4", "0.105"])
        writer.writerow(["another", "jpeg75", 2, 57, 43, "9", "9", "9", "0"])
    with (tmp_path / "limits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerow(["srcnn", found.digest, 2, "clean", 0, 0, 0, 1, "", findings])
        writer.writerow(
            ["srcnn", found.digest, 2, "noise5", 5, 5, 0, 0, "in noise5 it gains -0.50 dB over bicubic interpolation", findings]
        )
    monkeypatch.setattr(cards, "CONDITIONS", [tmp_path / "conditions.csv", tmp_path / "none.csv"])
    monkeypatch.setattr(cards, "LIMITS", tmp_path / "limits.csv")
    return found


def test_figures_and_harm_are_those_of_the_networks_own_file(model, findings):
    text = card(model)
    assert "| condition | x2 | x3 |" in text
    assert "| clean | +1.23 [+1.10, +1.30], 0% | +1.23 [+1.10, +1.30], 0% |" in text
    assert "| noise5 | -0.50 [-0.60, -0.40], 11% | - |" in text
    assert "jpeg75" not in text
    assert "- x2, noise5: strength 0 at most; in noise5 it gains -0.50 dB over bicubic interpolation" in text
    assert "x2, clean: strength" not in text
    assert ("small findings was not measured" in text) != findings
    assert ("On phantom twins" in text) == findings


def test_what_it_learnt_from_is_said(model):
    ranges = {"clean": 0.3, "blur": 1.2, "noise": 6.0, "quanta": [1000.0, 20000.0], "grain": 0.7, "jpeg": [60, 95]}
    text = card(replace(model, described={**model.described, "ranges": ranges, "noise": [0, 6]}))
    assert "blind: 30% of the copies are only reduced; others have, each by chance, blur up to 1.2 pixels" in text
    told = "1,000 to 20,000 quanta at white, correlated by a Gaussian of up to 0.7 pixels, and JPEG of quality 60 to 95"
    assert f"noise of up to 6 grey levels or of {told}" in text
    assert "from copies with noise of 5 grey levels" in card(replace(model, described={**model.described, "noise": [0, 5]}))


def test_a_network_of_unknown_radiographs_is_refused(model):
    unknown = replace(model, described={**model.described, "data": {"train": "0" * 64}})
    with pytest.raises(UserError, match="nothing of the pixels 000000000000 of SRCNN"):
        card(unknown)


def test_an_entry_counts_findings_views_and_ages(finished):
    found = YAML(typ="safe").load(entry(finished))
    ((digest, said),) = found.items()
    assert len(digest) == 64
    assert said["told"][0].split()[1:3] == ["radiographs", "of"]
    assert "views: " in said["told"][1]
    assert " below 16 years, " in said["told"][2]
