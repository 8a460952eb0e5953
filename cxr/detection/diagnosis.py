"""A classifier trained on the original radiographs, and what it makes of the test images as each method shows them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from cxr.dataset.packed import Dataset
from cxr.detection.classifier import POSITIVE, lacking, predicted, train
from cxr.detection.report import DEGRADED_VIEWS, View, findings
from cxr.detection.settings import Diagnose
from cxr.measures.bootstrap import Floats, Truths
from cxr.measures.discrimination import auc, matched, sharpness
from cxr.superres.evaluation.archive import Archive
from cxr.superres.methods import LOW, ORIGINAL
from cxr.superres.settings import Degrade


class Diagnosis(NamedTuple):
    """The logits of the test images by view, which of them are ill, and all that metrics/diagnose.json holds."""

    scores: dict[View, Floats]
    labels: Truths
    findings: dict[str, Any]


def obstacle(data: Dataset) -> str | None:
    """Return why nothing can be told of diagnosis with `data`, a part of which lacks a class; else None."""
    parts = {"training": data.rows("train"), "validation": data.rows("val"), "test": data.rows("test")}
    return lacking(_labels(data), parts)


def diagnose(data: Dataset, archive: Archive, settings: Diagnose, degrade: Degrade, device: torch.device) -> Diagnosis:
    """Train on the training images of `data`, choose on its validation images, and measure the test images in every view.

    All three must hold both classes (`obstacle`). `archive` holds what the networks made of the test images.
    """
    labels, rows = _labels(data), data.rows("test")
    network = train(data.images, labels, data.rows("train"), data.rows("val"), settings, device)
    scores = _scores(network, data, archive, degrade, device)
    measures, learnt = _measures(data), data.rows("train")
    # Which way a measure points is learnt, too, and not looked up on the test images.
    shortcuts = {
        name: np.sign(auc(measure[learnt], labels[learnt])[0] - 0.5) * measure[rows] for name, measure in measures.items()
    }
    matched_rows = matched(measures["sharpness"][rows], labels[rows])
    patients = data.table["patient"].to_numpy(str)[rows]
    return Diagnosis(scores, labels[rows], findings(scores, shortcuts, labels[rows], patients, matched_rows))


def _labels(data: Dataset) -> Truths:
    """Return which images are ill (N,)."""
    return (data.table["class"] == POSITIVE).to_numpy()


def _scores(network: nn.Module, data: Dataset, archive: Archive, degrade: Degrade, device: torch.device) -> dict[View, Floats]:
    """Return by view the logits (N,) of the test images: the originals, and what became of each degradation of them."""
    rows = data.rows("test")
    logits = {(ORIGINAL, ""): predicted(network, data.images, rows)}
    for degradation in tqdm(degrade.degradations, "diagnose", unit="degradation", disable=None):
        scale = degradation.scale
        seen: dict[str, list[torch.Tensor]] = {view: [] for view in DEGRADED_VIEWS}
        for row in rows:
            restored = archive.restored(data.images[row], data.table["id"].iloc[row], degradation, device)
            low = restored.low.repeat_interleave(scale, 2).repeat_interleave(scale, 3)  # as large pixels
            for view, image in {LOW: low, **restored.images}.items():
                seen[view].append(predicted(network, [image]))
        for view in DEGRADED_VIEWS:
            logits[view, degradation.name] = torch.cat(seen[view])
    return {view: found.double().cpu().numpy() for view, found in logits.items()}


def _measures(data: Dataset) -> Mapping[str, Floats]:
    """Return by name measures (N,) of all images that know nothing of disease."""
    native = data.table[["height", "width"]].min(axis=1).to_numpy(float)
    sharpnesses = np.array([sharpness(image) for image in tqdm(data.images, "sharpness", unit="image", disable=None)])
    return {"native_size": native, "sharpness": sharpnesses}
