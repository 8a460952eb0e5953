"""Compare the networks that detectors are built on, tuned alike and trained with several seeds.

    python -m benchmarks.backbones WORKSPACE [--rates 0.0005 0.002 0.005] [--seeds 3] [--epochs 40] -o FILE.csv

WORKSPACE holds params.yaml and what the stage split left, best with radiographs of another source: `external`. FIRST and SECOND
are the two networks. Each is trained with every rate and seed 0; the rate whose validation loss is least is its own, and with
it the other seeds are trained. Of `--epochs`, as great a share is frozen as in params.yaml. All else is as there.

First in FILE.csv stands the least difference in the area under the ROC curve that would be found four times in five, between
the seeds' mean logits. Then come the tuning, the areas of each seed and of the mean logits with intervals by patient, the mean
of the seeds' areas, and the differences SECOND less FIRST on the same radiographs. Trainings are kept in WORKSPACE/backbones,
by all that decides them: one that is there is not done again, and one that was stopped goes on.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from cxr.compute.checkpoint import Checkpoint
from cxr.compute.device import choose_device, repeatable
from cxr.compute.memory import keep_freed_memory
from cxr.dataset import packed
from cxr.detection.detector import Network
from cxr.detection.labels import LEARNT, labels, learnable
from cxr.detection.networks.backbones import COMPACT, LITE0, backbone
from cxr.detection.settings import Detection, Learning
from cxr.detection.training import DECIMALS, Images, fit
from cxr.foundation import params
from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_table
from cxr.foundation.provenance import made_with
from cxr.foundation.runtime import Runtime
from cxr.measures.areas import Design, area, detectable, difference
from cxr.measures.intervals import Estimate, Floats, outward
from stages.train_detector import PARAMS, PIXELS, SPLIT, TABLE

FIRST, SECOND = COMPACT, LITE0
RATES, SEEDS = (0.0005, 0.002, 0.005), 3
RUNS = Path("backbones")
JUDGED: tuple[packed.Part, ...] = ("test", "external")
DETECTABLE, TUNED, AREA, DIFFERENCE = "detectable", "tuned", "area", "difference"
"""What a row tells."""
OF_MEAN, MEAN_OF = "mean logits", "mean of areas"
"""Of which seeds, where it is not of one."""
COLUMNS = (
    *("what", "finding", "group", "images", "patients", "positives", "network", "size", "epochs", "rate", "seed"),
    *("value", "low", "high"),
)


class Trained(NamedTuple):
    """A training, and what its network says."""

    rate: float
    seed: int
    loss: float
    """Of the validation images, at the best epoch."""
    logits: Mapping[str, Floats]
    """By group (N, F)."""


class Trials:
    """Trainings on the radiographs of a workspace, each done once."""

    def __init__(self, workspace: Path, epochs: int | None) -> None:
        """Open what split left, and take `epochs` instead of those in params.yaml. Raises UserError where nothing is learnt."""
        path = workspace / PARAMS
        detection, learning = params.read(path, "detection", Detection), params.read(path, "train_detector", Learning)
        epochs = epochs or learning.epochs
        frozen = min(learning.frozen_epochs * epochs // learning.epochs, epochs - 1)
        self.learning = replace(learning, epochs=epochs, frozen_epochs=frozen)
        self.device = choose_device(params.read(path, "runtime", Runtime).device)
        self.every = 60 * params.read(path, "runtime", Runtime).checkpoint_minutes
        self.data = packed.load(*(workspace / name for name in (PIXELS, TABLE, SPLIT)))
        self.folder = workspace / RUNS
        names, lacking = learnable(self.data.table, detection.complete)
        if not names:
            raise UserError(f"{workspace} has no finding that could be learnt: {lacking}")
        self.known = labels(self.data.table, names, detection.complete)
        rows = {part: self.data.rows(part) for part in (*LEARNT, *JUDGED)}
        self.size = min(detection.size, *(int(self.data.images.shapes[row].min()) for part in LEARNT for row in rows[part]))
        there = {part: of for part, of in rows.items() if len(of)}
        self.images = {part: Images.of(self.data.images, of, self.known, self.size) for part, of in there.items()}
        digests = {part: packed.digest(self.data.images, of) for part, of in there.items()}
        given = {part: each.shown.tolist() for part, each in self.images.items()}
        self.said = {"size": self.size, "data": digests, "shown": given, "made_with": made_with("train_detector")}

    def trained(self, network: str, rate: float, seed: int) -> Trained:
        """Return the training of `network` with that rate and seed, done now unless it is there."""
        settings = replace(self.learning, network=network, learning_rate=rate, seed=seed)
        said = {**self.said, "settings": asdict(settings), "device": self.device.type}
        kept, underway = (Checkpoint(self.folder, name, said) for name in ("trained", "underway"))
        if (state := kept.load()) is None:
            state = self._trained(settings, underway)
            kept.save(state)
            underway.remove()
        return Trained(rate, seed, state["loss"], {part: state[part].numpy() for part in JUDGED if part in state})

    def _trained(self, settings: Learning, underway: Checkpoint) -> dict[str, Any]:
        learnt, chosen_on = (self.images[part] for part in LEARNT)
        fitted = fit(learnt, chosen_on, settings, self.device, underway, self.every)
        network = Network(backbone(settings.network, self.size, learnt=False), len(self.known.names))
        network.load_state_dict(fitted.weights)
        network.to(self.device).eval()
        judged: dict[str, Any] = {part: self._logits(network, self.images[part]) for part in JUDGED if part in self.images}
        loss = min(float(row["validation_loss"]) for row in fitted.curves)
        return {"loss": loss, "epoch": fitted.best_epoch, **judged}

    @torch.inference_mode()
    def _logits(self, network: Network, images: Images) -> torch.Tensor:
        with repeatable():
            parts = torch.split(images.pixels, self.learning.batch)
            return torch.cat([network(part.float().to(self.device)) for part in parts]).double().cpu()


def tuned(trials: Trials, network: str, rates: Sequence[float], seeds: int) -> tuple[list[Trained], list[Trained]]:
    """Return the trainings of `network` with seed 0 at each of `rates`, and those of all `seeds` at the best of these."""
    grid = [trials.trained(network, rate, 0) for rate in rates]
    best = min(grid, key=lambda each: each.loss)
    return grid, [best, *(trials.trained(network, best.rate, seed) for seed in range(1, seeds))]


def row(of: Mapping[str, object], found: Estimate) -> dict[str, object]:
    """Return a row of what is `found`, the ends of its interval outward."""
    ends = dict(zip(("value", "low", "high"), outward(found, DECIMALS), strict=True))
    return {**dict.fromkeys(COLUMNS), **of, **ends}


def compared(first: Sequence[Floats], second: Sequence[Floats], design: Design) -> list[dict[str, object]]:
    """Return rows of the logits (N,) of two networks by seed: what could be found, areas, and differences."""
    means = [np.mean(each, axis=0) for each in (first, second)]
    least = detectable(means[1], means[0], design)
    rows: list[dict[str, object]] = [
        {**dict.fromkeys(COLUMNS), "what": DETECTABLE, "network": f"{SECOND}-{FIRST}", "seed": OF_MEAN, "value": least}
    ]
    for network, by_seed, mean in zip((FIRST, SECOND), (first, second), means, strict=True):
        found = [area(each, design) for each in by_seed]
        of = {"what": AREA, "network": network}
        rows += [row({**of, "seed": seed}, each) for seed, each in enumerate(found)]
        rows.append(row({**of, "seed": MEAN_OF}, Estimate(float(np.mean([each.value for each in found])))))
        rows.append(row({**of, "seed": OF_MEAN}, area(mean, design)))
    of = {"what": DIFFERENCE, "network": f"{SECOND}-{FIRST}"}
    rows += [row({**of, "seed": seed}, difference(*both, design)) for seed, both in enumerate(zip(second, first, strict=True))]
    return [*rows, row({**of, "seed": OF_MEAN}, difference(means[1], means[0], design))]


def judged(trials: Trials, runs: Mapping[str, Sequence[Trained]]) -> list[dict[str, object]]:
    """Return the rows of the networks' `runs` with the seeds, of each finding and group that has both classes."""
    patients = trials.data.table["patient"].to_numpy(str)
    rows: list[dict[str, object]] = []
    for number, finding in enumerate(trials.known.names):
        for group in (each for each in JUDGED if each in trials.images):
            of_group = trials.data.rows(group)
            known = trials.known.rows(finding, of_group)
            shown, there = trials.known.of(finding)[known], np.isin(of_group, known)
            if shown.all() or not shown.any():
                continue
            design = Design(shown, patients[known])
            first, second = ([run.logits[group][there, number] for run in runs[network]] for network in (FIRST, SECOND))
            counts = {"images": len(known), "patients": len(set(design.patients)), "positives": int(shown.sum())}
            rows += [{**each, "finding": finding, "group": group, **counts} for each in compared(first, second, design)]
    return rows


