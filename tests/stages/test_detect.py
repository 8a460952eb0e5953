"""The stages that train a detector and measure it."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cxr.compute import modelfile
from cxr.dataset import packed
from cxr.detection import detector, session
from cxr.detection.evaluation.report import DEGRADED_VIEWS
from cxr.detection.evaluation.shortcuts import Shortcuts
from cxr.detection.evaluation.views import groups
from cxr.detection.explaining import heat_maps, peak, randomised
from cxr.detection.frames import levels, seen
from cxr.detection.labels import labels, learnable
from cxr.foundation.errors import UserError
from cxr.superres.evaluation.archive import Archive
from cxr.superres.methods import LEAD
from stages import detect, evaluate, split, train_detector
from tests.support.tiny import TINY, write_params

HALVES = {"split": {"train": 0.4, "val": 0.3, "test": 0.3}}  # of 24 images, so that findings can be learnt
CPU = torch.device("cpu")
WRITTEN = "models/detector.safetensors", "plots/train_detector.csv", "metrics/train_detector.json"


@pytest.fixture(scope="module")
def told(finished, tmp_path_factory):
    """A workspace in which there is enough to tell; for reading only."""
    workspace = tmp_path_factory.mktemp("told") / "workspace"
    shutil.copytree(finished, workspace)
    write_params(workspace, TINY, HALVES)
    for stage in (split, evaluate, train_detector, detect):
        stage.run(workspace)
    return workspace


@pytest.fixture
def changed(told, tmp_path):
    """A copy of that, which a test may change."""
    return shutil.copytree(told, tmp_path / "workspace")


def data_of(workspace):
    return packed.load(*(workspace / f"data/{name}" for name in ("pixels.npy", "images.csv", "split.csv")))


def relabel(workspace, part, change):
    """Change the findings of a `part` of the split."""
    images = pd.read_csv(workspace / "data/images.csv", dtype=str, keep_default_na=False)
    rows = (pd.read_csv(workspace / "data/split.csv", dtype=str)["split"] == part).to_numpy()
    images.loc[rows, "findings"] = change(images.loc[rows, "findings"])
    images.to_csv(workspace / "data/images.csv", index=False)


def outside(workspace):
    """Make every other test image one of another source."""
    parts = pd.read_csv(workspace / "data/split.csv", dtype=str)
    rows = np.flatnonzero(parts["split"] == "test")[::2]
    parts.loc[rows, "split"] = "external"
    parts.to_csv(workspace / "data/split.csv", index=False)
    evaluate.run(workspace)


def test_the_stage_reports_every_view_and_the_shortcuts(told):
    written = json.loads((told / "metrics/detect.json").read_text())
    data = data_of(told)
    names, _ = learnable(data.table, complete=True)
    assert "PNEUMONIA" in names
    assert [record["finding"] for record in written["measured"]] == names
    (found,) = [record for record in written["measured"] if record["finding"] == "PNEUMONIA"]
    areas = {(record["view"], record["degradation"]): record["value"] for record in found["areas"]}
    assert set(areas) == {("original", ""), *((view, scale) for view in DEGRADED_VIEWS for scale in ("x2", "x3", "x4"))}
    assert written["auc"]["PNEUMONIA"] == {"original": areas["original", ""], f"{LEAD}_x2": areas[LEAD, "x2"]}
    test = data.table.iloc[data.rows("test")]
    assert (found["images"], found["patients"]) == (len(test), test["patient"].nunique())
    assert found["positives"] == test["findings"].str.contains("PNEUMONIA").sum()
    assert found["too_few"]
    measures = {record["measure"] for record in found["shortcuts"]}
    assert measures >= {"native_size", "width_over_height", "sharpness", "thumbnail"}
    assert set(written["made_with"][0]) >= {"code", "device"}
    drawn = {path.name for path in (told / "plots/detect").iterdir()}
    assert drawn >= {"pneumonia_auc.png", "pneumonia_reliability.png", *(f"pneumonia_roc_x{scale}.png" for scale in (2, 3, 4))}
    assert all(np.asarray(Image.open(told / "plots/detect" / name)).std() > 10 for name in drawn)


def test_the_stage_says_how_often_heat_maps_point_to_boxes_beside_chance_and_random_weights(told):
    data = data_of(told)
    trained = detector.read(told / "models/detector.safetensors", CPU)
    (found,) = [
        each for each in json.loads((told / "metrics/detect.json").read_text())["measured"] if each["finding"] == "PNEUMONIA"
    ]
    heat = found["heat_map"]
    random = randomised(trained)
    table = data.table.assign(row=np.arange(len(data.images)))
    boxed = table[(table["split"] == "test") & table["boxes"].str.contains("PNEUMONIA")].drop_duplicates("patient")
    shares, counts = [], np.zeros(2)
    for row, boxes in zip(boxed["row"], boxed["boxes"], strict=True):
        image = levels(data.images[row])
        drawn = torch.zeros_like(image)
        for box in (text.split()[1:] for text in boxes.split("|") if text.startswith("PNEUMONIA")):
            (left, right), (top, bottom) = (
                (round(float(box[at]) * of), round((float(box[at]) + float(box[at + 2])) * of))
                for at, of in ((0, image.shape[3]), (1, image.shape[2]))
            )
            drawn[..., top:bottom, left:right] = 1
        square = seen(drawn, min(drawn.shape[2:]))[0, 0].numpy()
        if square.any():
            shares.append(square.mean())
            for number, network in enumerate((trained.network, random)):
                across, down = peak(heat_maps(network, seen(image, trained.size))[trained.findings.index("PNEUMONIA")])
                counts[number] += square[int(down * len(square)), int(across * len(square))]
    assert heat["images"] == len(shares) > 0
    assert heat["chance"] == pytest.approx(np.mean(shares), abs=0.01)
    assert [heat[name]["value"] for name in ("hit", "randomised")] == pytest.approx(counts / len(shares), abs=6e-4)
    assert -1 <= heat["correlation"] <= 1
    assert (told / "plots/detect/pneumonia_heat_maps.png").is_file()


def test_without_boxes_no_rate_is_told(changed, capsys):
    images = pd.read_csv(changed / "data/images.csv", dtype=str, keep_default_na=False)
    images.assign(boxes="").to_csv(changed / "data/images.csv", index=False)
    detect.run(changed)
    assert "heat map: no boxes" in capsys.readouterr().out
    measured = json.loads((changed / "metrics/detect.json").read_text())["measured"]
    assert {each["heat_map"]["images"] for each in measured} == {0}
    assert not list((changed / "plots/detect").glob("*heat_maps*"))


def test_thresholds_are_of_validation_images_and_go_with_the_model(told):
    trained = detector.read(told / "models/detector.safetensors", CPU)
    data = data_of(told)
    known = labels(data.table, trained.findings, complete=True)
    said = json.loads((told / "metrics/train_detector.json").read_text())
    for number, name in enumerate(trained.findings):
        rows = known.rows(name, data.rows("val"))
        logits = np.array([trained.looks(levels(data.images[row]))[0] for row in rows])[:, number]
        yes, ill = logits >= trained.thresholds[name] - 1e-3, known.of(name)[rows]  # training keeps pixels in 11 bits
        assert yes[ill].mean() >= 0.9
        (record,) = [each for each in said["validation"] if each["finding"] == name]
        assert record["sensitivity"] >= 0.9
        assert record["specificity"] == pytest.approx((~yes[~ill]).mean(), abs=0.26)
    assert set(said["auc"]) == set(trained.findings)
    curves = pd.read_csv(told / "plots/train_detector.csv")
    assert curves["epoch"].tolist() == [1, 2]
    assert trained.description["best_epoch"] == 1 + curves["validation_loss"].argmin()


def test_nobody_is_learnt_from_and_tested_on(told, monkeypatch):
    """What the detector learns from, is chosen on and is tested on shows other patients."""
    given = []

    def of(frames, rows, *_):
        given.append(set(data_of(told).table["patient"].iloc[rows]))
        if len(given) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(session.Images, "of", of)
    with pytest.raises(KeyboardInterrupt):
        train_detector.run(told)
    data = data_of(told)
    tested = set(data.table["patient"].iloc[data.rows("test")])
    assert given[0]
    assert given[1]
    assert not tested & (given[0] | given[1])
    assert not given[0] & given[1]


def test_another_run_gives_the_same_bytes(told, changed):
    for stage in (train_detector, detect):
        stage.run(changed)
    for path in [*(told / name for name in (*WRITTEN, "metrics/detect.json")), *(told / "plots/detect").iterdir()]:
        assert (changed / path.relative_to(told)).read_bytes() == path.read_bytes()


def test_labels_of_other_parts_change_neither_detector_nor_thresholds(changed):
    outside(changed)
    train_detector.run(changed)
    detect.run(changed)
    before = {name: (changed / name).read_bytes() for name in WRITTEN}
    measured = json.loads((changed / "metrics/detect.json").read_text())["measured"]
    relabel(
        changed, "external", lambda given: given.where(given == "NORMAL", "").replace({"NORMAL": "PNEUMONIA", "": "NORMAL"})
    )
    train_detector.run(changed)
    detect.run(changed)
    assert before == {name: (changed / name).read_bytes() for name in WRITTEN}
    again = json.loads((changed / "metrics/detect.json").read_text())["measured"]
    assert [record for record in measured if record["group"] == "test"] == [
        record for record in again if record["group"] == "test"
    ]
    assert [record for record in measured if record["group"] == "external"] != [
        record for record in again if record["group"] == "external"
    ]


def test_another_source_is_told_by_itself_and_as_it_is(changed):
    outside(changed)
    detect.run(changed)
    measured = json.loads((changed / "metrics/detect.json").read_text())["measured"]
    (found,) = [each for each in measured if (each["finding"], each["group"]) == ("PNEUMONIA", "external")]
    data = data_of(changed)
    assert found["images"] == len(data.rows("external"))
    assert {(record["view"], record["degradation"]) for record in found.get("areas", [])} <= {("original", "")}


def test_each_of_several_collections_stands_by_itself_and_is_a_shortcut(changed):
    table = pd.read_csv(changed / "data/images.csv", keep_default_na=False, dtype=str)
    table["collection"] = ["one" if number % 2 else "two" for number in range(len(table))]
    table.to_csv(changed / "data/images.csv", index=False)
    before = json.loads((changed / "metrics/detect.json").read_text())
    detect.run(changed)
    after = json.loads((changed / "metrics/detect.json").read_text())
    assert after["auc"] == before["auc"]  # what is compared across branches is of all collections together
    found = {(each["finding"], each["group"]): each for each in after["measured"]}
    for name in {finding for finding, _ in found}:
        parts = [found[name, f"test: {collection}"]["images"] for collection in ("one", "two")]
        assert sum(parts) == found[name, "test"]["images"]
        assert "collection" in {each["measure"] for each in found[name, "test"].get("shortcuts", [{"measure": "collection"}])}


def test_every_view_is_seen_as_its_central_square(told):
    data = data_of(told)
    archive, trained = Archive.open(told / "data/restored", data), detector.read(told / "models/detector.safetensors", CPU)
    (judged,) = groups(data, archive, trained, CPU)
    degradation = archive.degradations[0]
    for position, row in enumerate(data.rows("test")):
        restored = archive.restored(data.images[row], data.table["id"].iloc[row], degradation, CPU)
        views = {("original", ""): levels(data.images[row]), (LEAD, "x2"): restored.images[LEAD].float() / restored.white}
        for view, image in views.items():
            with torch.no_grad():
                expected = trained.network.eval()(seen(image, trained.size))[0].numpy()
            np.testing.assert_allclose(judged.logits[view][position], expected, atol=1e-4)


def test_what_lies_beside_the_central_square_is_not_seen():
    image = torch.rand(1, 1, 40, 61)
    square = image[..., 10:50]
    assert torch.equal(seen(image, 40), square)
    assert torch.equal(seen(image.mT, 40), square.mT)
    small = seen(image, 16)
    assert small.shape == (1, 1, 16, 16)
    changed = torch.cat([torch.rand(1, 1, 40, 10), square, torch.rand(1, 1, 40, 11)], dim=3)
    assert torch.equal(seen(changed, 16), small)
    assert seen(torch.full((1, 1, 9, 12), 0.3), 16).sub(0.3).abs().max() < 1e-6


def test_shortcuts_are_measured_on_files_and_directed_on_what_was_learnt(told):
    data = data_of(told)
    found = Shortcuts.of(data, np.arange(len(data.images)))
    native = data.table[["native_rows", "native_columns"]].to_numpy()
    assert found.single["native_size"].tolist() == native.min(axis=1).tolist()
    assert found.single["width_over_height"] == pytest.approx(native[:, 1] / native[:, 0])
    shown = found.single["sharpness"] < np.median(found.single["sharpness"])
    directed = found.directed(np.arange(len(shown)), shown)
    assert directed["sharpness"][shown].min() > directed["sharpness"][~shown].max()
    assert directed["thumbnail"][shown].mean() > directed["thumbnail"][~shown].mean()


def test_what_is_usual_must_fit(told, tmp_path):
    weights, said = modelfile.read(told / "models/detector.safetensors")
    spread = {**weights["usual"], "whitening": weights["usual"]["whitening"][:5]}
    modelfile.write(tmp_path / "a.safetensors", {**weights, "usual": spread}, said)
    with pytest.raises(UserError, match="what is usual to it does not fit"):
        detector.read(tmp_path / "a.safetensors", CPU)


def test_texts_are_shortcuts_by_how_often_they_go_with_the_finding(told):
    data = data_of(told)
    count = len(data.images)
    views = np.array(["PA", "AP", "LL"])[np.arange(count) % 3]
    ages = np.array(["40", "", "60"])[np.arange(count) % 3]
    found = Shortcuts.of(packed.Dataset(data.images, data.table.assign(view=views, age=ages, sex="")), np.arange(count))
    shown = views == "AP"
    directed = found.directed(np.arange(count), shown)
    assert directed["view"].tolist() == shown.astype(float).tolist()
    assert set(found.single["age"]) == {40.0, 50.0, 60.0}
    assert "sex" not in directed


def test_a_set_that_cannot_tell_says_so_and_goes_on(changed, capsys):
    for part in ("train", "val"):
        relabel(changed, part, lambda given: given.where(given == "NORMAL", "NORMAL"))
    for stage in (train_detector, detect):
        stage.run(changed)
    said = json.loads((changed / "metrics/train_detector.json").read_text())
    assert said["not_measured"] == "no radiograph shows anything but NORMAL"
    assert "Not learnt, for want of images: no radiograph shows anything but NORMAL." in capsys.readouterr().out
    assert detector.read(changed / "models/detector.safetensors", CPU) is None
    assert json.loads((changed / "metrics/detect.json").read_text()) == {"not_measured": "no finding could be learnt"}
    assert list((changed / "plots/detect").iterdir()) == []
    assert (changed / "plots/train_detector.csv").read_text().splitlines() == ["epoch,learning_rate,loss,validation_loss"]


def test_a_network_of_an_unknown_place_is_told(workspace):
    write_params(workspace, TINY, {"train_detector": {"network": "resnet18"}})
    with pytest.raises(UserError, match=r"train_detector\.network.*compact, lite0, torchvision:NAME or timm:NAME"):
        train_detector.run(workspace)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"network": "srcnn"}, "is no detector of this project"),
        ({"network": "lite0"}, "its weights are of another network|size mismatch|Error"),
        ({"thresholds": {}}, "is no detector of this project"),
        ({"findings": ["A"]}, "is no detector of this project"),
        ({"findings": ["A\x1b[2J\nB"]}, "a finding has signs that cannot be printed"),
        ({"size": 0}, "its size is no number from 1 to 4,096"),
        ({"size": 10**30}, "its size is no number from 1 to 4,096"),
    ],
)
def test_a_file_of_something_else_is_refused(told, tmp_path, change, reason):
    weights, said = modelfile.read(told / "models/detector.safetensors")
    modelfile.write(tmp_path / "a.safetensors", weights, {**said, **change})
    with pytest.raises(UserError, match=reason):
        detector.read(tmp_path / "a.safetensors", CPU)
