"""The findings: how thick what they add is along each ray, in the middle of a region.

All lie within `protocol.REACH` of its middle, so that they are the same whatever a pixel measures.
"""

from collections.abc import Callable
from itertools import product

import numpy as np

from cxr.measures.intervals import Floats
from cxr.sources.phantom.tissues import CORTICAL_BONE, INFLATED_LUNG, SOFT_TISSUE
from cxr.trial.protocol import FINDINGS

FINER = 8  # times as fine is the grid on which they are drawn, before each pixel takes its mean


def added(finding: str, contrast: float, side: int, pixel: float) -> Floats:
    """Return what `finding` adds to the line integral in a region of `side` pixels of `pixel` mm: (side, side).

    `contrast` is its density, as a share of soft tissue's in the place of lung, or, of a catheter, of compact bone's.
    """
    line = ((np.arange(side * FINER) + 0.5) / FINER - side / 2) * pixel
    thickness = _SHAPES[finding](*np.meshgrid(line, line, indexing="ij"))
    in_pixels = thickness.reshape(side, FINER, side, FINER).mean(axis=(1, 3))
    per_mm = CORTICAL_BONE if finding == "catheter tip" else SOFT_TISSUE - INFLATED_LUNG
    return np.asarray(contrast * per_mm * in_pixels, np.float32)


def _ball(down: Floats, across: Floats, radius: float) -> Floats:
    """Return how far rays run through a ball, mm."""
    found: Floats = 2 * np.sqrt(np.clip(radius**2 - down**2 - across**2, 0, None))
    return found


def _strand(off: Floats, along: Floats, radius: float, length: float) -> Floats:
    """Return how far rays run through a round strand, mm: `off` its axis, and within half its `length` of its middle."""
    found: Floats = 2 * np.sqrt(np.clip(radius**2 - off**2, 0, None)) * (np.abs(along) < length / 2)
    return found


def _nodule(down: Floats, across: Floats) -> Floats:
    """Return a nodule of 8 mm."""
    return _ball(down, across, 4)


def _miliary(down: Floats, across: Floats) -> Floats:
    """Return nodules of 1.5 mm, some 2.6 mm apart: 1 to 3 mm by Hansell et al., Radiology 246(3), 2008."""
    random = np.random.default_rng(7)
    total = np.zeros_like(down)
    for row, column in product((-1, 0, 1), repeat=2):
        y, x = 2.6 * np.array([row, column]) + random.uniform(-0.6, 0.6, 2)
        total += _ball(down - y, across - x, 0.75)
    return total


def _septal(down: Floats, across: Floats) -> Floats:
    """Return three short parallel lines of 0.7 mm, 2.5 mm apart: Kerley's B lines."""
    lines = [_strand(down - y + 0.06 * across, across, 0.35, 8) for y in (-2.5, 0, 2.5)]
    return np.asarray(np.sum(lines, axis=0))


def _edge(down: Floats, across: Floats) -> Floats:
    """Return the line of a lung's pleura where it has come off the chest wall: 0.6 mm wide, slightly bent."""
    off = down * np.cos(1.1) - across * np.sin(1.1) + 0.02 * (down**2 + across**2)
    along = across * np.cos(1.1) + down * np.sin(1.1)
    return _strand(off, along, 0.3, 9)


def _catheter(down: Floats, across: Floats) -> Floats:
    """Return the end of a catheter of 1.6 mm, whose wall is 0.3 mm thick, with its tip in the middle."""
    off = down * np.cos(0.7) - across * np.sin(0.7)
    along = across * np.cos(0.7) + down * np.sin(0.7) - 2.5
    return _strand(off, along, 0.8, 5) - _strand(off, along, 0.5, 5)


_SHAPES: dict[str, Callable[[Floats, Floats], Floats]] = dict(
    zip(FINDINGS, (_nodule, _miliary, _septal, _edge, _catheter), strict=True)
)
