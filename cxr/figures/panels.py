"""Pictures that people look at: the contact sheet, composed error panels and mean error maps.

Every picture is laid out in its own pixels, so that each pixel of a radiograph covers a whole number of them and keeps
its grey level: 0 black, 255 white, nothing interpolated. Nothing here uses pyplot or leaves matplotlib's settings changed,
and the reader's own settings change no byte.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from cxr.foundation.files import replacing

Grey = npt.NDArray[np.uint8]

LABELS = {"bicubic": "Bicubic", "srcnn": "SRCNN", "vdsr": "VDSR"}
# Okabe and Ito's palette, which colour-blind readers can tell apart; the charts in .dvc/plots use the same colours.
COLOURS = {"bicubic": "#7F7F7F", "srcnn": "#E69F00", "vdsr": "#0072B2"}
OUTLINE_COLOUR = "#56B4E9"
ERROR_COLOURS = "magma"  # perceptually uniform: equal steps of error look equally large
ERROR_LABEL = "|error|, grey levels of 255"
DISCLAIMER = "For research, not for diagnosis."

SHEET_IMAGES = 40
SHEET_COLUMNS = 8
# Of `comparison`: pixels a side of a panel and of the detail that it magnifies, and grey levels at the top of its colours.
COMPARED, DETAIL, COMPARED_TO = 512, 96, 10
DPI = 100


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as a PNG to `path`, whole or not at all; equal figures give equal bytes."""
    picture = Image.fromarray(pixels(figure))  # not savefig, which writes matplotlib's version into the file
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


