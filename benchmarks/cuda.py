"""Time every stage on a CUDA GPU, and say how much of the GPU each training uses: as whole stages, and once they run.

    python -m benchmarks.cuda FOLDER [--images N] [--srcnn-steps N] [--vdsr-steps N] [--edsr-steps N] [--batch N]

Runs the pipeline's own stages, without DVC, on phantoms of 512 pixels in the empty FOLDER. Needs a CUDA GPU and, for 3,000
phantoms, some 3 GB of disk.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from benchmarks.speed import OPERATIONS, start_training
from cxr.compute.device import repeatable
from cxr.compute.soap import EVERY
from cxr.dataset import packed
from cxr.foundation import params
from cxr.foundation.errors import UserError, one_line_errors
from cxr.superres.training.settings import Training
from stages import download, errormaps, evaluate, preprocess, split, train_edsr, train_srcnn, train_vdsr

PARAMS = Path("params.yaml")
STAGES = download, preprocess, split, train_srcnn, train_vdsr, train_edsr, evaluate, errormaps


def run(folder: Path, changes: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Run every stage in `folder` with `changes` to params.yaml; return the seconds that each took, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    yaml = YAML()
    document = yaml.load(PARAMS)
    for section, keys in changes.items():
        document[section].update(keys)
    with (folder / PARAMS).open("w") as file:
        yaml.dump(document, file)
    seconds = {}
    for stage in STAGES:
        start = time.perf_counter()
        stage.run(folder)
        seconds[stage.__name__.removeprefix("stages.")] = time.perf_counter() - start
    return seconds


def operations(name: str, settings: Training, scales: int) -> float:
    """Return the floating-point operations of a whole training stage's networks: forwards, and twice that back."""
    further = (scales - 1) * train_srcnn.FURTHER if name == "srcnn" else 0
    return 6 * OPERATIONS[name] * settings.patch**2 * settings.batch * settings.steps * (1 + further)


def training_rate(name: str, folder: Path, settings: Training, device: torch.device, steps: int = 200) -> float:
    """Return the operations a second of a network's training on the images of `folder`, once it runs."""
    data = packed.load(folder / train_vdsr.PIXELS, folder / train_vdsr.TABLE, folder / train_vdsr.SPLIT)
    images = data.images.chosen(data.rows("train")[:400])
    with repeatable():
        run, draw_batch = start_training(name, images, settings.batch, settings.patch, device)

        def train(steps: int) -> None:
            for _ in range(steps):
                run.train_step(*draw_batch())
            if device.type == "cuda":
                torch.cuda.synchronize()

        train(3 * EVERY)  # in which work is recorded
        start = time.perf_counter()
        train(steps)
        taken = time.perf_counter() - start
    return 6 * OPERATIONS[name] * settings.patch**2 * settings.batch * steps / taken


def multiplies(dtype: torch.dtype, size: int = 8192, times: int = 20) -> float:
    """Return the rate of the GPU's matrix products in operations a second."""
    left, right = (torch.randn(size, size, device="cuda").to(dtype) for _ in range(2))

    def products() -> None:
        for _ in range(times):
            left @ right
        torch.cuda.synchronize()

    return best_of_three(products, 2 * size**3 * times)


def best_of_three(work: Callable[[], None], units: float) -> float:
    """Return how many of its `units` `work` does in a second, at best."""
    work()
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return units / min(seconds)


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--srcnn-steps", type=int, default=1000)
    parser.add_argument("--vdsr-steps", type=int, default=2000)
    parser.add_argument("--edsr-steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=256)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise UserError("this measures a CUDA GPU, and torch finds none here; make bench measures a CPU")
    rate = multiplies(torch.bfloat16)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; bfloat16 products: {rate / 1e12:,.1f} TFLOP/s")
    seconds = run(
        arguments.folder,
        {
            "download": {"source": "phantom"},
            "phantom": {"images": arguments.images, "size": 512},
            "train_srcnn": {"steps": arguments.srcnn_steps, "batch": arguments.batch},
            "train_vdsr": {"steps": arguments.vdsr_steps, "batch": arguments.batch},
            "train_edsr": {"steps": arguments.edsr_steps},
            "runtime": {"device": "cuda"},
        },
    )
    for name, taken in seconds.items():
        print(f"{name:12}{taken:10.1f} s")
    for name in OPERATIONS:
        settings = params.read(arguments.folder / PARAMS, f"train_{name}", Training)
        done = operations(name, settings, scales=3) / seconds[f"train_{name}"]
        print(f"train_{name}: {done / 1e12:.1f} TFLOP/s, {done / rate:.1%} of the products' rate, with all that a stage does")
        done = training_rate(name, arguments.folder, settings, torch.device("cuda"))
        print(f"train_{name}: {done / 1e12:.1f} TFLOP/s, {done / rate:.1%} of the products' rate, once it runs")


if __name__ == "__main__":
    with one_line_errors():
        main()
