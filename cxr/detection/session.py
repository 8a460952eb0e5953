"""What the stage that trains a detector does: data, training, choice, and what is written."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from cxr.compute.checkpoint import Checkpoint, locked
from cxr.compute.device import choose_device, machine
from cxr.dataset.packed import Dataset, digest, load
from cxr.detection import detector
from cxr.detection.abstaining import Sets, sets, usual
from cxr.detection.labels import LEARNT, Labels, labels, learnable
from cxr.detection.settings import Detection, Learning
from cxr.detection.training import DECIMALS, Fitted, Images, fit, operating, threshold
from cxr.foundation.files import write_json, write_table, write_text
from cxr.foundation.provenance import made_with
from cxr.foundation.runtime import Runtime
from cxr.measures.areas import Design, area
from cxr.measures.intervals import outward

STAGE = "train_detector"
CURVES = "epoch,learning_rate,loss,validation_loss\n"


class Places(NamedTuple):
    """Where the stage finds and leaves its files."""

    pixels: Path
    table: Path
    split: Path
    checkpoints: Path
    model: Path
    curves: Path
    metrics: Path


def train(places: Places, settings: Detection, learning: Learning, runtime: Runtime) -> list[str]:
    """Train a detector, choose its epoch and thresholds, and write it; return lines on how good it is on validation images.

    Where no finding can be learnt, the model file has no network, and the metrics say why: other stages need no findings.
    Raises UserError when data do not belong together, the backbone is not there, or another process trains here.
    """
    device, data = choose_device(runtime.device), load(places.pixels, places.table, places.split)
    names, lacking = learnable(data.table, settings.complete)
    told = [f"Not learnt, for want of images: {lacking}."] if lacking else []
    rows = {part: data.rows(part) for part in LEARNT}
    said: dict[str, Any] = {
        "network": learning.network,
        "findings": names,
        "lacking": lacking,
        "phantoms": data.of_phantoms,
        "settings": {**asdict(settings), **asdict(learning)},
        "device": device.type,
        "data": {part: digest(data.images, each) for part, each in rows.items()},
        "made_with": made_with(STAGE),
    }
    if not names:
        detector.write_none(places.model, said)
        write_text(places.curves, CURVES)
        write_json(places.metrics, {"not_measured": lacking})
        return told
    said["size"] = min(settings.size, *(int(data.images.shapes[row].min()) for part in rows.values() for row in part))
    known = labels(data.table, names, settings.complete)
    with locked(places.checkpoints, STAGE):
        learnt, val = (Images.of(data.images, part, known, said["size"]) for part in rows.values())
        given = [each.tolist() for part in (learnt, val) for each in (part.known, part.shown)]
        checkpoint = Checkpoint(places.checkpoints, "detector", {**said, "labels": given})
        fitted = fit(learnt, val, learning, device, checkpoint, 60 * runtime.checkpoint_minutes)
        metrics, thresholds, held = chosen(fitted, data, known, settings.sensitivity)
        more = {"thresholds": thresholds, "best_epoch": fitted.best_epoch, "machine": machine()}
        detector.write(places.model, fitted.weights, held, usual(*fitted.features), {**said, **more})
        write_table(places.curves, fitted.curves)
        write_json(places.metrics, metrics)
        checkpoint.remove()
    return [*told, *(_line(record) for record in metrics["validation"])]


def chosen(
    fitted: Fitted, data: Dataset, known: Labels, sensitivity: float
) -> tuple[dict[str, Any], dict[str, float], dict[str, Sets]]:
    """Return what metrics/train_detector.json holds, and thresholds and sets by finding: all of validation images.

    Areas under the ROC curve, by which experiments are compared; the rest is in a list, which `dvc metrics diff` leaves out.
    """
    rows, thresholds, held, records = data.rows("val"), {}, {}, []
    patients = data.table["patient"].to_numpy(str)
    for number, name in enumerate(known.names):
        there = known.known[rows, number]
        logits, shown = fitted.logits[there, number], known.shown[rows[there], number]
        thresholds[name], held[name] = threshold(logits, shown, sensitivity), sets(logits, shown)
        found = outward(area(logits, Design(shown, patients[rows[there]])), DECIMALS)
        of_finding = dict(zip(("value", "low", "high"), found, strict=True))
        told = operating(logits, shown, thresholds[name])
        records.append({"finding": name, "epoch": fitted.best_epoch, **of_finding, **told})
    return {"auc": {record["finding"]: record["value"] for record in records}, "validation": records}, thresholds, held


def _line(record: dict[str, Any]) -> str:
    ends = "" if record["low"] is None else f" [{record['low']:.{DECIMALS}f}, {record['high']:.{DECIMALS}f}]"
    counts = f"{record['finding']}, {record['images']} validation images, {record['positives']} with it"
    at = f"sensitivity {record['sensitivity']:.2f}, specificity {record['specificity']:.2f}"
    return f"{counts}: AUC {record['value']:.{DECIMALS}f}{ends}, {at}"