@matplotlib.style.context("default")
def pixels(figure: Figure) -> Grey:
    """Return `figure` as it is drawn: uint8 (height, width, 3), RGB."""
    canvas: Any = FigureCanvasAgg(figure)  # partly untyped
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@matplotlib.style.context("default")
def contact_sheet(images: Grey, table: pd.DataFrame) -> Figure:
    """Lay out up to 40 images, as evenly from the classes as they allow, each labelled with class, file and patient.

    `images` is uint8 (N, S, S); row i of `table`, with columns class, source (a posix path) and patient, describes
    image i. Of each class the images are taken at even distances of its rows. Large images are shrunk to 256 pixels.
    """
    chosen = _evenly(table["class"].tolist(), SHEET_IMAGES)
    size = images.shape[1]
    panel = 256 if size > 256 else size * -(-160 // size)
    rows = -(-len(chosen) // SHEET_COLUMNS)
    layout = _Layout(panel, min(SHEET_COLUMNS, max(len(chosen), 4)), unit=panel / 320, margin=28)
    pitch = panel + layout.px(92)
    top = layout.px(128)
    layout.open(top + rows * pitch + layout.px(36))

    counts = table["class"].value_counts().sort_index()
    layout.heading(
        "Images that went in",
        f"{len(chosen)} of {len(table)}: " + ", ".join(f"{count} {name}" for name, count in counts.items()),
    )
    for place, index in enumerate(chosen):
        row, column = divmod(place, SHEET_COLUMNS)
        image_top = top + row * pitch
        thumbnail = images[index]
        if size > panel:
            thumbnail = np.asarray(Image.fromarray(thumbnail).resize((panel, panel), Image.Resampling.BOX))
        layout.grey(thumbnail, layout.left(column), image_top, panel)
        described = table.iloc[index]
        lines = (str(described["class"]), str(described["source"]).rsplit("/", 1)[-1], f"patient {described['patient']}")
        for line, text in enumerate(lines):
            y = image_top + panel + layout.px(8 + 23 * line)
            layout.text(text, layout.left(column), y, 19, width=panel, weight="normal" if line else "bold")
    return layout.figure


def most_different_window(errors: Sequence[npt.NDArray[Any]], side: int) -> tuple[int, int]:
    """Return (row, column) of the upper left corner of the window in which `errors` differ most.

    `errors` are absolute errors of equal shape (H, W), one array for each method. A pixel's difference is the largest
    error less the smallest; the window of `side` by `side` pixels with the largest sum wins, of equal ones the first by
    row, then by column.
    """
    stack = np.stack(errors).astype(np.float64)  # sums of whole grey levels stay exact
    sums = np.pad((stack.max(axis=0) - stack.min(axis=0)).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    row, column = np.unravel_index(np.argmax(windows), windows.shape)
    return int(row), int(column)


@matplotlib.style.context("default")
def error_panel(
    truth: Grey,
    low: Grey,
    restored: Mapping[str, Grey],
    scores: Mapping[str, tuple[float, float]],
    task: str,
    title: str,
    ceiling: float,
    inset: int,
) -> Figure:
    """Compose one image's comparison: the images, the detail where the methods differ most, and their error maps.

    `truth` is the uint8 (S, S) ground truth and `low` the smaller uint8 low-resolution input; `task` tells the reader what
    was asked of the methods. `restored` holds by model (of LABELS) the uint8 (S, S) result, `scores` its PSNR in dB and its
    SSIM. The maps show |restored - truth| on one scale from 0 to `ceiling` grey levels, whatever lies above in the top
    colour. The detail is `inset` pixels a side, or a quarter of S if that is less, so that it is always magnified.
    """
    size = len(truth)
    side = min(inset, size // 4)
    errors = {model: _absolute_error(image, truth) for model, image in restored.items()}
    # Clipped as the maps show them: else a burnt-in letter, whose edges are restored worst, would always be the detail.
    window = most_different_window([np.minimum(error, ceiling) for error in errors.values()], side)

    panel = size * -(-320 // size)
    magnified = round(panel / 2 / side)
    detail = magnified * side
    # Two details make a column, which may be some pixels wider than the image: 512 for 510 pixels at x3.
    layout = _Layout(panel, 1 + len(restored), column=max(panel, 2 * detail), bar=True)
    images_top = layout.px(160)
    detail_top = images_top + panel + layout.px(14)
    maps_top = detail_top + detail + layout.px(14)
    scores_top = maps_top + panel + layout.px(12)
    layout.open(scores_top + layout.px(106))
    layout.heading(
        title,
        f"{task}. Framed, and below magnified x{magnified * size / panel:.3g}: the {side} by {side} "
        "pixels where the errors of the methods differ most.",
    )
    layout.row_name("image", images_top, panel)
    layout.row_name("detail", detail_top, detail)
    layout.row_name("|error|", maps_top, panel)
    norm = Normalize(0, ceiling)

    left = layout.left(0)
    layout.column_name("Ground truth", "black", left, images_top)
    layout.frame(layout.grey(truth, left, images_top, panel), window, side)
    layout.zoom(layout.grey(truth, left, detail_top, detail), window, side)
    right = left + layout.column - detail
    layout.zoom(layout.grey(low, right, detail_top, detail, extent=size), window, side)
    layout.frame(layout.grey(low, left, maps_top, panel, extent=size), window, side)
    layout.text("Low-resolution input", left, scores_top, 24, width=panel)
    layout.text(f"{low.shape[1]} by {low.shape[0]} pixels", left, scores_top + layout.px(30), 24, width=panel)

    for column, (model, image) in enumerate(restored.items(), start=1):
        left = layout.left(column)
        layout.column_name(LABELS[model], COLOURS[model], left, images_top)
        layout.frame(layout.grey(image, left, images_top, panel), window, side)
        layout.zoom(layout.grey(image, left, detail_top, detail), window, side)
        right = left + layout.column - detail
        layout.zoom(layout.errors(errors[model], right, detail_top, detail, norm), window, side)
        layout.frame(layout.errors(errors[model], left, maps_top, panel, norm), window, side)
        psnr, ssim = scores[model]
        layout.text(f"PSNR {psnr:.2f} dB", left, scores_top, 24, width=panel)
        layout.text(f"SSIM {ssim:.4f}", left, scores_top + layout.px(30), 24, width=panel)
    layout.colour_bar(norm, maps_top, panel)
    return layout.figure


@matplotlib.style.context("default")
def mean_error_maps(
    means: Mapping[str, npt.NDArray[np.floating[Any]]], task: str, count: int, ceiling: float | None = None
) -> Figure:
    """Draw the mean |error| of each method over the `count` test images, on one scale, with its mean below.

    `means` holds by model (of LABELS) a float (S, S) array in grey levels. The scale ends at `ceiling` grey levels;
    if None, at the whole number above all but the highest thousandth of the values.
    """
    if ceiling is None:
        highest = np.quantile(np.stack(list(means.values())), 0.999)
        ceiling = max(1.0, float(np.ceil(highest)))
    size = len(next(iter(means.values())))
    layout = _Layout(size * -(-320 // size), len(means), bar=True)
    maps_top = layout.px(160)
    below = maps_top + layout.panel + layout.px(12)
    layout.open(below + layout.px(76))
    layout.heading("Mean error maps", f"{task}, mean of |error| over {count} test images")
    norm = Normalize(0, ceiling)
    for column, (model, mean) in enumerate(means.items()):
        left = layout.left(column)
        layout.column_name(LABELS[model], COLOURS[model], left, maps_top)
        layout.errors(mean, left, maps_top, layout.panel, norm)
        layout.text(f"mean {mean.mean():.3f} grey levels", left, below, 24, width=layout.panel)
    layout.colour_bar(norm, maps_top, layout.panel)
    return layout.figure


@matplotlib.style.context("default")
def comparison(bicubic: Grey, enhanced: Grey, model: str, title: str) -> Figure:
    """Lay a radiograph enlarged by bicubic interpolation beside what `model` (of LABELS) made of it, and their difference.

    Both uint8 (H, W). Above the whole, shrunk to at most COMPARED pixels, below the detail where they differ most.
    """
    difference = np.minimum(_absolute_error(enhanced, bicubic), COMPARED_TO)  # else a burnt-in letter is always the detail
    whole = [_whole(image) for image in (bicubic, enhanced)]
    step = max(1, -(-max(bicubic.shape) // COMPARED))
    rough = difference[: len(difference) // step * step, : difference.shape[1] // step * step]
    rough = rough.reshape(len(rough) // step, step, -1, step).mean((1, 3))
    side = max(1, min(DETAIL // step, *rough.shape))
    row, column = (step * place for place in most_different_window([rough, np.zeros_like(rough)], side))
    window = slice(row, row + side * step), slice(column, column + side * step)

    layout = _Layout(COMPARED, 3, bar=True)
    whole_top = layout.px(160)
    detail_top = whole_top + COMPARED + layout.px(14)
    layout.open(detail_top + COMPARED + layout.px(60))
    layout.heading(title, "Above the whole, shrunk; below the detail in which they differ most, magnified.")
    layout.row_name("image", whole_top, COMPARED)
    layout.row_name("detail", detail_top, COMPARED)
    norm = Normalize(0, COMPARED_TO)
    for place, (name, image) in enumerate(zip(("bicubic", model), (bicubic, enhanced), strict=True)):
        left = layout.left(place)
        layout.column_name(LABELS[name], COLOURS[name], left, whole_top)
        layout.grey(whole[place], left, whole_top, COMPARED)
        layout.grey(image[window], left, detail_top, COMPARED)
    left = layout.left(2)
    layout.column_name("|difference|", "black", left, whole_top)
    beside = _whole(np.zeros_like(bicubic)) > 0  # where the square holds no image
    layout.errors(np.ma.masked_array(_whole(difference.astype(np.uint8)), beside), left, whole_top, COMPARED, norm)
    layout.errors(difference[window], left, detail_top, COMPARED, norm)
    layout.colour_bar(norm, whole_top, COMPARED, "|difference|, grey levels of 255")
    return layout.figure


def _whole(image: Grey) -> Grey:
    """Return `image` (H, W) brought to fit a square of COMPARED pixels, in the middle of a white one."""
    height, width = (max(1, round(length * COMPARED / max(image.shape))) for length in image.shape)
    square = np.full((COMPARED, COMPARED), 255, np.uint8)
    top, left = (COMPARED - height) // 2, (COMPARED - width) // 2
    resampling = Image.Resampling.BOX if max(image.shape) > COMPARED else Image.Resampling.NEAREST
    square[top : top + height, left : left + width] = np.asarray(Image.fromarray(image).resize((width, height), resampling))
    return square


def _absolute_error(image: Grey, truth: Grey) -> npt.NDArray[np.int16]:
    return np.abs(image.astype(np.int16) - truth.astype(np.int16))


def _evenly(classes: Sequence[str], most: int) -> list[int]:
    """Return at most `most` indices into `classes`, as many of each class as of any other where there are enough."""
    rows = {name: [i for i, other in enumerate(classes) if other == name] for name in sorted(set(classes))}
    wanted = dict.fromkeys(rows, 0)
    for _ in range(min(most, len(classes))):
        name = min((name for name in rows if wanted[name] < len(rows[name])), key=lambda name: wanted[name])
        wanted[name] += 1
    return [index for name, of in rows.items() for index in np.array(of)[_spread(len(of), wanted[name])].tolist()]


def _spread(total: int, wanted: int) -> npt.NDArray[np.int64]:
    return np.linspace(0, total - 1, wanted).round().astype(np.int64)


class _Layout:
    """A figure measured in its own pixels from the upper left corner, with equal square panels in columns side by side.

    Lengths given to `px` and text sizes are in units of which a panel has 512 unless told, so that the picture of a
    small image is laid out as that of a large one.
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

    def px(self, length: float) -> int:
        return round(length * self._unit)

    def left(self, column: int) -> int:
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
        self.text(title, self._margin, self.px(24), 32, width=self._content, weight="bold")
        self.text(subtitle, self._margin, self.px(66), 22, width=self._content, color="#404040")
        self.text(
            DISCLAIMER, self._margin + self._content, self._height - self.px(12), 18, ha="right", va="bottom", color="#606060"
        )

    def column_name(self, name: str, colour: str, left: int, image_top: int) -> None:
        self.text(name, left, image_top - self.px(46), 26, weight="bold")
        strip = self._axes(left, image_top - self.px(10), self.column, self.px(6))
        strip.add_patch(Rectangle((0, 0), 1, 1, transform=strip.transAxes, color=colour, linewidth=0))

    def row_name(self, name: str, top: int, height: int) -> None:
        self.text(name, self._margin - self.px(10), top + height / 2, 22, rotation=90, va="center", ha="right", color="#404040")

    def grey(self, image: Grey, left: int, top: int, side: int, *, extent: int | None = None) -> Axes:
        """Show a grey image as it is, its pixels stretched to `extent` pixels a side of another image if given."""
        # As RGB, since the colour map "gray" of matplotlib draws some grey levels one level too dark.
        return self._image(np.stack([image] * 3, axis=-1), left, top, side, extent or len(image))

    def errors(self, errors: npt.NDArray[Any], left: int, top: int, side: int, norm: Normalize) -> Axes:
        return self._image(errors, left, top, side, len(errors), cmap=ERROR_COLOURS, norm=norm)

    def frame(self, axes: Axes, window: tuple[int, int], side: int) -> None:
        """Outline the window, with a line that lies outside it."""
        row, column = window
        low, high = axes.get_xlim()
        thick = self.px(3) * abs(high - low) / self.panel
        self._outline(axes, (column - thick / 2, row - thick / 2), side + thick)

    def zoom(self, axes: Axes, window: tuple[int, int], side: int) -> None:
        """Show nothing but the window, framed."""
        row, column = window
        axes.set_xlim(column, column + side)
        axes.set_ylim(row + side, row)
        self._outline(axes, (column, row), side)

    def colour_bar(self, norm: Normalize, top: int, height: int, label: str = ERROR_LABEL) -> None:
        axes = self._axes(self._margin + self._content + self.px(24), top, self.px(24), height)
        axes.set_axis_on()
        bar = self.figure.colorbar(ScalarMappable(norm, ERROR_COLOURS), cax=axes, extend="max", extendfrac=0.04)
        points = 20 * self._unit * 72 / DPI
        bar.ax.tick_params(labelsize=points, width=self._unit, length=4 * self._unit)
        bar.set_label(label, fontsize=points, labelpad=6 * self._unit)
        bar.outline.set_linewidth(self._unit)

    def _axes(self, left: int, top: int, width: int, height: int) -> Axes:
        bottom = self._height - top - height
        box = (left / self._width, bottom / self._height, width / self._width, height / self._height)
        axes = self.figure.add_axes(box)
        axes.set_axis_off()
        return axes

    def _image(self, image: npt.NDArray[Any], left: int, top: int, side: int, extent: int, **style: Any) -> Axes:
        axes = self._axes(left, top, side, side)
        axes.imshow(image, interpolation="nearest", aspect="auto", extent=(0, extent, extent, 0), **style)
        return axes

    def _outline(self, axes: Axes, corner: tuple[float, float], side: float) -> None:
        points = self.px(3) * 72 / DPI
        axes.add_patch(
            Rectangle(
                corner, side, side, fill=False, edgecolor=OUTLINE_COLOUR, linewidth=points, joinstyle="miter", clip_on=False
            )
        )
