"""Train SRCNN, one network for each scale, as published."""

from pathlib import Path

from superres import dataset, modelfile, params
from superres.checkpoint import locked
from superres.degrade import Degrade
from superres.errors import one_line_errors
from superres.files import write_table
from superres.models.srcnn import SRCNN, start_from_bicubic
from superres.patches import Augment
from superres.runtime import Runtime
from superres.training import Trainer, Training

PARAMS = Path("params.yaml")
IMAGES, TABLE, SPLIT = Path("data/images.npy"), Path("data/images.csv"), Path("data/split.csv")
MODEL = Path("models/srcnn.safetensors")
CURVES = Path("plots/train_srcnn.csv")
CHECKPOINTS = Path("checkpoints")


def run(workspace: Path) -> None:
    """Train on the training split of `workspace`, choose on its validation split, and write the models and their curves."""
    path = workspace / PARAMS
    settings = params.read(path, "train_srcnn", Training)
    scales = params.read(path, "degrade", Degrade).scales
    augment, runtime = params.read(path, "augment", Augment), params.read(path, "runtime", Runtime)
    data = dataset.load(workspace / IMAGES, workspace / TABLE, workspace / SPLIT)
    with locked(workspace / CHECKPOINTS, "train_srcnn"):
        trainer = Trainer(data, settings, augment, runtime, workspace / CHECKPOINTS)
        fitted = {}
        for scale in scales:
            network = SRCNN()
            start_from_bicubic(network, settings.seed)
            fitted[f"x{scale}"] = trainer.fit(f"srcnn x{scale}", network, [scale])
        best_steps = {name: fit.best_step for name, fit in fitted.items()}
        description = {"network": "srcnn", "scales": scales, "best_step": best_steps, **trainer.description}
        modelfile.write(workspace / MODEL, {name: fit.weights for name, fit in fitted.items()}, description)
        write_table(workspace / CURVES, [{"model": "srcnn", **row} for fit in fitted.values() for row in fit.curves])
        trainer.forget()
    for fit in fitted.values():
        last = fit.curves[-1]
        print(f"SRCNN {last['scale']}: {last['gain']:+.2f} dB over bicubic on the validation crops")


def main() -> None:
    """Run in the current folder."""
    run(Path())


if __name__ == "__main__":
    with one_line_errors():
        main()
