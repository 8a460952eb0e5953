"""A radiograph as a viewer has it: its values, how they are shown, and what is known of it. No torch."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cxr.formats.dicom.corners import Spacing
from cxr.formats.dicom.display import Display
from cxr.formats.dicom.radiograph import Storing
from cxr.superres.told import Told

Values = npt.NDArray[np.uint16]

SIDE = 256
"""Rows and columns of a result's tile, at most: of scale 3, the multiple of it below."""
AROUND = 64
"""Pixels of a radiograph around a tile that go with it, more than any bundled network sees."""
EXACT = 1e-6
"""Of white: a curve that is nowhere further from a line is a window."""


class Presentation(NamedTuple):
    """How values are shown at first: through `table`, where there is one, then by a window on what comes of that."""

    low: float
    high: float
    """What is black and what is white; the other way round if `inverted`."""
    inverted: bool
    table: Values | None
    """By value, what a curve that is no line makes of it, 0 to 65,535."""
    slope: float = 1.0
    intercept: float = 0.0
    """What a value comes to in the units of the file, for texts."""
    linear: bool = False
    """Whether the file tells its window by DICOM's function LINEAR: one wider, and half a value higher."""


class Known(NamedTuple):
    """What came in, by its values, and what may be done with it."""

    told: str
    """In words."""
    arrival: Told
    """The same for a network that is told."""
    limits: dict[int, tuple[float, str]]
    """By scale, how strongly the network may be used, 0 to 1, and why no more."""


class Compressed(NamedTuple):
    """What a file says of its compression."""

    tables: npt.NDArray[np.integer] | None = None
    """(8, 8): how it was quantised, if it is a JPEG."""
    lossy: bool = False
    """Whether it lost anything."""


@dataclass(frozen=True)
class Viewed:
    """What a viewer needs of a radiograph, and nothing of its file."""

    values: Values
    """(H, W): as stored, counted from `least`."""
    least: int
    bits: int
    """Of a picture: white is 2**bits - 1."""
    presentation: Presentation
    digest: str
    """The SHA-256 of shape and values, in hex."""
    compressed: Compressed
    remarks: tuple[str, ...] = ()
    corners: dict[str, tuple[str, ...]] | None = None
    orientation: tuple[str, str] | None = None
    """Towards which side of the patient rows and columns go, such as L and F (PS3.3, C.7.6.1.1.1)."""
    spacing: Spacing | None = None
    synthetic: bool = False
    """Whether it says itself that it is a phantom."""
    padding: npt.NDArray[np.bool_] | None = None
    """(H, W): where there is no image. None of pictures."""
    display: Display | None = None
    storing: Storing | None = None

    @property
    def black(self) -> int:
        """Return a value that is shown as dark as any: what a viewer has for padding."""
        return 0 if self.display is None else int(self.display.curve.argmin())

    @property
    def shown(self) -> Values:
        """Return the values with black for padding."""
        if self.padding is None or not self.padding.any():
            return self.values
        values = self.values.copy()
        values[self.padding] = self.black
        return values

    def piece(self, known: Known, scale: int, row: int, column: int) -> "Piece":
        """Return what tile (`row`, `column`) of the result at `scale` is made of. Raises ValueError where there is none."""
        side = SIDE // scale
        tops, parts = [], []
        for number, length in zip((row, column), self.values.shape, strict=True):
            first, behind = number * side, min((number + 1) * side, length)
            if not 0 <= first < length:
                raise ValueError(f"there is no tile {row}, {column}")
            top = max(first - AROUND, 0)
            tops.append(slice(top, min(behind + AROUND, length)))
            parts.append(slice(first - top, behind - top))
        read = tops[0], tops[1]
        cut = replace(
            self,
            values=np.ascontiguousarray(self.values[read]),
            padding=None if self.padding is None else np.ascontiguousarray(self.padding[read]),
            presentation=self.presentation._replace(table=None),
            corners=None,
        )
        return Piece(cut, known, scale, (parts[0], parts[1]))


class Piece(NamedTuple):
    """A part of a radiograph, with what a network sees around it."""

    of: Viewed
    known: Known
    scale: int
    part: tuple[slice, slice]
    """Which of its rows and columns are the part."""

    @property
    def made(self) -> tuple[slice, slice]:
        """Return which rows and columns of its result are the part's."""
        rows, columns = (slice(each.start * self.scale, each.stop * self.scale) for each in self.part)
        return rows, columns


class Made(NamedTuple):
    """A tile of a result."""

    values: Values
    """Counted as the radiograph's are."""
    off: float
    """How far it is, at the greatest strength that is allowed, and reduced again, from what it was made of.

    The mean square in grey levels of 255.
    """


def presentation(curve: npt.NDArray[np.float64]) -> Presentation:
    """Return the window that shows values from 0 as `curve` does, from 0, black, to 1, white; or the table, if it is none."""
    places = np.arange(len(curve), dtype=float)
    inverted = bool(curve[-1] < curve[0])
    rising = 1 - curve if inverted else curve
    between = np.flatnonzero((rising > 0) & (rising < 1))
    if len(between) > 1:
        slope, first = np.polyfit(places[between], rising[between], 1)
        if slope > 0 and np.abs((first + slope * places).clip(0, 1) - rising).max() < EXACT:
            return Presentation(float(-first / slope), float((1 - first) / slope), inverted, None)
    table: Any = (curve * 65_535).round().astype(np.uint16)
    return Presentation(0.0, 65_535.0, inverted=False, table=table)
