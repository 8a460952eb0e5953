"""Measure the estimator of noise and JPEG quality against the truth, on test radiographs and on phantoms with texture.

    python -m benchmarks.estimation WORKSPACE [--images N] [-o FILE.csv]

WORKSPACE holds params.yaml and what the stage split left. Of the test images, reduced to 1/2, 1/3 and 1/4: what is found of
noise where none was put in, of 1 to 10 grey levels of white noise and of 1,000 to 20,000 counted quanta, and of JPEG of quality
70 to 95, told from decoded pixels. Of phantoms: what miliary and reticular texture over both lungs adds to what is found.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.conditions import Case, tests
from benchmarks.twins.findings import SIDE, Finding
from cxr.dataset.packed import Frame
from cxr.foundation import params
from cxr.foundation.errors import one_line_errors
from cxr.sources.phantom.cohort import subject_of
from cxr.sources.phantom.scene import draw
from cxr.superres.degradation.levels import WHITE
from cxr.superres.estimation.compression import compression
from cxr.superres.estimation.noise import estimate
from cxr.superres.evaluation.observed import degraded
from cxr.superres.settings import Degradation, Degrade

LEVELS, QUANTA, QUALITIES = (1, 2, 3, 5, 7, 10), (1000, 2000, 5000, 20000), (70, 75, 80, 85, 90, 95)
TEXTURES = Finding("miliary", 3, 8), Finding("reticular", 1, 8)
PHANTOMS, SIZE = 12, 512
COLUMNS = ("what", "scale", "truth", "images", "median", "least", "greatest", "near")
NEAR, NEAR_QUALITY = 0.2, 5


class Found(NamedTuple):
    """What was found of one truth, on every image."""

    what: str
    scale: int
    truth: float
    values: Sequence[float]

    @property
    def row(self) -> dict[str, object]:
        """Return it by COLUMNS; `near` is the share within 20% of the truth, or of quality within 5."""
        values = np.array(self.values, float)
        off = np.abs(values - self.truth)
        near = off <= (NEAR_QUALITY if self.what == "quality" else NEAR * self.truth)
        told = (f"{value:.3f}" for value in (np.median(values), values.min(), values.max()))
        named = self.what, self.scale, f"{self.truth:.4g}", len(values)
        return dict(zip(COLUMNS, (*named, *told, f"{near.mean():.3f}"), strict=True))


def low(case: Case, degradation: Degradation, seed: int) -> np.ndarray:
    """Return what `degradation` leaves of `case` (H, W), in [0, 1]."""
    seen = degraded(case.image, case.identity, degradation, seed, torch.device("cpu"))
    return seen.low[0, 0].float().numpy()


def level_of(image: np.ndarray) -> float:
    """Return what is found of noise in `image` (H, W), in grey levels; 0 where nothing can be told."""
    found = estimate(image)
    return found.level if found else 0.0


def of_radiographs(cases: Sequence[Case], seed: int) -> Iterator[Found]:
    """Yield what is found on `cases`."""
    for scale in (2, 3, 4):
        noisy = [("none", 0.0, Degradation(scale)), *(("white", level, Degradation(scale, level)) for level in LEVELS)]
        noisy += [("quanta", (WHITE**2 * 0.5 / count) ** 0.5, Degradation(scale, quanta=count)) for count in QUANTA]
        for what, level, degradation in noisy:
            made = (low(case, degradation, seed) for case in cases)
            yield Found(what, scale, level, [level_of(each) for each in made])
        for truth in QUALITIES:
            made = (low(case, Degradation(scale, jpeg=truth), seed) for case in cases)
            yield Found("quality", scale, truth, [compression(each).quality or 0 for each in made])
        yield Found("no quality", scale, 0, [compression(low(case, Degradation(scale), seed)).quality or 0 for case in cases])


def of_textures(seed: int) -> Iterator[Found]:
    """Yield what textures over the lungs add, in grey levels, to the noise that is found on phantoms."""
    indices = [index for index in range(200) if not subject_of(index).kinds][:PHANTOMS]
    pixels = [draw(seed, index, SIZE).pixels for index in indices]
    for texture in TEXTURES:
        signal = texture.signal
        for scale in (2, 3, 4):
            added = []
            for image, index in zip(pixels, indices, strict=True):
                tiled = np.tile(signal, [-(-length // SIDE) for length in image.shape])[: image.shape[0], : image.shape[1]]
                textured = (image + np.where((image > 25) & (image < 150), tiled, 0)).round().clip(0, WHITE).astype(np.uint8)
                both = [Case(Frame(each), f"phantom {index}", "") for each in (image, textured)]
                for degradation in (Degradation(scale), Degradation(scale, 2.0)):
                    without, having = (level_of(low(case, degradation, seed)) for case in both)
                    added.append(having - without)
            yield Found(f"added by {texture.kind}", scale, 0, added)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--images", type=int, help="at most so many, evenly spaced")
    parser.add_argument("-o", "--output", type=Path, help="a CSV, written anew")
    given = parser.parse_args()
    seed = params.read(given.workspace / "params.yaml", "degrade", Degrade).seed
    found = []
    cases = tests(given.workspace, given.images)
    for each in tqdm(chain(of_radiographs(cases, seed), of_textures(0)), unit="truth", disable=None):
        found.append(each.row)
        print(*(f"{name} {value}" for name, value in each.row.items()), flush=True)
    if given.output:
        with given.output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)


if __name__ == "__main__":
    with one_line_errors():
        main()
