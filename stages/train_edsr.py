"""Train EDSR, one network for all scales together."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

import sys
from dataclasses import asdict, replace
from pathlib import Path

from cxr.compute.device import resolved
from cxr.compute.memory import keep_freed_memory
from cxr.foundation import environment, errors, params
from cxr.foundation.runtime import Runtime
from cxr.superres.architectures.edsr import Architecture
from cxr.superres.kernels.forms import AS_PUBLISHED
from cxr.superres.networks.edsr import EDSR, as_multiplied, start_from_bicubic
from cxr.superres.settings import Degrade, Ranges
from cxr.superres.training.session import Places, Trained, train
from cxr.superres.training.settings import Augment, Training
from cxr.superres.training.trainer import Trainer

PARAMS = Path("params.yaml")
PIXELS, TABLE, SPLIT = Path("data/pixels.npy"), Path("data/images.csv"), Path("data/split.csv")
CHECKPOINTS, MODEL, CURVES = Path("checkpoints"), Path("models/edsr.safetensors"), Path("plots/train_edsr.csv")
METRICS = Path("metrics/train_edsr.json")


def run(workspace: Path) -> None:
    """Train on the training split of `workspace`, choose on its validation split, and write model, curves and metrics."""
    places = Places(PIXELS, TABLE, SPLIT, CHECKPOINTS, MODEL, CURVES, METRICS)
    path = workspace / PARAMS
    settings, degrade = params.read(path, "train_edsr", Training), params.read(path, "degrade", Degrade)
    augment, runtime = params.read(path, "augment", Augment), params.read(path, "runtime", Runtime)
    architecture, ranges = params.read(path, "edsr", Architecture), params.read(path, "ranges", Ranges)

    def fit(trainer: Trainer) -> Trained:
        network = EDSR(architecture.blocks, architecture.width, degrade.scales, architecture.told)
        start_from_bicubic(network, settings.seed)
        fitted = trainer.fit(
            "edsr",
            network,
            degrade.degradations,
            validation_precision=trainer.precision,
            forms=AS_PUBLISHED,
            ranges=ranges,
        )
        rounded = replace(fitted, weights=as_multiplied(fitted.weights, trainer.precision))
        learnt = {**degrade.levels, **ranges.levels}
        return Trained({"edsr": rounded}, {**asdict(architecture), "best_step": fitted.best_step, **learnt})

    sys.stdout.writelines(train("edsr", workspace, places, settings, augment, runtime, fit))


if __name__ == "__main__":
    with errors.one_line_errors():
        keep_freed_memory()
        environment.expect("train_edsr", resolved(params.read(PARAMS, "runtime", Runtime).device))
        run(Path())
