"""Train SRCNN, one network for each scale, as published; each further one starts from the one before.

Filters learnt for one scale serve the next (Dong, Loy and Tang, "Accelerating the Super-Resolution Convolutional Neural
Network", ECCV 2016, section 3.4): a third of the steps then lead as far as all of them from scratch (docs/log.md).
"""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

import math
import sys
from pathlib import Path

from cxr.compute.device import resolved
from cxr.compute.memory import keep_freed_memory
from cxr.foundation import environment, errors, params
from cxr.foundation.runtime import Runtime
from cxr.superres.architectures.srcnn import Architecture
from cxr.superres.kernels.srcnn import FORMS
from cxr.superres.networks.srcnn import SRCNN, start_from_bicubic
from cxr.superres.settings import Degrade
from cxr.superres.training.session import Places, Trained, train
from cxr.superres.training.settings import Augment, Training
from cxr.superres.training.trainer import Fitted, Trainer

PARAMS = Path("params.yaml")
PIXELS, TABLE, SPLIT = Path("data/pixels.npy"), Path("data/images.csv"), Path("data/split.csv")
CHECKPOINTS, MODEL, CURVES = Path("checkpoints"), Path("models/srcnn.safetensors"), Path("plots/train_srcnn.csv")
METRICS = Path("metrics/train_srcnn.json")

FURTHER = 1 / 3  # share of the steps that each further scale's network takes from where the one before ended


def run(workspace: Path) -> None:
    """Train on the training split of `workspace`, choose on its validation split, and write models, curves and metrics."""
    path = workspace / PARAMS
    settings, degrade = params.read(path, "train_srcnn", Training), params.read(path, "degrade", Degrade)
    augment, runtime = params.read(path, "augment", Augment), params.read(path, "runtime", Runtime)
    mapping = params.read(path, "srcnn", Architecture).mapping

    def fit(trainer: Trainer) -> Trained:
        network = SRCNN(mapping)
        start_from_bicubic(network, settings.seed)
        fitted: dict[str, Fitted] = {}
        for scale in degrade.scales:
            steps = math.ceil(settings.steps * FURTHER) if fitted else settings.steps
            fitted[f"x{scale}"] = trainer.fit(f"srcnn x{scale}", network, degrade.at(scale), steps, forms=FORMS)
            network.load_state_dict(fitted[f"x{scale}"].weights)
        best_steps = {name: each.best_step for name, each in fitted.items()}
        return Trained(fitted, {"mapping": mapping, "best_step": best_steps, **degrade.levels})

    places = Places(PIXELS, TABLE, SPLIT, CHECKPOINTS, MODEL, CURVES, METRICS)
    sys.stdout.writelines(train("srcnn", workspace, places, settings, augment, runtime, fit))


if __name__ == "__main__":
    with errors.one_line_errors():
        keep_freed_memory()
        environment.expect("train_srcnn", resolved(params.read(PARAMS, "runtime", Runtime).device))
        run(Path())
