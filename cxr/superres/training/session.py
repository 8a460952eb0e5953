"""What the training stages share: ranks, lock, data and trainer before, model and curves after."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from cxr.compute import modelfile
from cxr.compute.checkpoint import locked
from cxr.compute.device import choose_device
from cxr.compute.ranks import joined, launch, launched
from cxr.dataset import packed
from cxr.foundation.files import write_json, write_table
from cxr.foundation.provenance import made_with
from cxr.foundation.runtime import Runtime
from cxr.superres.duration import note
from cxr.superres.training.settings import Augment, Training
from cxr.superres.training.trainer import Fitted, Trainer

DECIMALS = {"psnr": 3, "ssim": 4, "gain": 3}


class Places(NamedTuple):
    """Where a training stage finds and leaves its files, below its workspace."""

    pixels: Path
    table: Path
    split: Path
    checkpoints: Path
    model: Path
    curves: Path
    metrics: Path


class Trained(NamedTuple):
    """What a training stage has trained: by name in the model file, and what that file says of it."""

    fitted: Mapping[str, Fitted]
    description: Mapping[str, Any]


def train(
    network: str,
    workspace: Path,
    places: Places,
    settings: Training,
    augment: Augment,
    runtime: Runtime,
    fit: Callable[[Trainer], Trained],
) -> list[str]:
    """Train with `fit` in as many ranks as `settings` ask for; write what it leads to; return lines that say what is gained.

    The stage is `stages.train_NETWORK`. Its checkpoints are locked while it runs and forgotten when it has written; how long
    training took is noted beside them. Where the ranks are processes of their own, the first one writes, and the others return
    no lines.
    Raises UserError when data do not belong together, another process trains here, or training fails.
    """
    stage = f"train_{network}"
    device = choose_device(runtime.device)
    if settings.ranks > 1 and not launched():
        launch(f"stages.{stage}", settings.ranks, workspace)
        return []
    places = Places(*(workspace / place for place in places))
    with joined(settings.ranks, device) as rank, locked(places.checkpoints, stage) if rank.first else nullcontext():
        data = packed.load(places.pixels, places.table, places.split)
        trainer = Trainer(data, settings, augment, runtime, places.checkpoints, made_with(stage), rank)
        fitted, description = fit(trainer)
        if not rank.first:
            return []
        weights = {name: each.weights for name, each in fitted.items()}
        modelfile.write(
            places.model, weights, {"network": network, "phantoms": data.of_phantoms, **description, **trainer.description}
        )
        note(places.checkpoints, network, places.model, trainer.seconds)
        write_table(places.curves, [{"model": network, **row} for each in fitted.values() for row in each.curves])
        write_json(places.metrics, chosen(fitted.values()))
        trainer.forget()
    gains = chosen(fitted.values())["gain"]
    gained = "dB over bicubic on the validation windows"
    return [f"{network.upper()} {degradation}: {gain:+.2f} {gained}\n" for degradation, gain in gains.items()]


def chosen(fitted: Iterable[Fitted]) -> dict[str, Any]:
    """Return what metrics/train_*.json holds: how good the weights that were chosen are on the validation windows.

    Gains over bicubic in dB by degradation, which experiments are compared by; the rest is in a list, which `dvc metrics diff`
    leaves out.
    """
    rows = [row for each in fitted for row in each.curves if row["step"] == each.best_step]
    told = [
        {
            **{name: row[name] for name in ("degradation", "step")},
            **{name: round(float(row[name]), DECIMALS[name]) for name in DECIMALS},
        }
        for row in rows
    ]
    return {"gain": {str(row["degradation"]): row["gain"] for row in told}, "validation": told}
