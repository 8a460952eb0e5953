"""Whether phantoms have as much structure of each size as radiographs: one of the trial's gates."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cxr.foundation.errors import UserError
from cxr.measures.intervals import Floats
from cxr.measures.spectrum import decibels, radial
from cxr.sources.phantom.anatomy import stream
from cxr.trial.protocol import Protocol, Setting
from cxr.trial.regions import Pixels, person, whole

SIDE = 96  # pixels of a window
OF_EACH = 16  # windows of an image
DARKEST, BRIGHTEST = 30, 170  # mean levels between which a window is of lung, or next to it
PEOPLE = 20  # as many as the radiographs
BANDS = 16
COLUMNS = "pixel", "low", "high", "power"


class Reference(NamedTuple):
    """What radiographs have: `python -m benchmarks.spectrum`."""

    pixel: float
    """Side of a pixel, mm."""
    edges: Floats
    """Of the bands, in cycles a mm (B + 1,)."""
    power: Floats
    """In decibels (B,)."""

    @classmethod
    def read(cls, path: Path) -> "Reference":
        """Return what the CSV `path` has. Raises UserError when it is missing or damaged."""
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = [[float(row[name]) for name in COLUMNS] for row in csv.DictReader(file)]
            pixel, low, high, power = np.array(rows).T
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} cannot be read ({error}); restore it with git checkout") from None
        return cls(float(pixel[0]), np.append(low, high[-1]), power)


def windows(image: Pixels, random: np.random.Generator) -> Iterator[Pixels]:
    """Yield OF_EACH windows (SIDE, SIDE) of `image` (H, W) from the middle four fifths of its height and width.

    Of lung or next to it, by their mean level; fewer where few of those that are tried are.
    """
    found = 0
    for _ in range(20 * OF_EACH):
        top, left = (int(random.uniform(0.1, 0.9) * (length - SIDE)) for length in image.shape)
        cut = image[top : top + SIDE, left : left + SIDE]
        if DARKEST < cut.mean() < BRIGHTEST and cut.min() > 2:
            yield cut
            found += 1
        if found == OF_EACH:
            return


def spectrum(images: Iterator[Pixels], pixel: float, edges: Floats, seed: int) -> Floats:
    """Return the mean power of `windows` of `images` in each band of `edges`, in decibels (B,)."""
    random = stream(seed, "spectrum")
    powers = [radial(cut.astype(float), pixel, edges) for image in images for cut in windows(image, random)]
    return decibels(np.mean(powers, axis=0))


def deviations(protocol: Protocol, reference: Reference, grown: bool) -> Floats:
    """Return by how many decibels phantoms of adults (`grown`) or children differ from radiographs in each band (B,)."""
    setting = Setting(protocol.usual.dose, reference.pixel)
    numbers = range(int(grown), 2 * PEOPLE, 2)
    images = (whole(person(protocol, number, setting.pixel), protocol, setting) for number in numbers)
    return spectrum(images, setting.pixel, reference.edges, protocol.seed) - reference.power
