"""Train one detector of all findings that the radiographs are labelled with, on the originals."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

from pathlib import Path

from cxr.compute.device import choose_device
from cxr.compute.memory import keep_freed_memory
from cxr.detection.session import Places, train
from cxr.detection.settings import Detection, Learning
from cxr.foundation import environment, errors, params
from cxr.foundation.runtime import Runtime

PARAMS = Path("params.yaml")
PIXELS, TABLE, SPLIT = Path("data/pixels.npy"), Path("data/images.csv"), Path("data/split.csv")
CHECKPOINTS, MODEL, CURVES = Path("checkpoints"), Path("models/detector.safetensors"), Path("plots/train_detector.csv")
METRICS = Path("metrics/train_detector.json")


def run(workspace: Path) -> None:
    """Train on the training split of `workspace`, choose epoch and thresholds on its validation split, and write all."""
    path = workspace / PARAMS
    settings, learning = params.read(path, "detection", Detection), params.read(path, "train_detector", Learning)
    runtime = params.read(path, "runtime", Runtime)
    places = Places(*(workspace / each for each in (PIXELS, TABLE, SPLIT, CHECKPOINTS, MODEL, CURVES, METRICS)))
    print("\n".join(train(places, settings, learning, runtime)))


if __name__ == "__main__":
    with errors.one_line_errors():
        keep_freed_memory()
        device = choose_device(params.read(PARAMS, "runtime", Runtime).device)
        environment.expect("train_detector", {environment.DEVICE: device.type})
        run(Path())
