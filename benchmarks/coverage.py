"""How often do the intervals that this project prints hold the truth? By simulation, at the sizes of its results.

    python -m benchmarks.coverage [--times 2000] [--seed 0] [-o FILE.csv]

A row of the CSV is a quantity at a size: the truth, on which share of the simulated sets an interval is told at all, which
share of those intervals hold the truth, and which share leave zero out: the power, or where the truth is zero, the error.
Means are of gains that are normal, or skewed either way as a gamma distribution; images of a patient are correlated by a half,
and patients have 1 to 5 images as in the Kaggle set's test split. Scores are binormal (`cxr.measures.areas.binormal`); in some
rows patients have images of both classes. Shares are of independent cases.
`verdict` is covers (at least 93%, or less by no more than SLACK standard errors of what was simulated), conservative (above
97%), too few (an interval is told on less than 1% of the sets), or falls short. With a row that falls short it exits with 1.
"""

import argparse
import csv
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from cxr.foundation.errors import UserError, one_line_errors
from cxr.measures.areas import ALIKE, Design, area, binormal, difference
from cxr.measures.intervals import Estimate, Floats, Patients, mean
from cxr.measures.ratios import share

IMAGES = np.repeat([1, 2, 3, 5], [34, 6, 2, 1])
"""Of each of the 43 patients of the Kaggle set's test split: what patients are drawn from."""
PATIENTS, SKEWS = (10, 43, 200), (-1.0, 0.0, 1.0)
ILL_AND_WELL = ((42, 15), (15, 15), (100, 100), (390, 234))
"""Images of each class: the 57 of the Kaggle set's test split, two outer sets, and that set's own folder `test`."""
AREAS, APART, ALIKES = (0.8, 0.95, 0.98), (0.0, 0.005, 0.02, 0.05), (0.9, 0.99)
SHARES = (0.05, 0.5, 0.7, 0.9, 0.98)
AUC, SHARE, SHORT = "AUC", "share", "falls short"
LEAST, MOST, FEW = 0.93, 0.97, 0.01
SLACK = 2  # standard errors of a simulated share that LEAST allows for chance
COLUMNS = "quantity", "size", "setting", "truth", "told", "covered", "found", "verdict"


class Case(NamedTuple):
    """What is simulated."""

    quantity: str
    size: str
    setting: str
    truth: float
    draw: Callable[[np.random.Generator], Estimate]


def patients_of(images: int, random: np.random.Generator, name: str) -> Patients:
    """Return the patient of each of so many images."""
    counts: list[int] = []
    while sum(counts) < images:
        counts.append(int(random.choice(IMAGES)))
    return np.repeat([f"{name}{number}" for number in range(len(counts))], counts)[:images]


def gains(patients: int, skew: float, random: np.random.Generator) -> tuple[Floats, Patients]:
    """Return gains of mean zero, unit variance and this skewness, and whose each is."""
    of = np.repeat(np.arange(patients), random.choice(IMAGES, patients))

    def drawn(count: int) -> Floats:
        if skew == 0:
            return random.standard_normal(count)
        own = abs(skew) / (ALIKE**1.5 + (1 - ALIKE) ** 1.5)  # so that the sum of both parts has `skew`
        shape = 4 / own**2
        values: Floats = np.sign(skew) * (random.gamma(shape, size=count) - shape) / np.sqrt(shape)
        return values

    return np.sqrt(ALIKE) * drawn(patients)[of] + np.sqrt(1 - ALIKE) * drawn(len(of)), of.astype(str)


def design(ill: int, well: int, random: np.random.Generator, mixed: bool = False) -> Design:
    """Return cases of which no patient is ill and well; or, if they are `mixed`, of which many are, at different times."""
    if mixed:
        return Design(random.permutation(ill + well) < ill, patients_of(ill + well, random, "p"))
    whose = np.concatenate([patients_of(ill, random, "i"), patients_of(well, random, "w")])
    return Design(np.arange(ill + well) < ill, whose)


def cases() -> Iterator[Case]:
    """Yield all that is simulated."""
    for patients in PATIENTS:
        for skew in SKEWS:

            def of_gains(random: np.random.Generator, patients: int = patients, skew: float = skew) -> Estimate:
                return mean(*gains(patients, skew, random))

            yield Case("mean gain", f"{patients} patients", f"skewness {skew:g}", 0, of_gains)
    for (ill, well), true, mixed in product(ILL_AND_WELL, AREAS, (False, True)):

        def of_area(
            random: np.random.Generator, size: tuple[int, int] = (ill, well), true: float = true, mixed: bool = mixed
        ) -> Estimate:
            chosen = design(*size, random, mixed)
            return area(binormal(random, chosen, (true, true), 0)[0], chosen)

        yield Case(AUC, f"{ill} ill, {well} well", "patients in both" if mixed else "", true, of_area)
    for ill, well in ILL_AND_WELL:
        for true in AREAS:
            for alike in ALIKES:
                for apart in APART:

                    def of_two(
                        random: np.random.Generator,
                        size: tuple[int, int] = (ill, well),
                        areas: tuple[float, float] = (true, true - apart),
                        alike: float = alike,
                    ) -> Estimate:
                        chosen = design(*size, random)
                        return difference(*binormal(random, chosen, areas, alike), chosen)

                    setting = f"AUC {true:g}, scores correlated by {alike:g}"
                    yield Case("difference of AUC", f"{ill} ill, {well} well", setting, apart, of_two)
    for patients, true in product(PATIENTS, SHARES):

        def of_share(random: np.random.Generator, patients: int = patients, true: float = true) -> Estimate:
            return share(random.random(patients) < true)

        yield Case(SHARE, f"{patients} patients", "", true, of_share)


def simulated(case: Case, times: int, seed: tuple[int, int]) -> dict[str, str]:
    """Return a row of COLUMNS."""
    random = np.random.default_rng(seed)
    held = found = told = 0
    for _ in range(times):
        _, low, high, _ = case.draw(random)
        if low is not None and high is not None:
            told += 1
            held += low <= case.truth <= high
            found += low > 0 or high < 0
    covered = held / told if told else float("nan")
    of_zero = f"{found / times:.3f}" if case.quantity not in (AUC, SHARE) else ""  # which neither is tested against
    shares = f"{told / times:.3f}", f"{covered:.3f}" if told else "", of_zero
    return dict(zip(COLUMNS, (*case[:3], f"{case.truth:g}", *shares, verdict(told, held, times)), strict=True))


def verdict(told: int, held: int, times: int) -> str:
    """Return what the shares say."""
    if told < FEW * times:
        return "too few"
    covered = held / told
    if covered < LEAST - SLACK * np.sqrt(LEAST * (1 - LEAST) / told):
        return SHORT
    return "conservative" if covered > MOST else "covers"


def main() -> None:
    """Simulate, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="a CSV, written anew")
    given = parser.parse_args()
    rows = []
    for number, case in enumerate(tqdm(list(cases()), unit="case", disable=None)):
        rows.append(simulated(case, given.times, (given.seed, number)))
        print(", ".join(f"{name} {value}" for name, value in rows[-1].items() if value), flush=True)
    if given.output:
        with given.output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if short := [row for row in rows if row["verdict"] == SHORT]:
        raise UserError(f"{len(short)} of {len(rows)} kinds of interval fall short: print none there")


if __name__ == "__main__":
    with one_line_errors():
        main()
