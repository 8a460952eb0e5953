"""Train VDSR, one network for all scales together, as published."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

import sys
from dataclasses import replace
from pathlib import Path

from cxr.compute.device import resolved
from cxr.compute.memory import keep_freed_memory
from cxr.foundation import environment, errors, params
from cxr.foundation.runtime import Runtime
from cxr.superres.kernels.vdsr import FORMS
from cxr.superres.networks.vdsr import VDSR, as_multiplied, start_from_bicubic
from cxr.superres.settings import Degrade
from cxr.superres.training.session import Places, Trained, train
from cxr.superres.training.settings import Augment, Training
from cxr.superres.training.trainer import Trainer

PARAMS = Path("params.yaml")
PIXELS, TABLE, SPLIT = Path("data/pixels.npy"), Path("data/images.csv"), Path("data/split.csv")
CHECKPOINTS, MODEL, CURVES = Path("checkpoints"), Path("models/vdsr.safetensors"), Path("plots/train_vdsr.csv")
METRICS = Path("metrics/train_vdsr.json")


def run(workspace: Path) -> None:
    """Train on the training split of `workspace`, choose on its validation split, and write model, curves and metrics."""
    places = Places(PIXELS, TABLE, SPLIT, CHECKPOINTS, MODEL, CURVES, METRICS)
    path = workspace / PARAMS
    settings, degrade = params.read(path, "train_vdsr", Training), params.read(path, "degrade", Degrade)
    augment, runtime = params.read(path, "augment", Augment), params.read(path, "runtime", Runtime)

    def fit(trainer: Trainer) -> Trained:
        network = VDSR()
        start_from_bicubic(network, settings.seed)
        fitted = trainer.fit("vdsr", network, degrade.degradations, validation_precision=trainer.precision, forms=FORMS)
        rounded = replace(fitted, weights=as_multiplied(fitted.weights, trainer.precision))
        return Trained({"vdsr": rounded}, {"best_step": fitted.best_step, **degrade.levels})

    sys.stdout.writelines(train("vdsr", workspace, places, settings, augment, runtime, fit))


if __name__ == "__main__":
    with errors.one_line_errors():
        keep_freed_memory()
        environment.expect("train_vdsr", resolved(params.read(PARAMS, "runtime", Runtime).device))
        run(Path())
