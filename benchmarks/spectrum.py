"""Measure the radial power spectrum of radiographs, which the trial holds phantoms against.

    python -m benchmarks.spectrum FOLDER --role native -o trial/spectrum.csv

FOLDER has NIH ChestX-ray14's radiographs as PNG, and `table.csv` with the columns file, pixel_mm and role. Those of `--role`
are taken. A row is a band of frequencies: its ends in cycles a mm and the mean power of windows of 96 pixels, in decibels of
squared grey levels of 255 times mm2. Pixels may differ from the usual one by a fifth at most.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_table
from cxr.measures.intervals import Floats
from cxr.measures.spectrum import decibels, radial
from cxr.sources.phantom.anatomy import stream
from cxr.trial.spectrum import BANDS, COLUMNS, windows


def measured(folder: Path, role: str) -> list[dict[str, float]]:
    """Return a row for each band. Raises UserError when there is no radiograph of that role, or pixels differ too much."""
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        listed = [(row["file"], float(row["pixel_mm"])) for row in csv.DictReader(file) if row["role"] == role]
    if not listed:
        raise UserError(f"{folder / 'table.csv'} has no radiograph of the role {role!r}; name another")
    pixels = np.array([pixel for _, pixel in listed])
    usual = round(float(np.median(pixels)), 2)
    if (np.abs(pixels / usual - 1) > 0.2).any():
        raise UserError(f"pixels are from {pixels.min():g} to {pixels.max():g} mm; take radiographs whose pixels are alike")
    edges = np.linspace(0, 0.5 / pixels.max(), BANDS + 1)
    random, powers = stream("spectrum"), list[Floats]()
    for name, pixel in listed:
        with Image.open(folder / name) as picture:
            image = np.asarray(picture.convert("L"))
        powers += [radial(cut.astype(float), pixel, edges) for cut in windows(image, random)]
    power = decibels(np.mean(powers, axis=0))
    told = zip(edges[:-1], edges[1:], power, strict=True)
    return [dict(zip(COLUMNS, (usual, round(low, 4), round(high, 4), round(each, 2)), strict=True)) for low, high, each in told]


def main() -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--role", default="native")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    write_table(given.output, measured(given.folder, given.role))


if __name__ == "__main__":
    with one_line_errors():
        main()
