"""Train VDSR, one network for all scales together, as published."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

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
from cxr.superres.networks.vdsr import VDSR, as_multiplied, start_from_bicubic
from cxr.superres.settings import Degrade
from cxr.superres.training.settings import Augment, Training
from cxr.superres.training.trainer import Trainer

PARAMS = Path("params.yaml")
IMAGES, TABLE, SPLIT = Path("data/images.npy"), Path("data/images.csv"), Path("data/split.csv")
MODEL = Path("models/vdsr.safetensors")
CURVES = Path("plots/train_vdsr.csv")
CHECKPOINTS = Path("checkpoints")


def run(workspace: Path) -> None:
    """Train on the training split of `workspace`, choose on its validation split, and write the model and its curves."""
    path = workspace / PARAMS
    settings = params.read(path, "train_vdsr", Training)
    degrade = params.read(path, "degrade", Degrade)
    augment, runtime = params.read(path, "augment", Augment), params.read(path, "runtime", Runtime)
    device = choose_device(runtime.device)
    if settings.ranks > 1 and not launched():
        launch("stages.train_vdsr", settings.ranks, workspace)
        return
    with (
        joined(settings.ranks, device) as rank,
        locked(workspace / CHECKPOINTS, "train_vdsr") if rank.first else nullcontext(),
    ):
        data = packed.load(workspace / IMAGES, workspace / TABLE, workspace / SPLIT)
        trainer = Trainer(data, settings, augment, runtime, workspace / CHECKPOINTS, made_with("train_vdsr"), rank)
        network = VDSR()
        start_from_bicubic(network, settings.seed)
        fitted = trainer.fit("vdsr", network, degrade.degradations, validation_precision=trainer.precision)
        if not rank.first:
            return
        description = {"network": "vdsr", "best_step": fitted.best_step, **degrade.levels, **trainer.description}
        weights = as_multiplied(fitted.weights, trainer.precision)
        modelfile.write(workspace / MODEL, {"vdsr": weights}, description)
        write_table(workspace / CURVES, [{"model": "vdsr", **row} for row in fitted.curves])
        trainer.forget()
    for row in fitted.curves[-len(degrade.degradations) :]:
        print(f"VDSR {row['degradation']}: {row['gain']:+.2f} dB over bicubic on the validation crops")


def main() -> None:
    """Run in the current folder."""
    keep_freed_memory()
    run(Path())


if __name__ == "__main__":
    with one_line_errors():
        main()
