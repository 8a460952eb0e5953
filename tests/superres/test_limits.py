"""Where a network may be used: the file of limits, and how it is made of what was measured."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cxr.foundation.errors import UserError
from cxr.foundation.files import write_table
from cxr.foundation.place import ROOT
from cxr.superres.estimation.arrival import Arrival
from cxr.superres.estimation.noise import Noise
from cxr.superres.limits import COLUMNS, Limit, limit
from cxr.superres.settings import Condition
from tools import limits as tool

KNOWN = {
    "clean": Condition(),
    "noise1": Condition(noise=1.0),
    "noise2": Condition(noise=2.0),
    "noise5": Condition(noise=5.0),
    "grain5": Condition(noise=5.0, grain=0.7),
    "quanta2000": Condition(quanta=2000.0),
    "jpeg90": Condition(jpeg=90),
    "jpeg75": Condition(jpeg=75),
    "mixed": Condition(noise=2.0, jpeg=90),
    "blur1": Condition(blur=1.0),
}
LINE = Limit(0.7, "a line", known=True)
BEYOND = Limit(0.0, "its noise is beyond the 5.0 grey levels that EDSR was measured with", known=True)
COARSE = Limit(0.0, "its noise is coarser than any that EDSR was measured with", known=True)
UNTOLD = Limit(0.0, "whether EDSR may be used cannot be told", known=True)
CAPS = {
    "noise1": (0.9, "little noise"),
    "noise5": (0.5, "a nodule"),
    "grain5": (0.7, "a line"),
    "jpeg75": (0.0, "it is worse"),
    "mixed": (0.1, "hidden noise"),
}


@pytest.fixture
def model(tmp_path):
    rows = [
        ["edsr", "0123", 2, name, *tool.found_of(each.at(2, name)), each.jpeg, *CAPS.get(name, (1.0, "")), 1]
        for name, each in KNOWN.items()
    ]
    rows.append(["edsr", "other", 2, "clean", "0", "0", 0, 0.0, "another network's", 1])
    write_table(tmp_path / "limits.csv", [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    return SimpleNamespace(name="edsr", digest="0123", path=tmp_path / "edsr.safetensors")


def came(level: float = 0.0, quality: int | None = None, rough: float | None = None) -> Arrival:
    return Arrival(Noise(level**2, 0.0, level if rough is None else rough), quality, by_file=False)


@pytest.mark.parametrize(
    ("arrival", "expected"),
    [
        (came(0.5), Limit(1.0, "", known=True)),
        (came(2.1), Limit(1.0, "", known=True)),
        (came(3.9), Limit(1.0, "", known=True)),  # quanta2000 has 4.0 at the middle of the range
        (came(4.9), Limit(0.5, "a nodule", known=True)),
        (came(6.0), Limit(0.5, "a nodule", known=True)),
        (came(6.1), BEYOND),
        (came(0.9, rough=4.5), LINE),  # as correlated noise is found
        (came(0.5, rough=4.5), LINE),
        (came(1.5, rough=2.5), Limit(1.0, "", known=True)),
        (came(3.3, rough=15.0), COARSE),
        (came(0.3, rough=11.0), COARSE),
        (came(0, 95), Limit(0.1, "hidden noise", known=True)),
        (came(0, 86), Limit(0.1, "hidden noise", known=True)),
        (came(0, 84), Limit(0.0, "it is worse", known=True)),
        (came(0, 69), Limit(0.0, "its JPEG quality is below the 75 that EDSR was measured with", known=True)),
        (came(5.0, 90), Limit(0.1, "hidden noise", known=True)),
        (came()._replace(lossy=True), Limit(0.1, "hidden noise", known=True)),
        (came()._replace(shows=True), Limit(0.0, "it is worse", known=True)),
        (
            came()._replace(jagged=True),
            Limit(0.0, "it may do harm: EDSR was not measured with steps in edges", known=True, findings=False),
        ),
        (came()._replace(noise=None), UNTOLD),
        (came()._replace(flaw="stripes"), Limit(0.0, "EDSR was not measured with stripes", known=True)),
        (came(30.0)._replace(flaw="dots"), BEYOND),
        (came(0.8), Limit(0.9, "little noise", known=True)),
        (came(1.3), Limit(1.0, "", known=True)),
    ],
)
def test_the_mildest_condition_that_covers_what_came_in_counts(model, arrival, expected):
    assert limit(model, 2, arrival) == expected


def test_what_may_be_as_noisy_counts_too(model):
    assert limit(model, 2, came(4.3)).cap == 0.5  # quanta2000 covers it, and noise5 is as near
    assert limit(model, 2, came(3.9)).cap == 1.0


def test_noise_that_weighs_more_in_little_contrast_says_so(model):
    found = limit(model, 2, came(4.0)._replace(contrast=0.5))
    assert found == BEYOND._replace(
        why="it uses so little of its range that it may have more noise than EDSR was measured with"
    )
    assert limit(model, 2, came(20.0)._replace(contrast=0.9)) == BEYOND  # so it would be in any range


def test_where_small_findings_were_not_looked_for_it_is_said(model):
    path = model.path.with_name("limits.csv")
    rows = tool.read(path)
    write_table(path, [{**row, "findings": int(row["condition"] != "jpeg90")} for row in rows])
    found = limit(model, 2, came(0, 90))
    assert found.findings is False
    assert found.unknown(came(0, 90), "EDSR") == "; what EDSR does to small findings there was not measured"
    assert limit(model, 2, came(0)).unknown(came(0), "EDSR") == ""


def test_what_was_not_measured_has_no_limits(model, tmp_path):
    assert limit(model, 3, came(50)) == Limit(1.0, "", known=False)
    assert limit(SimpleNamespace(name="edsr", digest="9", path=model.path), 2, came(50)).known is False
    assert limit(SimpleNamespace(name="edsr", digest="0123", path=None), 2, came(50)).known is False
    assert limit(SimpleNamespace(name="edsr", digest="0123", path=tmp_path / "a" / "b"), 2, came(50)).known is False


def test_a_damaged_file_of_limits_is_refused(model):
    path = model.path.with_name("limits.csv")
    text = path.read_text()
    for damaged, reason in ((text.replace(",0.5,", ",1.5,"), r"a cap of 1\.5"), (text[: text.index("edsr,0123,2") + 11], "")):
        path.write_text(damaged)
        with pytest.raises(UserError, match=rf"limits\.csv is damaged \(.*{reason}.*\); restore it, or make it anew"):
            limit(model, 2, came())


def measured(condition: str, gain: float = 1.0, low: float = 0.8, worse: float = 0.0) -> dict[str, str]:
    named = {"network": "edsr", "digest": "0123", "condition": condition, "scale": "2"}
    return {**named, "images": "100", "gain": str(gain), "low": str(low), "high": str(2 * gain - low), "worse": str(worse)}


def twin(condition: str, cap: float, seen: int = 1) -> dict[str, str]:
    named = {"network": "edsr", "digest": "0123", "condition": condition, "scale": "2"}
    return {**named, "kind": "nodule", "size": "3", "contrast": "4", "seen": str(seen), "cap": str(cap)}


def test_caps_are_the_least_of_what_was_measured():
    quality = [
        measured("clean"),
        measured("noise2", 0.1, -0.01),
        measured("noise5", worse=0.03),
        measured("jpeg90"),
        measured("native", -1.5, -1.8),
    ]
    twins = [twin("clean", 1), *(twin("jpeg90", cap) for cap in (1, 0.5, 0.75))]
    made = tool.limits(quality, [*twins, twin("clean", 0, seen=0)], KNOWN)
    assert [row["condition"] for row in made] == ["clean", "noise2", "noise5", "jpeg90", "native"]
    assert [row["cap"] for row in made] == ["1", "0", "0", "0.5", "0"]
    assert (made[4]["noise"], made[4]["rough"], made[4]["jpeg"]) == ("0", "0", 0)
    assert (made[1]["noise"], made[1]["rough"]) == ("2", "2")
    assert made[1]["why"] == "what it gains over bicubic interpolation may be nothing with detector noise of 2 grey levels"
    assert made[2]["why"] == "it makes 3% of images worse than bicubic interpolation with detector noise of 5 grey levels"
    assert made[3]["why"] == "it harms small findings, such as nodules of 3 pixels and 4 grey levels, with JPEG of quality 90"
    assert made[4]["why"] == "it is 1.50 dB worse than bicubic interpolation in native radiographs"
    assert [row["findings"] for row in made] == [1, 0, 0, 1, 1]
    alone = tool.limits(quality, [], KNOWN)
    assert [row["cap"] for row in alone] == ["1", "0", "0", "1", "0"]
    assert [row["findings"] for row in alone] == [0, 0, 0, 0, 1]
    (partly,) = tool.limits([measured("jpeg75")], twins, KNOWN)
    assert (partly["cap"], partly["findings"]) == ("1", 0)
    with pytest.raises(UserError, match=r"jpeg60 is none of the conditions of params\.yaml"):
        tool.limits([measured("jpeg60")], twins, KNOWN)


def test_the_limits_of_bundled_networks_are_those_of_what_was_measured():
    committed = tool.read(ROOT / "pretrained/limits.csv")
    assert [{name: str(value) for name, value in row.items()} for row in tool.made()] == committed


def test_a_file_that_is_missing_is_named():
    with pytest.raises(UserError, match=r"nowhere\.csv is no file"):
        tool.read(Path("nowhere.csv"))
