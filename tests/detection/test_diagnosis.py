"""Which images the classifier learns from and is judged on, and what of them it sees."""

import numpy as np
import pandas as pd
import pytest
import torch

from cxr.dataset.packed import Dataset, Frames
from cxr.detection import diagnosis
from cxr.detection.compact import Compact
from cxr.detection.diagnosis import diagnose, left_out, obstacle
from cxr.detection.report import DEGRADED_VIEWS, table
from cxr.detection.settings import Diagnose
from cxr.superres.evaluation.archive import Archive
from cxr.superres.evaluation.observed import degraded
from cxr.superres.methods import NETWORKS
from cxr.superres.settings import Degrade

CPU = torch.device("cpu")
SETTINGS = Diagnose("compact", 1, 4, 0.005, 0)
DEGRADE = Degrade((2,), (0.0,), 0)
FINDINGS = ["NORMAL", "PNEUMONIA", "COVID", "NODULE|PNEUMONIA", "", "COVID|NODULE", "NORMAL", "PNEUMONIA"]
CLASSES = [True, True, False, True, False, False, True, True]  # of these, which are of one of the two
ILL = [False, True, False, True, False, False, False, True]


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Sixteen wide or tall images of 12 bits for each part, twice each of FINDINGS."""
    source = np.random.default_rng(0)
    parts = np.repeat(["train", "val", "test"], 16)
    shapes = [(32, 50) if number % 3 else (47, 32) for number in range(len(parts))]
    frames = Frames.of([source.integers(0, 4096, shape).astype(np.uint16) for shape in shapes], 12)
    ids = [f"i{number}" for number in range(len(parts))]
    native = {"native_rows": [9 * rows for rows, _ in shapes], "native_columns": [9 * columns for _, columns in shapes]}
    return Dataset(frames, pd.DataFrame({"id": ids, "patient": ids, "findings": FINDINGS * 6, "split": parts, **native}))


@pytest.fixture(scope="module")
def archive(data, tmp_path_factory) -> Archive:
    """Return test images of which each network has made the image itself."""
    folder = tmp_path_factory.mktemp("restored")
    with Archive.writer(folder, data, DEGRADE.degradations, DEGRADE.seed) as writer:
        for row in data.rows("test"):
            seen = degraded(data.images[row], data.table["id"].iloc[row], DEGRADE.degradations[0], DEGRADE.seed, CPU)
            writer.add(seen.restored(dict.fromkeys(NETWORKS, seen.truth)), DEGRADE.degradations[0])
    return Archive.open(folder, data)


@pytest.fixture
def learnt(monkeypatch) -> dict:
    """Return what `train` is given, which then gives back an untrained network."""
    given = {}
    torch.manual_seed(0)

    def train(images, labels, train_rows, val_rows, *_):
        given.update(labels=labels, train=train_rows, val=val_rows)
        return Compact().eval()

    monkeypatch.setattr(diagnosis, "train", train)
    return given


def test_only_images_of_the_two_classes_are_learnt_from_and_judged(data, archive, learnt):
    scores, labels, found = diagnose(data, archive, SETTINGS, CPU)
    of_classes = np.flatnonzero(np.tile(CLASSES, 6))
    assert learnt["train"].tolist() == of_classes[of_classes < 16].tolist()
    assert learnt["val"].tolist() == of_classes[(of_classes >= 16) & (of_classes < 32)].tolist()
    assert learnt["labels"][of_classes].tolist() == np.tile(ILL, 6)[of_classes].tolist()
    assert labels.tolist() == np.tile(ILL, 2)[np.tile(CLASSES, 2)].tolist()
    assert all(len(logits) == 10 for logits in scores.values())
    assert (found["images"], found["patients"], found["negatives"]) == (10, 10, 4)
    assert found["classes"] == ["NORMAL", "PNEUMONIA"]


def test_what_is_of_neither_class_is_counted_and_named(data, archive, learnt):
    assert left_out(data) == {"COVID": 12, "NODULE": 6, "unknown": 6}
    found = diagnose(data, archive, SETTINGS, CPU).findings
    assert found["left_out"] == {"COVID": 12, "NODULE": 6, "unknown": 6}
    said = table(found)
    assert "Left out, since they are of neither class: 12 COVID, 6 NODULE, 6 unknown." in said
    assert "it sees their central squares" in said
    assert "Left out" not in table({**found, "left_out": {}})


def test_images_of_neither_class_are_not_missed_as_a_class(data):
    assert obstacle(data) is None
    covid = data.table.assign(findings=data.table["findings"].replace("NORMAL", "COVID"))
    assert "images are not of both classes, NORMAL and PNEUMONIA" in str(obstacle(Dataset(data.images, covid)))


def test_external_images_are_neither_learnt_from_nor_judged(data, archive, learnt):
    parts = data.table["split"].where(data.table.index != 1, "external")
    diagnose(Dataset(data.images, data.table.assign(split=parts)), archive, SETTINGS, CPU)
    assert 1 not in [*learnt["train"], *learnt["val"]]
    assert 0 in learnt["train"]


def test_every_view_is_seen_as_its_central_square(data, archive, learnt, monkeypatch):
    network = Compact().eval()
    monkeypatch.setattr(diagnosis, "train", lambda *_: network)
    scores = diagnose(data, archive, SETTINGS, CPU).scores
    rows = [row for row in data.rows("test") if CLASSES[row % 8]]
    assert set(scores) == {("original", ""), *((view, "x2") for view in DEGRADED_VIEWS)}
    for position, row in enumerate(rows):
        pixels = data.images[row].pixels.astype(np.float32)
        for view, degradation in (("original", ""), ("vdsr", "x2")):  # of which the network has made the truth
            height, width = (length // 2 * 2 for length in pixels.shape) if degradation else pixels.shape
            top, left = (height - 32) // 2, (width - 32) // 2
            square = torch.from_numpy(pixels[top : top + 32, left : left + 32] / 4095)[None, None]
            with torch.no_grad():
                assert scores[view, degradation][position] == pytest.approx(network(square).item(), abs=1e-5)


def test_shortcuts_are_measured_on_files_and_on_levels_of_255(data):
    rows = data.rows("test")
    measures = diagnosis._measures(data, rows)
    assert measures["native_size"].tolist() == [9 * 32] * len(data.images)
    assert measures["width_over_height"] == pytest.approx(data.images.shapes[:, 1] / data.images.shapes[:, 0])
    levels = [np.random.default_rng(row).integers(0, 256, data.images.shapes[row]).astype(np.uint8) for row in rows]
    shallow, deep = Frames.of(levels), Frames.of([each.astype(np.uint16) * 257 for each in levels], 16)
    described = data.table.iloc[rows].reset_index(drop=True)
    first, second = (diagnosis._measures(Dataset(each, described), np.arange(len(rows))) for each in (shallow, deep))
    assert second["sharpness"] == pytest.approx(first["sharpness"])
