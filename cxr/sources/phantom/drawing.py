"""The shapes that are drawn in an image, and textures."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from cxr.sources.phantom.anatomy import Floats, Image, dome
from cxr.sources.phantom.view import FIELD, WIDEST, View

SUBPIXEL_BITS = 6  # fractional bits of the coordinates handed to OpenCV's drawing
LEVELS_PER_MM = 20.0  # a drawing's 8 bits hold thickness to 0.05 mm, up to 12.7 mm


class Drawing:
    """Thickness of one tissue, mm, drawn as antialiased shapes; where shapes overlap, the last one stays."""

    def __init__(self, view: View):
        self.view = view
        self.levels: Image = np.zeros(view.shape, np.uint8)

    @property
    def thickness(self) -> Floats:
        """The drawn thickness in mm, float32 of the view's shape."""
        return self.levels * np.float32(1 / LEVELS_PER_MM)

    def polygon(self, points: Floats, thickness: float) -> None:
        """Fill the polygon of (n, 2 or 3) `points` in mm."""
        cv2.fillPoly(self.levels, [self._place(points)], level_of(thickness), cv2.LINE_AA, SUBPIXEL_BITS)

    def tube(self, centre: Floats, radius: Floats, chord: Callable[[Floats], Floats]) -> None:
        """Draw a tube along `centre` (n, 2 or 3); `chord`: thickness at a distance of 0 to 1 radius from the axis."""
        along = np.gradient(centre[:, :2], axis=0)
        across = np.zeros_like(centre)
        across[:, 0], across[:, 1] = -along[:, 1], along[:, 0]
        across *= (radius / np.hypot(along[:, 0], along[:, 1]))[:, None]
        edges = np.array([1, 0.95, 0.88, 0.8, 0.7, 0.55, 0.35, 0])
        half = edges[:-1, None, None] * across
        outlines = self._place(np.concatenate([centre + half, (centre - half)[:, ::-1]], axis=1))
        for outline, thickness in zip(outlines, chord((edges[:-1] + edges[1:]) / 2), strict=True):
            cv2.fillPoly(self.levels, [outline], level_of(thickness), cv2.LINE_AA, SUBPIXEL_BITS)

    def vessels(self, lines: Floats, radius: float, counts: NDArray[Any]) -> None:
        """Draw vessels of one `radius`, mm, along polylines (count, n, 2).

        Those far from the lung may be left out; `counts` (height + 1, width + 1) tells how many of its pixels lie above and to
        the left of each corner.
        """
        placed = self._place(lines)
        around = int(self._width(radius) / 2) + 4  # strokes are blurred by up to 3 pixels
        ends = placed.min(1) // 2**SUBPIXEL_BITS - around, placed.max(1) // 2**SUBPIXEL_BITS + around + 1
        (left, top), (right, bottom) = (np.clip(end, 0, self.levels.shape[::-1]).T for end in ends)
        within = counts[bottom, right] - counts[top, right] - counts[bottom, left] + counts[top, left]
        self._strokes(list(placed[within > 0]), radius)

    def strands(self, lines: Floats, radius: float) -> None:
        """Draw round strands of one `radius`, mm, along polylines (count, n, 2 or 3)."""
        self._strokes(list(self._place(lines)), radius)

    def _strokes(self, placed: list[NDArray[np.int32]], radius: float) -> None:
        width = self._width(radius)
        drawing = np.zeros_like(self.levels)
        for drawn in range(max(1, round(width)), 0, -2):  # from rim to axis, as round as pixels can show it
            chord = 2 * radius * np.sqrt(1 - ((drawn - 1) / width) ** 2)
            if width < 1.5:  # a pixel wide, and as thin as gives it the right mass
                chord = np.pi / 2 * radius * width
            cv2.polylines(drawing, placed, False, level_of(chord), drawn, cv2.LINE_AA, SUBPIXEL_BITS)
        np.maximum(self.levels, drawing, out=self.levels)  # a branch's rim must not cut through its parent

    def _width(self, radius: float) -> float:
        return 2 * radius * self.view.magnification / self.view.pixel

    def _place(self, points: Floats) -> NDArray[np.int32]:
        return np.asarray(np.round(self.view.place(points) * 2**SUBPIXEL_BITS), np.int32)


def level_of(thickness: float) -> float:
    """Return the level, 0 to 255, that stands for `thickness` in mm."""
    return float(min(round(thickness * LEVELS_PER_MM), 255))


def solid(radius: float) -> Callable[[Floats], Floats]:
    """Return the chord through a rod, for `Drawing.tube`."""
    return lambda v: 2 * radius * dome(v)


def shell(radius: float, cortex: float, marrow: float) -> Callable[[Floats], Floats]:
    """Return the chord through a tube of bone: a wall `cortex` mm thick around a share `marrow` of bone."""
    inner = radius - cortex
    return lambda v: 2 * radius * dome(v) - 2 * (1 - marrow) * inner * dome(v * radius / inner)


def texture(view: View, random: np.random.Generator, octaves: int, coarsest: float, fall: float) -> Floats:
    """Return noise of unit variance fixed to the body: `octaves` from `coarsest` mm down, each `fall` times the last.

    Octaves finer than a pixel are left out, so that another size shows the same texture.
    """
    total = np.zeros(view.shape, np.float32)
    weights = fall ** np.arange(octaves)
    weights /= np.sqrt(0.73 * weights @ weights)  # cubic interpolation keeps 0.73 of white noise's variance
    for octave, weight in enumerate(weights.astype(np.float32)):
        spacing = coarsest / 2**octave
        if spacing < view.pixel / view.magnification:
            break
        # As wide for each frame, so that all images of a patient show the same.
        rows, columns = int(1.3 * FIELD / spacing) + 4, int(1.2 * WIDEST * FIELD / spacing) + 4
        lattice = weight * random.standard_normal((rows, columns), dtype=np.float32)
        to_lattice = cv2.invertAffineTransform(view.to_pixels) / spacing
        to_lattice[:, 2] += columns / 2, rows / 2
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        total += cv2.warpAffine(lattice, to_lattice, total.shape[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT)
    return total


def curve(points: list[tuple[float, ...]], count: int) -> Floats:
    """Return `count` points of a smooth curve through `points`."""
    knots = np.array(points, float)
    distance = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    smooth: Floats = PchipInterpolator(distance, knots)(np.linspace(0, distance[-1], count))
    return smooth
