"""Train SRCNN, one network for each scale, as published; each further one starts from the one before.

Filters learnt for one scale serve the next (Dong, Loy and Tang, "Accelerating the Super-Resolution Convolutional Neural
Network", ECCV 2016, section 3.4): a third of the steps then lead as far as all of them from scratch (docs/log.md).
"""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

import math
from contextlib import nullcontext
from pathlib import Path

from cxr.compute import modelfile
from cxr.compute.checkpoint import locked
from cxr.compute.device import choose_device
from cxr.compute.memory import keep_freed_memory
from cxr.compute.ranks import joined, launch, launched
from cxr.dataset import packed
from cxr.foundation import params
from cxr.foundation.errors import one_line_errors
from cxr.foundation.files import write_table
from cxr.foundation.provenance import made_with
from cxr.foundation.runtime import Runtime
from cxr.superres.architectures.srcnn import Architecture
from cxr.superres.networks.srcnn import SRCNN, start_from_bicubic
from cxr.superres.settings import Degrade
from cxr.superres.training.settings import Augment, Training
from cxr.superres.training.trainer import Fitted, Trainer

PARAMS = Path("params.yaml")
IMAGES, TABLE, SPLIT = Path("data/images.npy"), Path("data/images.csv"), Path("data/split.csv")
MODEL = Path("models/srcnn.safetensors")
CURVES = Path("plots/train_srcnn.csv")
CHECKPOINTS = Path("checkpoints")

FURTHER = 1 / 3  # share of the steps that each further scale's network takes from where the one before ended


def run(workspace: Path) -> None:
    """Train on the training split of `workspace`, choose on its validation split, and write the models and their curves."""
    path = workspace / PARAMS
    settings = params.read(path, "train_srcnn", Training)
    mapping = params.read(path, "srcnn", Architecture).mapping
    degrade = params.read(path, "degrade", Degrade)
    augment, runtime = params.read(path, "augment", Augment), params.read(path, "runtime", Runtime)
    device = choose_device(runtime.device)
    if settings.ranks > 1 and not launched():
        launch("stages.train_srcnn", settings.ranks, workspace)
        return
    with (
        joined(settings.ranks, device) as rank,
        locked(workspace / CHECKPOINTS, "train_srcnn") if rank.first else nullcontext(),
    ):
        data = packed.load(workspace / IMAGES, workspace / TABLE, workspace / SPLIT)
        trainer = Trainer(data, settings, augment, runtime, workspace / CHECKPOINTS, made_with("train_srcnn"), rank)
        network = SRCNN(mapping)
        start_from_bicubic(network, settings.seed)
        fitted: dict[str, Fitted] = {}
        for scale in degrade.scales:
            steps = math.ceil(settings.steps * FURTHER) if fitted else settings.steps
            fit = trainer.fit(f"srcnn x{scale}", network, degrade.at(scale), steps)
            network.load_state_dict(fit.weights)
            fitted[f"x{scale}"] = fit
        if not rank.first:
            return
        best_steps = {name: fit.best_step for name, fit in fitted.items()}
        description = {"network": "srcnn", "mapping": mapping, "best_step": best_steps, **degrade.levels, **trainer.description}
        modelfile.write(workspace / MODEL, {name: fit.weights for name, fit in fitted.items()}, description)
        write_table(workspace / CURVES, [{"model": "srcnn", **row} for fit in fitted.values() for row in fit.curves])
        trainer.forget()
    for fit in fitted.values():
        for last in fit.curves[-len(degrade.noise) :]:
            print(f"SRCNN {last['degradation']}: {last['gain']:+.2f} dB over bicubic on the validation crops")


def main() -> None:
    """Run in the current folder."""
    keep_freed_memory()
    run(Path())


if __name__ == "__main__":
    with one_line_errors():
        main()
