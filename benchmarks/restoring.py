"""Measure how fast each network enlarges, how long a viewer waits for a tile, and how much memory a large radiograph takes.

    python -m benchmarks.restoring [--rounds 3]

The networks, with weights drawn at random, take turns in each round. Linux only, for the memory.
What is found of how an image arrived, which EDSR is told, is found once before the tiles, as `cxr serve` finds it once a file;
the time of a whole image has it.
"""

import argparse
import copy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks import history
from benchmarks.speed import NETWORKS
from cxr.compute import modelfile
from cxr.compute.device import choose_device, choose_precision
from cxr.foundation.errors import one_line_errors
from cxr.superres.architectures import edsr, srcnn
from cxr.superres.enhance import arrival_of, enhance, enhance_part
from cxr.superres.model import BUILDERS, load_model

SCALES = (2, 3, 4)
SIDE = 512  # pixels a side of what is enlarged
LARGE = (2000, 2500)
TILE, TILES = 256, 40  # pixels a side of the result, and how many are made
PEAK = """
import sys
import numpy as np
from cxr.superres.enhance import enhance
from cxr.superres.model import load_model
enhance(load_model(sys.argv[1]), np.zeros((int(sys.argv[2]), int(sys.argv[3])), np.uint16))
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(peak.split()[1])
"""


def written(name: str, folder: Path) -> Path:
    """Write a model file of the network `name` with weights drawn at random; return its path."""
    _, start, _ = NETWORKS[name]
    precision = str(choose_precision("auto", choose_device("auto"))).removeprefix("torch.")
    described = {"network": name, "scales": SCALES, "noise": [0], "precision": precision}
    described |= {"srcnn": asdict(srcnn.Architecture(5)), "edsr": asdict(edsr.Architecture(8, 64, told=True))}.get(name, {})
    network = BUILDERS[name].build(described)
    start(network, 0)
    keys = [f"x{scale}" for scale in SCALES] if name == "srcnn" else [name]
    path = folder / f"{name}.safetensors"
    modelfile.write(path, {key: copy.deepcopy(network.state_dict()) for key in keys}, described)
    return path


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes, with what a GPU is to do."""
    begun = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    image = np.random.default_rng(0).integers(0, 65536, (SIDE, SIDE), dtype=np.uint16)
    figures: list[history.Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: written(name, Path(folder)) for name in NETWORKS}
        models = {name: load_model(path) for name, path in paths.items()}
        for scale in SCALES:
            rates: dict[str, list[float]] = {name: [] for name in models}
            for model in models.values():
                enhance(model, image[:64, :64], scale)
            for _ in range(rounds):
                for name, model in models.items():
                    taken = seconds(lambda model=model, scale=scale: enhance(model, image, scale))  # type: ignore[misc]
                    rates[name].append((SIDE * scale) ** 2 / 1e6 / taken)
            for name, each in rates.items():
                over = median(each) / median(rates["vdsr"])
                spread = f"{min(each):.2f} to {max(each):.2f}"
                print(f"x{scale} {name:6} {median(each):8.2f} megapixels/s ({spread}), {over:.2f} x VDSR", flush=True)
                figures += history.spread(f"{name} x{scale}", each, "megapixels/s")
        for name, model in models.items():
            waited = []
            arrival = arrival_of(image)
            for number in range(TILES + 3):
                place = (number * 37) % (2 * SIDE - TILE)
                span = slice(place, place + TILE)
                tile = partial(enhance_part, model, image, 2, span, span, arrival=arrival)
                waited.append(1000 * seconds(tile))
            figures += history.spread(f"{name} tile of {TILE} pixels at x2", waited[3:], "ms")
            print(f"{name:6} tile of {TILE} pixels at x2: {median(waited[3:]):.0f} ms", flush=True)
            command = [sys.executable, "-c", PEAK, str(paths[name]), *map(str, LARGE)]
            held = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1000
            figures.append((f"{name} peak memory of {LARGE[0]}x{LARGE[1]} at x2", held, "MB"))
            print(f"{name:6} {LARGE[0]}x{LARGE[1]} at x2: {held:,.0f} MB", flush=True)
    history.add(figures, f"python -m benchmarks.restoring, {rounds} rounds")


if __name__ == "__main__":
    with one_line_errors():
        main()
