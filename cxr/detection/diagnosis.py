"""A classifier trained on the original radiographs, and what it makes of the test images as each method shows them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from cxr.dataset.findings import having, names
from cxr.dataset.packed import Dataset, Integers, Part
from cxr.detection.classifier import NEGATIVE, POSITIVE, lacking, predicted, train
from cxr.detection.report import DEGRADED_VIEWS, View, findings
from cxr.detection.settings import Diagnose
from cxr.measures.areas import Design, placed
from cxr.measures.discrimination import matched, sharpness
from cxr.measures.intervals import Floats, Truths
from cxr.superres.evaluation.archive import Archive
from cxr.superres.methods import LOW, ORIGINAL


class Diagnosis(NamedTuple):
    """The logits of the test images by view, which of them are ill, and all that is said of them."""

    scores: dict[View, Floats]
    labels: Truths
    findings: dict[str, Any]


def obstacle(data: Dataset) -> str | None:
    """Return why nothing can be told of diagnosis with `data`, a part of which lacks a class; else None."""
    parts = {"training": _rows(data, "train"), "validation": _rows(data, "val"), "test": _rows(data, "test")}
    return lacking(_labels(data), parts)


def left_out(data: Dataset) -> dict[str, int]:
    """Return how many images are of neither class, by finding: they are neither learnt from nor judged."""
    findings = data.table["findings"][~_labelled(data)]
    return {name: int(having(findings, name).sum()) for name in names(findings)}


def diagnose(data: Dataset, archive: Archive, settings: Diagnose, device: torch.device) -> Diagnosis:
    """Train on the training images of `data`, choose on its validation images, and measure the test images in every view.

    Only images of the two classes count, and each part must hold both (`obstacle`). `archive` holds what the networks made of
    the test images.
    """
    labels, rows, learnt = _labels(data), _rows(data, "test"), _rows(data, "train")
    network = train(data.images, labels, learnt, _rows(data, "val"), settings, device)
    scores = _scores(network, data, archive, device)
    measures = _measures(data, np.concatenate([rows, learnt]))
    # Which way a measure points is learnt, too, and not looked up on the test images.
    shortcuts = {
        name: np.sign(placed(measure[learnt], labels[learnt]).area - 0.5) * measure[rows] for name, measure in measures.items()
    }
    matched_rows = matched(measures["sharpness"][rows], labels[rows])
    patients = data.table["patient"].to_numpy(str)[rows]
    found = findings(scores, shortcuts, Design(labels[rows], patients), matched_rows)
    return Diagnosis(scores, labels[rows], {"classes": [NEGATIVE, POSITIVE], "left_out": left_out(data), **found})


def _labels(data: Dataset) -> Truths:
    """Return which images show POSITIVE, perhaps with more (N,)."""
    return having(data.table["findings"], POSITIVE)


def _labelled(data: Dataset) -> Truths:
    """Return which images are of one of the two classes (N,): an image with another finding alone is neither."""
    return _labels(data) | (data.table["findings"] == NEGATIVE).to_numpy()


def _rows(data: Dataset, part: Part) -> Integers:
    rows = data.rows(part)
    return rows[_labelled(data)[rows]]


def _scores(network: nn.Module, data: Dataset, archive: Archive, device: torch.device) -> dict[View, Floats]:
    """Return by view the logits (N,) of the test images: the originals, and what became of each degradation of them."""
    rows = _rows(data, "test")
    logits = {(ORIGINAL, ""): predicted(network, data.images, rows)}
    for degradation in tqdm(archive.degradations, "diagnose", unit="degradation", disable=None):
        scale = degradation.scale
        seen: dict[str, list[torch.Tensor]] = {view: [] for view in DEGRADED_VIEWS}
        for row in rows:
            restored = archive.restored(data.images[row], data.table["id"].iloc[row], degradation, device)
            low = restored.low.repeat_interleave(scale, 2).repeat_interleave(scale, 3)  # as large pixels
            for view, image in {LOW: low, **restored.images}.items():
                seen[view].append(predicted(network, [image.float() / restored.white]))
        for view in DEGRADED_VIEWS:
            logits[view, degradation.name] = torch.cat(seen[view])
    return {view: found.double().cpu().numpy() for view, found in logits.items()}


def _measures(data: Dataset, rows: Integers) -> Mapping[str, Floats]:
    """Return by name measures (N,) of the images in `rows` that know nothing of disease; of the others 0."""
    native = data.table[["native_rows", "native_columns"]].to_numpy(float)
    sharpnesses = np.zeros(len(data.images))
    for row in tqdm(rows, "sharpness", unit="image", disable=None):
        image = data.images[row]
        sharpnesses[row] = sharpness(image.pixels * (255 / image.white))
    return {"native_size": native.min(axis=1), "width_over_height": native[:, 1] / native[:, 0], "sharpness": sharpnesses}
