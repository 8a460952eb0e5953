"""Heat maps over radiographs, beside the radiographs as they are."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cxr.figures.layout import DISCLAIMER, DPI, ERROR_COLOURS, OUTLINE_COLOUR, shown_part

Shares = npt.NDArray[np.float32]

OPAQUE = 0.6
"""How much the place that speaks most for a finding hides of the radiograph."""
SIDE = 4.0
"""Inches of a panel."""


class Panel(NamedTuple):
    """A radiograph, and what is drawn on it."""

    title: str
    pixels: Shares
    """(H, W) in [0, 1]."""
    heat: Shares | None = None
    """(S, S) in [0, 1], of the central square."""
    boxes: Sequence[tuple[float, float, float, float]] = ()
    """Left, top, width and height of what is outlined, in shares of the central square."""


@matplotlib.style.context("default")
def heat_maps(rows: Sequence[Sequence[Panel]], title: str, remarks: Sequence[str]) -> Figure:
    """Draw `rows` of as many panels each, under a `title`, and below them `remarks`, a line each, and the disclaimer.

    Of strips, as `shown_part` has it, the middle is shown, which holds the central square. A map is drawn in the colours of
    error maps, the more opaque the greater it is,
    and the central square, outside which a detector sees nothing, is dotted.
    """
    figure = Figure(figsize=(SIDE * len(rows[0]), (SIDE + 0.3) * len(rows) + 0.6 + 0.25 * len(remarks)), dpi=DPI)
    figure.set_layout_engine("constrained")
    axes = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for row, along in zip(rows, axes, strict=True):
        for panel, place in zip(row, along, strict=True):
            _draw(panel, place)
    figure.suptitle(_plain(title), weight="bold")
    figure.supxlabel("\n".join([*map(_plain, remarks), DISCLAIMER]), fontsize=9, color="#404040")
    return figure


def _draw(panel: Panel, axes: Axes) -> None:
    pixels = panel.pixels[shown_part(panel.pixels.shape)]
    height, width = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    axes.imshow(np.stack([pixels] * 3, axis=-1), extent=(0, width, height, 0))
    if panel.heat is not None:
        axes.imshow(
            panel.heat,
            cmap=ERROR_COLOURS,
            vmin=0,
            vmax=1,
            alpha=OPAQUE * panel.heat,
            extent=(left, left + side, top + side, top),
        )
        axes.add_patch(_outline(left, top, side, side, linestyle=":", linewidth=1))
    for across, down, wide, high in panel.boxes:
        axes.add_patch(_outline(left + across * side, top + down * side, wide * side, high * side, linewidth=2))
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.set_title(_plain(panel.title), fontsize=10)


def _outline(left: float, top: float, width: float, height: float, **style: object) -> Rectangle:
    return Rectangle((left, top), width, height, fill=False, edgecolor=OUTLINE_COLOUR, **style)  # type: ignore[arg-type]


def _plain(text: str) -> str:
    """Return `text` as matplotlib shows it, without taking any of it for a formula."""
    return text.replace("$", r"\$")
