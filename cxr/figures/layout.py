"""A picture laid out in its own pixels, and written to a file."""

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from PIL import Image

from cxr.foundation.files import replacing

Grey8 = npt.NDArray[np.uint8]
OUTLINE_COLOUR = "#56B4E9"
ERROR_COLOURS = "magma"  # perceptually uniform: equal steps of error look equally large
ERROR_LABEL = "|error|, grey levels of 255"
DISCLAIMER = "For research, not for diagnosis."
DPI = 100


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as a PNG to `path`, whole or not at all; equal figures give equal bytes."""
    picture = Image.fromarray(pixels(figure))  # not savefig, which writes matplotlib's version into the file
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


@matplotlib.style.context("default")
def pixels(figure: Figure) -> Grey8:
    """Return `figure` as it is drawn: uint8 (height, width, 3), RGB."""
    canvas: Any = FigureCanvasAgg(figure)  # partly untyped
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


Shape = tuple[int, int]
"""Rows and columns."""

LONGEST = 4
"""How many times as long as its shorter side the longer side of an image is shown at most: a strip fills the memory."""


def shown_part(shape: Shape) -> tuple[slice, slice]:
    """Return the rows and columns of an image of `shape` that are shown: all, or of a strip those in its middle."""
    wanted = [min(length, LONGEST * min(shape)) for length in shape]
    rows, columns = (slice((length - of) // 2, (length - of) // 2 + of) for length, of in zip(shape, wanted, strict=True))
    return rows, columns


class Placed(NamedTuple):
    """An image on the page: `shape` in pixels of the figure, from the upper left corner (`left`, `top`)."""

    image: AxesImage
    left: int
    top: int
    shape: Shape
    extent: Shape
    """Rows and columns of the image, or of that whose size it stands for."""


class Layout:
    """A figure measured in its own pixels from the upper left corner, with equal panels in columns side by side.

    A panel is `panel` pixels wide. Lengths given to `px` and text sizes are in units of which that is 512 unless told, so that
    the picture of a small image is laid out as that of a large one.
    """

    def __init__(
        self,
        panel: int,
        columns: int,
        *,
        column: int | None = None,
        unit: float | None = None,
        margin: int = 60,
        bar: bool = False,
    ) -> None:
        self.panel = panel
        self.column = column or panel
        self._unit = unit or panel / 512
        self._margin = self.px(margin)
        self._gap = self.px(16)
        self._content = columns * (self.column + self._gap) - self._gap
        self._width = self._margin + self._content + self.px(150 if bar else margin)
        self._height = 0

    def open(self, height: int) -> None:
        """Start the figure, now that its height is known."""
        self._height = height
        self.figure = Figure(figsize=(self._width / DPI, height / DPI), dpi=DPI)
        self._canvas: Any = FigureCanvasAgg(self.figure)  # partly untyped; measures texts
        # One for all images, in pixels of the figure: making axes takes longer than drawing on them.
        self._page = self.figure.add_axes((0, 0, 1, 1))
        self._page.set_axis_off()
        self._page.set(xlim=(0, self._width), ylim=(height, 0), autoscale_on=False)

    def px(self, length: float) -> int:
        """Return `length` in pixels."""
        return round(length * self._unit)

    def left(self, column: int) -> int:
        """Return where `column` begins."""
        return self._margin + column * (self.column + self._gap)

    def text(self, text: str, x: float, y: float, size: float, *, width: float | None = None, **style: Any) -> None:
        """Write `text` with its upper left corner at (x, y) if `style` does not say else, no wider than `width`."""
        style = {"va": "top", "parse_math": False, **style}
        points = size * self._unit * 72 / DPI
        artist = self.figure.text(x / self._width, 1 - y / self._height, text, fontsize=points, **style)
        drawn = artist.get_window_extent(self._canvas.get_renderer()).width
        if width is not None and drawn > width:
            artist.set_fontsize(points * width / drawn * 0.99)

    def heading(self, title: str, subtitle: str) -> None:
        """Write the title, the line below it, and the disclaimer in the lower right corner."""
        self.text(title, self._margin, self.px(24), 32, width=self._content, weight="bold")
        self.text(subtitle, self._margin, self.px(66), 22, width=self._content, color="#404040")
        self.text(
            DISCLAIMER, self._margin + self._content, self._height - self.px(12), 18, ha="right", va="bottom", color="#606060"
        )

    def column_name(self, name: str, colour: str, left: int, image_top: int) -> None:
        """Write `name` above the column that begins at `left`, over a strip of `colour`."""
        self.text(name, left, image_top - self.px(46), 26, weight="bold")
        self._page.add_patch(Rectangle((left, image_top - self.px(10)), self.column, self.px(6), color=colour, linewidth=0))

    def row_name(self, name: str, top: int, height: int) -> None:
        """Write `name` upwards beside the row."""
        self.text(name, self._margin - self.px(10), top + height / 2, 22, rotation=90, va="center", ha="right", color="#404040")

    def grey(self, image: Grey8, left: int, top: int, shape: Shape, *, extent: Shape | None = None) -> Placed:
        """Show a grey image as it is in `shape`, its pixels stretched to the `extent` of another image if given."""
        # As RGB, since the colour map "gray" of matplotlib draws some grey levels one level too dark.
        return self._image(np.stack([image] * 3, axis=-1), left, top, shape, extent or image.shape)

    def errors(self, errors: npt.NDArray[Any], left: int, top: int, shape: Shape, norm: Normalize) -> Placed:
        """Show `errors` (H, W) in the colours of error maps, as `norm` scales them."""
        return self._image(errors, left, top, shape, errors.shape, cmap=ERROR_COLOURS, norm=norm)

    def frame(self, placed: Placed, window: tuple[int, int], side: int) -> None:
        """Outline the window of `side` pixels whose first row and column are given, with a line that lies outside it."""
        row, column = window
        factor, thick = placed.shape[0] / placed.extent[0], self.px(3)
        corner = placed.left + column * factor - thick / 2, placed.top + row * factor - thick / 2
        self._outline(corner, side * factor + thick)

    def zoom(self, placed: Placed, window: tuple[int, int], side: int) -> None:
        """Show nothing but the window, framed: `placed` must be a square."""
        row, column = window
        factor = placed.shape[0] / side
        left, top = placed.left - column * factor, placed.top - row * factor
        height, width = (length * factor for length in placed.extent)
        placed.image.set_extent((left, left + width, top + height, top))
        square = Rectangle((placed.left, placed.top), *placed.shape[::-1], transform=self._page.transData)
        placed.image.set_clip_path(square)
        self._outline((placed.left, placed.top), placed.shape[0])

    def colour_bar(self, norm: Normalize, top: int, height: int, label: str = ERROR_LABEL) -> None:
        """Draw the scale of error maps to the right of the columns."""
        left, bottom, width = self._margin + self._content + self.px(24), self._height - top - height, self.px(24)
        box = left / self._width, bottom / self._height, width / self._width, height / self._height
        axes = self.figure.add_axes(box)
        bar = self.figure.colorbar(ScalarMappable(norm, ERROR_COLOURS), cax=axes, extend="max", extendfrac=0.04)
        points = 20 * self._unit * 72 / DPI
        bar.ax.tick_params(labelsize=points, width=self._unit, length=4 * self._unit)
        bar.set_label(label, fontsize=points, labelpad=6 * self._unit)
        bar.outline.set_linewidth(self._unit)

    def _image(self, image: npt.NDArray[Any], left: int, top: int, shape: Shape, extent: Shape, **style: Any) -> Placed:
        height, width = shape
        box = left, left + width, top + height, top
        drawn = self._page.imshow(image, interpolation="nearest", aspect="auto", extent=box, **style)
        return Placed(drawn, left, top, shape, extent)

    def _outline(self, corner: tuple[float, float], side: float) -> None:
        points = self.px(3) * 72 / DPI
        line = Rectangle(corner, side, side, fill=False, edgecolor=OUTLINE_COLOUR, linewidth=points, joinstyle="miter")
        self._page.add_patch(line)
