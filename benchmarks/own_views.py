"""Compare detectors that learn from radiographs as one method shows them, each judged on what it learnt to see.

    python -m benchmarks.own_views WORKSPACE... -o FILE.csv

A detector of originals that sees enhanced copies measures two things: what the copies show, and that they look unlike what it
knows. Here every view has a detector of its own. WORKSPACE is one in which train_detector has run; its detector is that of the
originals. Of each radiograph, `external` ones among them, a clean copy with 1/SCALE of its rows and columns is enlarged by
bicubic interpolation, and restored by the bundled networks of RESTORED. From each of these views a detector learns with the
settings that the first one had, and has its threshold from the validation radiographs in that view.

First in FILE.csv stand the least differences in the area under the ROC curve that would be found four times in five. Then come
the areas with intervals by patient, sensitivity and specificity at each detector's own threshold, and the differences of the
areas on the same radiographs. Intervals are of other patients, not of other trainings; so several workspaces may be given that
differ in train_detector.seed alone, and then there are rows of the mean logits, too. What was restored, and trainings, are kept
in WORKSPACE/own_views, by all that decides them: a run that was stopped goes on.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from cxr.compute.checkpoint import Checkpoint
from cxr.compute.device import choose_device, repeatable
from cxr.compute.memory import keep_freed_memory
from cxr.dataset import packed
from cxr.dataset.packed import Integers
from cxr.detection import detector
from cxr.detection.detector import Network
from cxr.detection.frames import seen
from cxr.detection.labels import LEARNT, labels
from cxr.detection.networks.backbones import backbone
from cxr.detection.settings import Detection, Learning
from cxr.detection.training import DECIMALS, Images, fit, operating, threshold
from cxr.foundation import params
from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_table
from cxr.foundation.provenance import made_with
from cxr.foundation.runtime import Runtime
from cxr.measures.areas import Design, area, detectable, difference
from cxr.measures.intervals import Estimate, Floats, outward
from cxr.superres.evaluation.restore import Restorers
from cxr.superres.methods import BICUBIC, ORIGINAL
from cxr.superres.model import FOLDERS
from cxr.superres.settings import Degradation
from stages.train_detector import MODEL, PARAMS, PIXELS, SPLIT, TABLE

SCALE = 4
RESTORED = "vdsr", "edsr"
"""Networks that restore."""
MADE = BICUBIC, *RESTORED
"""Views that are made of the low-resolution copy."""
PAIRS = (*((view, ORIGINAL) for view in MADE), *((view, BICUBIC) for view in RESTORED))
"""Views whose detectors are compared."""
RUNS = Path("own_views")
AT_ONCE = 48
"""Radiographs that are restored before they are kept."""
JUDGED: tuple[packed.Part, ...] = ("test", "external")
DETECTABLE, AREA, DIFFERENCE, OPERATING = "detectable", "area", "difference", ("sensitivity", "specificity")
"""What a row tells."""
OF_MEAN = "mean logits"
"""Of which seed, where it is of all of them."""
COLUMNS = (
    *("what", "finding", "group", "images", "patients", "positives", "of", "scale", "size", "epochs", "seed"),
    *("value", "low", "high"),
)


class Judged(NamedTuple):
    """What a detector makes of radiographs in its own view."""

    thresholds: Mapping[str, float]
    """By finding, the logit from which on it says yes: of its validation radiographs."""
    logits: Mapping[packed.Part, Floats]
    """By group (N, F)."""


class Study:
    """The radiographs of a workspace in every view, and a detector of each."""

    def __init__(self, workspace: Path, restorers: Restorers) -> None:
        """Open what train_detector left. Raises UserError where there is no detector, or one that learnt otherwise than now."""
        path = workspace / PARAMS
        self.detection, self.learning = params.read(path, "detection", Detection), params.read(path, "train_detector", Learning)
        runtime = params.read(path, "runtime", Runtime)
        self.device, self.every = choose_device(runtime.device), 60 * runtime.checkpoint_minutes
        self.folder, self.restorers = workspace / RUNS, restorers
        trained = detector.read(workspace / MODEL, self.device)
        if trained is None:
            raise UserError(f"{workspace / MODEL} holds no network, since no finding could be learnt")
        self.trained = trained
        self.data = packed.load(*(workspace / name for name in (PIXELS, TABLE, SPLIT)))
        self.known = labels(self.data.table, trained.findings, self.detection.complete)
        self.rows = {part: rows for part in (*LEARNT, *JUDGED) if len(rows := self.data.rows(part))}
        digests = {part: packed.digest(self.data.images, rows) for part, rows in self.rows.items()}
        now = {**asdict(self.detection), **asdict(self.learning)}, {part: digests[part] for part in LEARNT}
        if now != (trained.description["settings"], trained.description["data"]):
            raise UserError(f"{workspace / MODEL} learnt otherwise than {path} and the split have it now; train it again")
        models = {name: model.digest for name, model in restorers.models.items()}
        self.said = {
            "size": trained.size,
            "degradations": [each._asdict() for each in restorers.degradations],
            "models": models,
            "precision": restorers.precisions(),
            "device": self.device.type,
        }
        given = {part: self.known.shown[rows].tolist() for part, rows in self.rows.items()}
        self.of_trainings: dict[str, Any] = {**self.said, "data": digests, "shown": given, "settings": now[0]}

    def originals(self) -> Judged:
        """Return what the detector of the workspace makes of the originals."""
        there = {part: Images.of(self.data.images, self.rows[part], self.known, self.trained.size) for part in self._groups}
        return Judged(self.trained.thresholds, {part: self._logits(self.trained.network, each) for part, each in there.items()})

    def made(self) -> dict[str, Judged]:
        """Return by view what a detector that learnt from it makes of it, having restored and learnt what is not there."""
        squares = {part: self._restored(part, rows) for part, rows in self.rows.items()}
        return {view: self._judged(view, {part: each[view] for part, each in squares.items()}) for view in MADE}

    @property
    def _groups(self) -> list[packed.Part]:
        return [part for part in JUDGED if part in self.rows]

    def _restored(self, part: packed.Part, rows: Integers) -> dict[str, Tensor]:
        """Return the central squares of `rows` in each view that is made: float16 (N, 1, S, S) in [0, 1]."""
        parts: dict[str, list[Tensor]] = {view: [] for view in MADE}
        for first in tqdm(range(0, len(rows), AT_ONCE), part, unit=f"{AT_ONCE} images", disable=None):
            some = rows[first : first + AT_ONCE]
            said = {**self.said, "pixels": packed.digest(self.data.images, some), "made_with": made_with("evaluate")}
            kept = Checkpoint(self.folder, "restored", said)
            if (squares := kept.load()) is None:
                squares = self._squares(some)
                kept.save(squares)
            for view in MADE:
                parts[view].append(squares[view])
        return {view: torch.cat(each) for view, each in parts.items()}

    @torch.inference_mode()
    def _squares(self, rows: Integers) -> dict[str, Tensor]:
        (degradation,) = self.restorers.degradations
        found: dict[str, list[Tensor]] = {view: [] for view in MADE}
        for row in rows:
            restored = self.restorers.restore(self.data.images[row], self.data.table["id"].iloc[row], degradation)
            for view in MADE:
                square = seen(restored.images[view].float() / restored.white, self.trained.size)
                found[view].append(square.half().cpu())
        return {view: torch.cat(each) for view, each in found.items()}

    def _judged(self, view: str, squares: Mapping[packed.Part, Tensor]) -> Judged:
        said = {**self.of_trainings, "view": view, "made_with": made_with("train_detector")}
        kept, underway = (Checkpoint(self.folder, name, said) for name in ("trained", "underway"))
        if (state := kept.load()) is None:
            state = self._trained(squares, underway)
            kept.save(state)
            underway.remove()
        thresholds = dict(zip(self.known.names, state["thresholds"], strict=True))
        return Judged(thresholds, {part: state[part].numpy() for part in self._groups})

    def _trained(self, squares: Mapping[packed.Part, Tensor], underway: Checkpoint) -> dict[str, Any]:
        images = {part: self._images(part, each) for part, each in squares.items()}
        learnt, chosen_on = (images[part] for part in LEARNT)
        fitted = fit(learnt, chosen_on, self.learning, self.device, underway, self.every)
        network = Network(backbone(self.learning.network, self.trained.size, learnt=False), len(self.known.names))
        network.load_state_dict(fitted.weights)
        network.to(self.device).eval()
        known, shown = (each[self.rows["val"]] for each in (self.known.known, self.known.shown))
        thresholds = [
            threshold(logits[there], ill[there], self.detection.sensitivity)
            for logits, there, ill in zip(fitted.logits.T, known.T, shown.T, strict=True)
        ]
        judged: dict[str, Any] = {part: torch.from_numpy(self._logits(network, images[part])) for part in self._groups}
        return {"thresholds": thresholds, "epoch": fitted.best_epoch, **judged}

    def _images(self, part: packed.Part, squares: Tensor) -> Images:
        given = [torch.from_numpy(each[self.rows[part]].astype(np.float32)) for each in (self.known.known, self.known.shown)]
        return Images(squares, *given)

    @torch.inference_mode()
    def _logits(self, network: Network, images: Images) -> Floats:
        with repeatable():
            parts = torch.split(images.pixels, self.learning.batch)
            found: Floats = torch.cat([network(part.float().to(self.device)) for part in parts]).double().cpu().numpy()
        return found


def row(what: str, of: str, found: Estimate, given: Mapping[str, object]) -> dict[str, object]:
    """Return a row of what is `found`, the ends of its interval outward."""
    ends = dict(zip(("value", "low", "high"), outward(found, DECIMALS), strict=True))
    return {**dict.fromkeys(COLUMNS), "what": what, "of": of, **given, **ends}


def compared(scores: Mapping[str, Floats], design: Design, thresholds: Mapping[str, float]) -> list[dict[str, object]]:
    """Return rows of the logits (N,) by view, of which ORIGINAL and MADE are there: first what could be found.

    Sensitivity and specificity are those of the views that have `thresholds`.
    """
    given = {"images": len(design.labels), "patients": len(set(design.patients)), "positives": int(design.labels.sum())}
    rows: list[dict[str, object]] = []
    for first, second in PAIRS:
        least = detectable(scores[first], scores[second], design)
        rows.append({**dict.fromkeys(COLUMNS), "what": DETECTABLE, "of": f"{first}-{second}", **given, "value": least})
    for view in (ORIGINAL, *MADE):
        rows.append(row(AREA, view, area(scores[view], design), given))
        if view in thresholds:
            told = operating(scores[view], design.labels, thresholds[view])
            rows += [row(what, view, Estimate(told[what]), given) for what in OPERATING]
    differences = {pair: difference(scores[pair[0]], scores[pair[1]], design) for pair in PAIRS}
    return [*rows, *(row(DIFFERENCE, "-".join(pair), each, given) for pair, each in differences.items())]


def by_seed(studies: Sequence[Study]) -> dict[object, dict[str, Judged]]:
    """Return by seed, and of the mean logits where there are several, what detectors make of each view.

    Raises UserError where `studies` differ in more than the seed.
    """
    first = studies[0].of_trainings
    for each in studies[1:]:
        settings = {**each.of_trainings["settings"], "seed": first["settings"]["seed"]}
        if {**each.of_trainings, "settings": settings} != first:
            raise UserError(f"{each.folder.parent} differs from {studies[0].folder.parent} in more than train_detector.seed")
    judged: dict[object, dict[str, Judged]] = {
        each.learning.seed: {ORIGINAL: each.originals(), **each.made()} for each in studies
    }
    if len(judged) < len(studies):
        raise UserError(f"{len(studies)} workspaces have {len(judged)} seeds; name each seed's once")
    if len(studies) == 1:
        return judged
    means = {}
    for view in (ORIGINAL, *MADE):
        of_view = [each[view].logits for each in judged.values()]
        means[view] = Judged({}, {group: np.mean([logits[group] for logits in of_view], axis=0) for group in of_view[0]})
    return {OF_MEAN: means, **judged}


def measured(workspaces: Sequence[Path], restorers: Restorers) -> list[dict[str, object]]:
    """Return the rows of the CSV, by COLUMNS, of each finding and group that has both classes.

    Raises UserError where there is no detector, or one that learnt otherwise than its workspace now has it, and where the
    workspaces differ in more than the seed.
    """
    studies = [Study(each, restorers) for each in workspaces]
    study = studies[0]
    patients = study.data.table["patient"].to_numpy(str)
    more = {"scale": SCALE, "size": study.trained.size, "epochs": study.learning.epochs}
    rows: list[dict[str, object]] = []
    for seed, judged in by_seed(studies).items():
        for number, finding in enumerate(study.known.names):
            for group in judged[ORIGINAL].logits:
                known = study.known.rows(finding, study.rows[group])
                shown, there = study.known.of(finding)[known], np.isin(study.rows[group], known)
                if shown.all() or not shown.any():
                    continue
                scores = {view: each.logits[group][there, number] for view, each in judged.items()}
                thresholds = {view: each.thresholds[finding] for view, each in judged.items() if each.thresholds}
                found = compared(scores, Design(shown, patients[known]), thresholds)
                rows += [{**each, "finding": finding, "group": group, "seed": seed, **more} for each in found]
    return sorted(rows, key=lambda each: each["what"] != DETECTABLE)


def main() -> None:
    """Restore, train, print, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspace", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    keep_freed_memory()
    device = choose_device(params.read(given.workspace[0] / PARAMS, "runtime", Runtime).device)
    rows = measured(given.workspace, Restorers(FOLDERS[-1], [Degradation(SCALE)], 0, device, RESTORED))
    for each in rows:
        print(", ".join(f"{name} {value}" for name, value in each.items() if value is not None))
    write_table(given.output, rows)


if __name__ == "__main__":
    with one_line_errors():
        main()
