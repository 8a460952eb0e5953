"""Heat maps over radiographs, beside the radiographs as they are."""

import textwrap
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
"""Inches of a panel's width."""
LETTERS = 13
"""Of a remark in an inch, at most."""


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
    """Draw `rows` of as many panels each, under a `title` and `remarks`, and below them the disclaimer.

    Of strips, as `shown_part` has it, the middle is shown, which holds the central square. A map is drawn in the colours of
    error maps, the more opaque the greater it is,
    and the central square, outside which a detector sees nothing, is dotted.
    """
    told = [line for remark in remarks for line in textwrap.wrap(remark, round(LETTERS * SIDE * len(rows[0])))]
    heights = [max(_shape(panel)[0] / _shape(panel)[1] for panel in row) for row in rows]
    height = sum(SIDE * each + 0.4 for each in heights) + 0.2 * len(told) + 0.8
    figure = Figure(figsize=(SIDE * len(rows[0]), height), dpi=DPI, layout="constrained")
    axes = figure.subplots(len(rows), len(rows[0]), squeeze=False, height_ratios=heights)
    for row, along in zip(rows, axes, strict=True):
        for panel, place in zip(row, along, strict=True):
            _draw(panel, place)
    figure.suptitle("\n".join(map(_plain, [title, *told])), fontsize=10)
    figure.supxlabel(DISCLAIMER, fontsize=9, color="#606060")
    return figure


def _shape(panel: Panel) -> tuple[int, int]:
    """Return how many rows and columns of `panel` are shown."""
    rows, columns = panel.pixels[shown_part(panel.pixels.shape)].shape
    return rows, columns


def _draw(panel: Panel, axes: Axes) -> None:
    pixels = panel.pixels[shown_part(panel.pixels.shape)]
    height, width = _shape(panel)
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