def measured(
    workspace: Path, rates: Sequence[float] = RATES, seeds: int = SEEDS, epochs: int | None = None
) -> list[dict[str, object]]:
    """Return the rows of the CSV, by COLUMNS. Raises UserError where nothing can be learnt."""
    trials = Trials(workspace, epochs)
    found = {network: tuned(trials, network, rates, seeds) for network in (FIRST, SECOND)}
    rates_of: dict[object, float] = {network: runs[0].rate for network, (_, runs) in found.items()}
    rows: list[dict[str, object]] = [
        {**dict.fromkeys(COLUMNS), "what": TUNED, "network": network, "rate": run.rate, "seed": run.seed}
        | {"value": round(run.loss, DECIMALS)}
        for network, (grid, _) in found.items()
        for run in grid
    ]
    of_seeds = judged(trials, {network: runs for network, (_, runs) in found.items()})
    rows += [{**each, "rate": rates_of.get(each["network"])} for each in of_seeds]
    rows.sort(key=lambda each: each["what"] != DETECTABLE)
    return [{**each, "size": trials.size, "epochs": trials.learning.epochs} for each in rows]


def main() -> None:
    """Train, print, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="learning rates that each network is tried with")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many trainings of each, with the best rate")
    parser.add_argument("--epochs", type=int, help="of each training, instead of those in params.yaml")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    keep_freed_memory()
    rows = measured(given.workspace, given.rates, given.seeds, given.epochs)
    for each in rows:
        print(", ".join(f"{name} {value}" for name, value in each.items() if value is not None))
    write_table(given.output, rows)


if __name__ == "__main__":
    with one_line_errors():
        main()
