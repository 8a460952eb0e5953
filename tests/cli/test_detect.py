"""The command that says what a detector sees."""

import errno
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cxr.api import Evidence, detect, explain, load_detector
from cxr.cli.detect import lines, main
from cxr.dataset.packed import Frame
from cxr.detection import detector
from cxr.detection.abstaining import Sets, usual
from cxr.detection.frames import levels, seen
from cxr.detection.networks.backbones import backbone
from cxr.foundation.errors import RefusedError, UserError
from cxr.sources.phantom.pictures import write_png
from cxr.sources.phantom.scene import draw
from tests.support.dicom_files import dataset, save

SIZE = 64


def reduced(number):
    """Return a phantom, drawn large and reduced."""
    return draw(0, number, 256, 8).pixels[::2, ::2].copy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with phantoms, and a detector that nobody trained, to which all is usual, with evidence beside it."""
    made = tmp_path_factory.mktemp("detector")
    torch.manual_seed(0)
    network = detector.Network(backbone("compact", SIZE), 2).eval()
    squares = torch.cat([seen(levels(Frame(reduced(number))), SIZE) for number in range(40)])
    with torch.no_grad():
        features, logits = network.body.described(squares).numpy(), network(squares).double().numpy()
    middle = float(np.median(logits[:6, 1]))
    said = {"network": "compact", "size": SIZE, "findings": ["NODULE", "PNEUMONIA"], "phantoms": False}
    said["thresholds"] = {"NODULE": 0.0, "PNEUMONIA": middle}
    held = {"NODULE": Sets(-math.inf, math.inf), "PNEUMONIA": Sets(middle, middle)}
    spread = usual(features, features)._replace(farthest=1e3)
    detector.write(made / "detector.safetensors", network.state_dict(), held, spread, said)
    evidence(made, made / "detect.json", record("NODULE"), record("PNEUMONIA"))
    for number in range(6):
        write_png(made / f"{number}.png", reduced(number), 8)
    return made


def record(finding, low=0.8, group="external"):
    """Return what was measured of a finding."""
    ratios = [
        {"answer": "seen", "value": 4.0, "low": 3.0, "high": 5.0},
        {"answer": "not seen", "value": 0.25, "low": None, "high": None},
        {"answer": "not known", "value": 1.0, "low": 0.5, "high": 2.0},
    ]
    return {
        "finding": finding,
        "group": group,
        "answered": {
            "area": {"value": 0.9, "low": low, "high": 0.95},
            "ratios": ratios,
            "shortcuts": [{"measure": "sharpness", "value": 0.7}, {"measure": "native_size", "value": 0.6}],
        },
    }


POINTING = {
    "images": 40,
    "hit": {"value": 0.4, "low": 0.25, "high": 0.567},
    "randomised": {"value": 0.05, "low": 0.006, "high": 0.17},
    "chance": 0.08,
    "correlation": 0.1,
}


def evidence(folder, path, *records):
    digest = load_detector(folder / "detector.safetensors").digest
    path.write_text(json.dumps({"measured": records, "made_with": [{"detector": digest}]}))
    return path


def run(folder, *arguments):
    main([*map(str, arguments), "--model", str(folder / "detector.safetensors")])


def pictures(folder):
    return [folder / f"{number}.png" for number in range(6)]


def test_each_finding_is_seen_or_not_or_not_known_and_nothing_is_a_bare_probability(folder, capsys):
    run(folder, *pictures(folder))
    *said, last = capsys.readouterr().out.splitlines()
    assert len(said) == 12
    assert {line.split(": ")[1] for line in said if "NODULE" in line} == {"NODULE not known"}
    told = {line.split(": ")[1] for line in said if "PNEUMONIA" in line}
    assert told - {"PNEUMONIA not known"} == {
        "PNEUMONIA seen, likelihood ratio 4.00 [3.00, 5.00] on another source",
        "PNEUMONIA not seen",
    }
    assert last == "For research, not for diagnosis."
    assert "%" not in "".join(said)


def test_a_probability_is_told_for_a_prevalence_alone(folder, capsys):
    run(folder, *pictures(folder), "--prevalence", "0.2")
    said = [line for line in capsys.readouterr().out.splitlines() if "PNEUMONIA seen" in line]
    assert {line.partition("; ")[2] for line in said} == {"of 20.0% before, 50.0% [42.9%, 55.6%] after"}
    with pytest.raises(UserError, match="--prevalence is 1; expected a share above 0 and below 1"):
        run(folder, folder / "0.png", "--prevalence", "1")


def test_a_picture_that_is_unlike_all_is_refused(folder, tmp_path):
    known = load_detector(folder / "detector.safetensors")
    near = known._replace(usual=known.usual._replace(farthest=1.5))
    found = Evidence.of(folder / "detect.json", near)
    assert detect(folder / "0.png", near, found).told
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70), np.uint8)).save(tmp_path / "noise.png")
    with pytest.raises(RefusedError, match=r"unlike the radiographs that the detector knows \(distance .*; nothing is told"):
        detect(tmp_path / "noise.png", near, found)


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([record("NODULE"), record("PNEUMONIA", low=0.69)], r"AUC is 0.900 \(from 0.690\), that of sharpness alone 0.700"),
        ([record("NODULE"), record("PNEUMONIA", low=None)], r"AUC is 0.900 \(no interval\), that of sharpness alone"),
        ([record("NODULE"), record("PNEUMONIA", group="test")], "was not tested for PNEUMONIA on radiographs of another"),
        ([record("PNEUMONIA")], "was not tested for NODULE on radiographs of another source"),
    ],
)
def test_a_detector_that_is_no_better_outside_than_shortcuts_is_used_on_request_alone(
    folder, tmp_path, capsys, records, reason
):
    path = evidence(folder, tmp_path / "evidence.json", *records)
    with pytest.raises(RefusedError, match=f"the detector may see no disease: .*{reason}.*; --even-so uses it"):
        run(folder, folder / "0.png", "--evidence", path)
    run(folder, folder / "0.png", "--evidence", path, "--even-so")
    assert "used even so: " in capsys.readouterr().out


def test_without_evidence_nothing_is_told(folder, tmp_path):
    (tmp_path / "detector.safetensors").write_bytes((folder / "detector.safetensors").read_bytes())
    with pytest.raises(RefusedError, match="was not tested for NODULE on radiographs of another source; it was not tested for"):
        run(tmp_path, folder / "0.png")
    with pytest.raises(UserError, match=r"none\.png: No such file"):
        run(tmp_path, tmp_path / "none.png")
    with pytest.raises(UserError, match=r"none\.json is missing; run the stage detect"):
        run(folder, folder / "0.png", "--evidence", tmp_path / "none.json")


FIRST = record("NODULE")


@pytest.mark.parametrize(
    "harm",
    [
        lambda _: [1],
        lambda said: {**said, "measured": 3},
        lambda said: {**said, "measured": ["a"]},
        lambda said: {**said, "made_with": {"a": 1}},
        lambda said: {**said, "measured": [{**FIRST, "answered": {"area": 1}}]},
        lambda said: {**said, "measured": [{name: FIRST[name] for name in ("finding", "answered")}]},
        lambda said: {**said, "measured": [{**FIRST, "answered": {**FIRST["answered"], "shortcuts": []}}]},
    ],
)
def test_damaged_evidence_is_one_line(folder, tmp_path, harm):
    said = json.loads((folder / "detect.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(harm(said)))
    with pytest.raises(UserError, match=r"a\.json is not what the stage detect writes \(\w+\); run dvc repro, or name another"):
        run(folder, folder / "0.png", "--evidence", tmp_path / "a.json")


def test_where_all_of_another_source_is_unlike_it_is_doubted(folder, tmp_path):
    nothing = {"area": None, "ratios": [], "shortcuts": []}
    path = evidence(folder, tmp_path / "a.json", record("NODULE"), {**record("PNEUMONIA"), "answered": nothing})
    with pytest.raises(RefusedError, match="for PNEUMONIA too few radiographs of another source are like those that it knows"):
        run(folder, folder / "0.png", "--evidence", path)


def test_evidence_of_another_detector_is_no_evidence(folder, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"measured": [record("NODULE")], "made_with": [{"detector": "0"}]}))
    with pytest.raises(UserError, match=r"other\.json is of another detector; run dvc repro"):
        run(folder, folder / "0.png", "--evidence", path)


def test_a_detector_of_phantoms_refuses_radiographs(folder, tmp_path, capsys):
    known = load_detector(folder / "detector.safetensors")
    path = tmp_path / "detector.safetensors"
    detector.write(path, known.network.state_dict(), known.sets, known.usual, {**known.description, "phantoms": True})
    stored = reduced(1).astype(np.uint16)
    radiograph = save(dataset(stored, PatientName="Doe^Jane"), tmp_path / "real.dcm")
    with pytest.raises(RefusedError, match="learnt from phantoms alone, and this does not say that it is one; nothing is told"):
        run(tmp_path, radiograph)
    run(tmp_path, save(dataset(stored, PatientName="SYNTHETIC^1"), tmp_path / "phantom.dcm"), folder / "0.png")
    assert "phantom.dcm: PNEUMONIA" in capsys.readouterr().out


def test_what_cannot_be_read_is_one_line_and_the_rest_is_told(folder, tmp_path, capsys):
    (tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM" + bytes(300))
    reason = r"2 files of which nothing is told:\n  .*broken\.dcm: no DICOM image\n  .*none\.png: No such file"
    with pytest.raises(UserError, match=reason):
        run(folder, tmp_path / "broken.dcm", folder / "0.png", tmp_path / "none.png")
    assert "0.png: PNEUMONIA" in capsys.readouterr().out


def test_a_file_without_a_network_is_told(tmp_path):
    detector.write_none(tmp_path / "detector.safetensors", {"findings": [], "network": "compact"})
    with pytest.raises(UserError, match="holds no network, since no finding could be learnt; train it on more radiographs"):
        run(tmp_path, tmp_path / "a.png")


def test_remarks_on_a_file_are_told(folder):
    known = load_detector(folder / "detector.safetensors")
    found = detect(folder / "0.png", known, Evidence.of(folder / "detect.json", known))
    assert lines(found._replace(remarks=("its depth was guessed",)))[-1] == "its depth was guessed"


def test_a_radiograph_smaller_than_what_the_detector_sees_is_told_to_be_enlarged(folder, tmp_path):
    known = load_detector(folder / "detector.safetensors")
    larger = known._replace(usual=known.usual._replace(farthest=np.inf))
    with Image.open(folder / "0.png") as picture:
        picture.resize((SIZE - 8, SIZE - 4)).save(tmp_path / "small.png")
    evidence = Evidence.of(folder / "detect.json", known)
    told = detect(tmp_path / "small.png", larger, evidence).remarks
    assert f"its {SIZE - 8} pixels, of the shorter side, were enlarged to the {SIZE} that the detector sees" in told
    assert not any("enlarged" in remark for remark in detect(folder / "0.png", larger, evidence).remarks)


def test_a_heat_map_of_each_file_of_which_anything_is_told_says_what_it_is_worth(folder, tmp_path, capsys):
    outside = {**record("PNEUMONIA"), "heat_map": POINTING}
    inside = {
        **record("PNEUMONIA", group="test"),
        "heat_map": {**POINTING, "hit": dict.fromkeys(("value", "low", "high"), 0.9)},
    }
    path = evidence(folder, tmp_path / "evidence.json", record("NODULE"), inside, outside)
    maps = tmp_path / "maps"
    (tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM" + bytes(300))
    with pytest.raises(UserError, match=r"broken\.dcm: no DICOM image"):
        run(folder, folder / "0.png", tmp_path / "broken.dcm", "--evidence", path, "--heat-map", maps)
    said = capsys.readouterr().out.splitlines()
    assert said[-3:] == [
        "whether heat maps of NODULE point to it was not measured",
        "heat maps of PNEUMONIA are greatest in a box of it in 40.0% (25.0% to 56.7%) of 40 patients of another source; "
        "random weights 5.0%, chance 8.0%",
        "For research, not for diagnosis.",
    ]
    assert [each.name for each in maps.iterdir()] == ["0.png.heat_map.png"]
    assert [each.stat().st_mode & 0o777 for each in (maps, maps / "0.png.heat_map.png")] == [0o700, 0o600]
    drawn = np.asarray(Image.open(maps / "0.png.heat_map.png").convert("RGB")).astype(int)
    assert (np.ptp(drawn, axis=2) > 30).mean() > 0.01  # in colours


def test_a_heat_map_replaces_no_file_unless_it_may(folder, tmp_path):
    given = [folder / "0.png", "--heat-map", tmp_path]
    run(folder, *given)
    target = tmp_path / "0.png.heat_map.png"
    first = target.read_bytes()
    target.write_text("mine")
    with pytest.raises(UserError, match=r"0\.png\.heat_map\.png is there already.*; --overwrite replaces what is there"):
        run(folder, *given)
    assert target.read_text() == "mine"
    run(folder, *given, "--overwrite")
    assert target.read_bytes() == first
    (tmp_path / "other").mkdir()
    (tmp_path / "other/0.png").write_bytes((folder / "0.png").read_bytes())
    with pytest.raises(UserError, match=r"would both become .*0\.png\.heat_map\.png; give them one by one"):
        run(folder, folder / "0.png", tmp_path / "other/0.png", "--heat-map", tmp_path / "new")
    with pytest.raises(UserError, match=r"0\.png is no folder; name a folder for heat maps"):
        run(folder, folder / "0.png", "--heat-map", tmp_path / "other/0.png")


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("{folder}/0.png/maps", r"0\.png is no folder; name a folder for heat maps"),
        pytest.param(
            "/proc/maps",
            "^/proc/maps: .+; name a folder for heat maps that can be written",
            marks=pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="of Linux"),
        ),
    ],
)
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_looked_at(folder, capsys, target, reason):
    with pytest.raises(UserError, match=reason):
        run(folder, folder / "0.png", "--heat-map", target.format(folder=folder))
    assert capsys.readouterr().out == ""


def test_a_map_that_cannot_be_drawn_is_told_apart_from_radiographs_and_the_answers_stand(folder, tmp_path, capsys, monkeypatch):
    def full(_figure, path):
        if path.name.startswith("1"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("cxr.cli.detect.save", full)
    files = [folder / "0.png", folder / "1.png"]
    with pytest.raises(UserError, match=r"^\S*/maps/1\.png\.heat_map\.png: No space left on device$") as raised:
        run(folder, *files, "--heat-map", tmp_path / "maps")
    assert not isinstance(raised.value, RefusedError)
    said = capsys.readouterr().out
    assert "0.png: PNEUMONIA" in said
    assert "1.png: PNEUMONIA" in said
    assert "whether heat maps of PNEUMONIA point to it was not measured" in said
    (tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM" + bytes(300))
    both = r"^\S*broken\.dcm: no DICOM image\n  \S*/maps/1\.png\.heat_map\.png: No space left on device$"
    with pytest.raises(UserError, match=both):
        run(folder, tmp_path / "broken.dcm", files[1], "--heat-map", tmp_path / "maps")


def test_signs_that_the_pictures_font_lacks_are_not_warned_of(folder, tmp_path, recwarn):
    path = tmp_path / "胸部 1.png"
    path.write_bytes((folder / "0.png").read_bytes())
    run(folder, path, "--heat-map", tmp_path / "maps")
    assert [each.name for each in (tmp_path / "maps").iterdir()] == ["胸部 1.png.heat_map.png"]
    assert [str(each.message) for each in recwarn] == []


def test_a_radiograph_that_is_refused_has_no_heat_map(folder, tmp_path):
    path = evidence(folder, tmp_path / "evidence.json", record("NODULE"))
    with pytest.raises(RefusedError, match="the detector may see no disease"):
        run(folder, folder / "0.png", "--evidence", path, "--heat-map", tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("harm", [{"images": 3}, {**POINTING, "hit": {**POINTING["hit"], "value": None}}, [1]])
def test_damaged_evidence_of_heat_maps_is_one_line(folder, tmp_path, harm):
    path = evidence(folder, tmp_path / "a.json", {**record("NODULE"), "heat_map": harm})
    with pytest.raises(UserError, match=r"a\.json is not what the stage detect writes"):
        run(folder, folder / "0.png", "--evidence", path)


def test_heat_maps_are_told_to_python(folder):
    known = load_detector(folder / "detector.safetensors")
    found = detect(folder / "0.png", known, Evidence.of(folder / "detect.json", known))
    maps = explain(found.image, known)
    assert {name: heat.shape for name, heat in maps.items()} == {"NODULE": (2, 2), "PNEUMONIA": (2, 2)}
