"""Measure networks in every condition at every scale, and on native pixels: what the stage evaluate is too short for.

    python -m benchmarks.conditions WORKSPACE NETWORK... [--images N] [--only CONDITION...] [-o FILE.csv]

WORKSPACE holds params.yaml, what the stage split left, and data/raw. NETWORK is srcnn, vdsr or edsr, by the rule of `cxr
enhance`, or a model file. The conditions are those of params.yaml, and `native`: windows of 1,024 pixels from the middle of at
most 20 test radiographs that are as large, as data/raw has them, not reduced beforehand.
A row of the CSV is a network in a condition at a scale: gain over bicubic interpolation in dB, its 95% interval by patient
(empty where there are too few), and on which share of the images it is worse by more than 0.05 dB. `given` is the same of what
`cxr enhance` gives, which is as strong as limits allow; `strength` is the mean of that, and `refused` the share of the images
that it refuses, which then count as bicubic interpolation has them. These are empty of a network without limits.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from cxr.compute.device import choose_device
from cxr.compute.memory import keep_freed_memory
from cxr.dataset import packed
from cxr.dataset.packed import Frame
from cxr.formats.read import read
from cxr.foundation import params
from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.runtime import Runtime
from cxr.measures.intervals import mean, outward
from cxr.measures.quality import psnr
from cxr.superres.degradation.levels import to_levels
from cxr.superres.enhance import restore
from cxr.superres.estimation.arrival import arrived
from cxr.superres.evaluation.observed import degraded
from cxr.superres.limits import limit
from cxr.superres.model import Model, load_model
from cxr.superres.settings import NATIVE, Degradation, Degrade, conditions
from stages.evaluate import PIXELS, SPLIT, TABLE

SIDE, MOST = 1024, 20
WORSE = 0.05  # dB, from which a loss counts
OF_GAINS = ("gain", "low", "high", "worse", "worst")
GIVEN = ("given", "given_low", "given_high", "given_worse", "given_worst", "strength", "refused")
COLUMNS = ("network", "digest", "condition", "scale", "images", "patients", "bicubic", *OF_GAINS, *GIVEN)


class Case(NamedTuple):
    """An image to measure on."""

    image: Frame
    identity: str
    patient: str


class Found(NamedTuple):
    """What one network gains on one image."""

    bicubic: float
    gain: float
    given: float
    """The gain of what `cxr enhance` gives."""
    strength: float
    """As strong as that is; 0 where it is refused, NaN where there are no limits."""
    patient: str


def tests(workspace: Path, most: int | None) -> list[Case]:
    """Return the test images of `workspace`, as preprocess left them: all, or `most` evenly spaced."""
    data = packed.load(workspace / PIXELS, workspace / TABLE, workspace / SPLIT)
    rows = data.rows("test")
    return [Case(data.images[row], *data.table.iloc[row][["id", "patient"]]) for row in _spaced(rows, most)]


def natives(workspace: Path, most: int) -> list[Case]:
    """Return windows of SIDE pixels of the test radiographs of `workspace` that are as large: `most` evenly spaced."""
    data = packed.load(workspace / PIXELS, workspace / TABLE, workspace / SPLIT)
    rows = data.rows("test")
    large = rows[(data.table.iloc[rows][["native_rows", "native_columns"]].min(axis=1) >= SIDE).to_numpy()]
    cases = []
    for row in _spaced(large, most):
        described = data.table.iloc[row]
        pixels, bits, _ = read(workspace / "data/raw" / described["source"])
        top, left = ((length - SIDE) // 2 for length in pixels.shape)
        cases.append(Case(Frame(pixels[top:, left:][:SIDE, :SIDE], bits), described["id"], described["patient"]))
    return cases


def _spaced(rows: packed.Integers, most: int | None) -> packed.Integers:
    count = min(len(rows), most or len(rows))
    spaced: packed.Integers = rows[np.linspace(0, len(rows) - 1, count).round().astype(int)]
    return spaced


@torch.inference_mode()
def measured(case: Case, degradation: Degradation, seed: int, models: Sequence[Model], device: torch.device) -> list[Found]:
    """Return what each of `models` gains on `case`."""
    seen = degraded(case.image, case.identity, degradation, seed, device)

    def quality(image: torch.Tensor) -> float:
        return psnr(to_levels(image, seen.white), seen.truth, degradation.scale, seen.white).item()

    bicubic, low = quality(seen.bicubic), seen.low.float()
    arrival = arrived(low[0, 0].cpu().numpy())
    found = []
    for model in models:
        made = restore(model, low, degradation.scale, bicubic=seen.bicubic, arrival=arrival.for_network)
        limited = limit(model, degradation.scale, arrival)
        gain = quality(made) - bicubic
        given = quality(seen.bicubic.lerp(made, limited.cap)) - bicubic if limited.cap < 1 else gain
        found.append(Found(bicubic, gain, given, limited.cap if limited.known else np.nan, case.patient))
    return found


def rows(models: Sequence[Model], workspace: Path, images: int | None, only: Sequence[str]) -> Iterator[dict[str, object]]:
    """Yield a row of COLUMNS for each of `models` in each condition, among `only` if any are named, at each scale."""
    path = workspace / "params.yaml"
    degrade = params.read(path, "degrade", Degrade)
    device = choose_device(params.read(path, "runtime", Runtime).device)
    known = conditions(path)
    if unknown := [name for name in only if name not in (*known, NATIVE)]:
        raise UserError(f"--only has {unknown[0]!r}, none of {', '.join((*known, NATIVE))}")
    names = [name for name in (*known, NATIVE) if not only or name in only]
    cases = {True: natives(workspace, images or MOST) if NATIVE in names else [], False: tests(workspace, images)}
    if NATIVE in names and not cases[True]:
        names.remove(NATIVE)
        print(f"{NATIVE} is left out: no test radiograph is as large as {SIDE}x{SIDE}", flush=True)
    todo = [(name, scale) for name in names for scale in degrade.scales]
    with tqdm(total=sum(len(cases[name == NATIVE]) for name, _ in todo), unit="image", disable=None) as progress:
        for name, scale in todo:
            degradation = Degradation(scale) if name == NATIVE else known[name].at(scale, name)
            found: list[list[Found]] = [[] for _ in models]
            for case in cases[name == NATIVE]:
                for of_model, each in zip(found, measured(case, degradation, degrade.seed, models, device), strict=True):
                    of_model.append(each)
                progress.update()
            for model, each_image in zip(models, found, strict=True):
                yield _row(model, name, scale, each_image)


def _row(model: Model, condition: str, scale: int, found: Sequence[Found]) -> dict[str, object]:
    bicubic, gains, given, strengths, patients = (np.array(column) for column in zip(*found, strict=True))
    counts = condition, scale, len(found), len(set(patients))
    limited = (
        *_of_gains(given, patients),
        f"{strengths.mean():.3f}",
        f"{(strengths == 0).mean():.3f}",
    )
    values = *_of_gains(gains, patients), *([""] * len(GIVEN) if np.isnan(strengths).any() else limited)
    return dict(zip(COLUMNS, (model.name, model.digest, *counts, f"{bicubic.mean():.3f}", *values), strict=True))


def _of_gains(gains: npt.NDArray[np.floating], patients: npt.NDArray[np.str_]) -> list[str]:
    """Return OF_GAINS of the `gains` of images of `patients`."""
    interval = ["" if value is None else f"{value:.3f}" for value in outward(mean(gains, patients), 3)]
    return [*interval, f"{(gains < -WORSE).mean():.3f}", f"{gains.min():.3f}"]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("network", nargs="+")
    parser.add_argument("--images", type=int, help="of each condition at most so many, evenly spaced")
    parser.add_argument("--only", nargs="+", default=(), help="conditions, instead of all")
    parser.add_argument("-o", "--output", type=Path, help="a CSV, written anew")
    given = parser.parse_args()
    keep_freed_memory()
    models = [load_model(name) for name in given.network]
    with given.output.open("w", newline="", encoding="utf-8") if given.output else nullcontext() as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n") if file else None
        if writer:
            writer.writeheader()
        for row in rows(models, given.workspace, given.images, given.only):
            print(*(f"{name} {value}" for name, value in row.items() if name != "digest"), flush=True)
            if writer and file:
                writer.writerow(row)
                file.flush()


if __name__ == "__main__":
    with one_line_errors():
        main()
