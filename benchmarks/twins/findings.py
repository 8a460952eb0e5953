"""Small findings, drawn into phantoms: nodules, lines and textures, of known size and contrast."""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SIDE = 64  # pixels a side of a window, the finding in its middle
FINER = 8  # times as fine is the grid on which findings are drawn, before each pixel takes its mean

DIAMETERS, NODULE_LEVELS = (2, 3, 4, 6, 8, 12), (1, 2, 4, 6, 10)
LINE_LEVELS = (2, 4, 7, 10)
TEXTURE_LEVELS = (4, 8)


class Finding(NamedTuple):
    """Something to be seen, or not."""

    kind: str
    size: float
    """Pixels across: a nodule's diameter, a line's width, a texture's grain."""
    contrast: float
    """Grey levels by which it is brighter than what lies around it, where it is fullest."""

    @property
    def name(self) -> str:
        """Return what tables call it."""
        return f"{self.kind} {self.size:g} px {self.contrast:g}"

    @property
    def signal(self) -> Floats:
        """Return what it adds to a radiograph, in grey levels (SIDE, SIDE)."""
        return self.contrast * SHAPES[self.kind](self.size)


def _grid() -> tuple[Floats, Floats]:
    """Return down and across, in pixels from the middle of the window, on the finer grid."""
    line = (np.arange(SIDE * FINER) + 0.5) / FINER - SIDE / 2
    return np.meshgrid(line, line, indexing="ij")


def _in_pixels(fine: Floats) -> Floats:
    """Return the means over pixels of what is on the finer grid."""
    means: Floats = fine.reshape(SIDE, FINER, SIDE, FINER).mean(axis=(1, 3))
    return means


def _nodule(diameter: float) -> Floats:
    """Return a ball's thickness, the greatest being 1, off the grid of pixels."""
    down, across = _grid()
    square = ((down - 0.3) ** 2 + (across + 0.2) ** 2) / (diameter / 2) ** 2
    return _in_pixels(np.sqrt(np.clip(1 - square, 0, None)))


def _line(width: float, length: float, angle: float, bend: float = 0.0) -> Floats:
    """Return a line of so many pixels' length, turned by `angle`, whose middle lies `bend` pixels off the line of its ends."""
    down, across = _grid()
    along = across * np.cos(angle) + down * np.sin(angle)
    off = down * np.cos(angle) - across * np.sin(angle) + bend * ((2 * along / length) ** 2 - 0.5)
    return _in_pixels(((np.abs(off) < width / 2) & (np.abs(along) < length / 2)).astype(float))


def _septal(width: float) -> Floats:
    """Return Kerley's B lines: three short horizontal ones, as they meet the pleura."""
    one = _line(width, 14, 0.06)
    return np.clip(np.roll(one, -7, 0) + one + np.roll(one, 7, 0), 0, 1)


def _pleura(width: float) -> Floats:
    """Return the edge of a lung that has fallen in: a long, thin, bent line."""
    return _line(width, 52, 1.1, 4.0)


def _catheter(width: float) -> Floats:
    """Return a thin tube: two walls and what is between them."""
    return 0.6 * _line(width, 56, 0.7, -3.0) + 0.4 * np.clip(
        _line(width, 56, 0.7, -3.0) - _line(width / 2, 56, 0.7, -3.0), 0, 1
    )


def _miliary(grain: float) -> Floats:
    """Return nodules of one size, strewn evenly: miliary tuberculosis."""
    random = np.random.default_rng(7)
    down, across = _grid()
    drawn = np.zeros_like(down)
    for top, left in product(range(-24, 25, 7), range(-24, 25, 7)):
        y, x = np.array([top, left]) + random.uniform(-1.5, 1.5, 2)
        square = ((down - y) ** 2 + (across - x) ** 2) / (grain / 2) ** 2
        drawn += np.sqrt(np.clip(1 - square, 0, None))
    return _in_pixels(drawn)


def _reticular(width: float) -> Floats:
    """Return a net of thin lines: interstitial disease."""
    random = np.random.default_rng(11)
    drawn = np.zeros((SIDE, SIDE))
    for _ in range(14):
        one = _line(width, 30, random.uniform(0, np.pi), random.uniform(-2, 2))
        drawn = np.maximum(drawn, np.roll(one, random.integers(-14, 15, 2), (0, 1)))
    return drawn


SHAPES: dict[str, Callable[[float], Floats]] = {
    "nodule": _nodule,
    "septal lines": _septal,
    "pleural edge": _pleura,
    "catheter": _catheter,
    "miliary": _miliary,
    "reticular": _reticular,
}
FINDINGS = (
    *(Finding("nodule", *each) for each in product(DIAMETERS, NODULE_LEVELS)),
    *(Finding(*each) for each in product(("septal lines", "pleural edge"), (1,), LINE_LEVELS)),
    *(Finding("catheter", 2, level) for level in LINE_LEVELS),
    *(Finding("miliary", 3, level) for level in TEXTURE_LEVELS),
    *(Finding("reticular", 1, level) for level in TEXTURE_LEVELS),
)
