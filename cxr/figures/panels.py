"""Composed error panels, mean error maps, and comparisons of two images.

Every picture is laid out in its own pixels, so that each pixel of a radiograph covers a whole number of them and keeps
its grey level: 0 black, 255 white, nothing interpolated. Nothing here uses pyplot or leaves matplotlib's settings changed,
and the reader's own settings change no byte.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from cxr.figures.layout import Grey8, Layout, Shape, shown_part
from cxr.superres.methods import BICUBIC, COLOURS, TITLES

# Of `comparison`: pixels a side of a panel and of the detail that it magnifies, and grey levels at the top of its colours.
COMPARED, DETAIL, COMPARED_TO = 512, 96, 10
SQUARE = COMPARED, COMPARED


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
    truth: Grey8,
    low: Grey8,
    restored: Mapping[str, Grey8],
    errors: Mapping[str, npt.NDArray[Any]],
    scores: Mapping[str, tuple[float, float]],
    task: str,
    title: str,
    ceiling: float,
    inset: int,
) -> Figure:
    """Compose one image's comparison: the images, the detail where the methods differ most, and their error maps.

    `truth` is the uint8 (H, W) ground truth and `low` the smaller uint8 low-resolution input; `task` tells the reader what
    was asked of the methods. `restored` holds by model (of `methods`) the uint8 (H, W) result, `errors` how far it is from the
    truth (H, W) in grey levels of 255, `scores` its PSNR in dB and its SSIM. The maps are on one scale from 0 to `ceiling`,
    whatever lies above in the top colour. The detail is `inset` pixels a side, or a quarter of the shorter side if that is
    less, so that it is always magnified. Of strips the middle is shown, as `shown_part` has it.
    """
    whole, low_shape = truth.shape, low.shape
    part = shown_part(low_shape)
    if low[part].shape != low_shape:
        low, scale = low[part], round(max(whole) / max(low_shape))
        # Not of `truth` itself, so that what is low-resolution lies where it belongs.
        part = slice(part[0].start * scale, part[0].stop * scale), slice(part[1].start * scale, part[1].stop * scale)
        truth, restored = truth[part], {model: image[part] for model, image in restored.items()}
        errors = {model: error[part] for model, error in errors.items()}
    rows, columns = truth.shape
    side = min(inset, min(rows, columns) // 4)
    # Clipped as the maps show them: else a burnt-in letter, whose edges are restored worst, would always be the detail.
    window = most_different_window([np.minimum(error, ceiling) for error in errors.values()], side)

    magnification = -(-320 // min(rows, columns))
    height, width = panel = rows * magnification, columns * magnification
    magnified = round(width / 2 / side)
    detail = magnified * side
    # Two details make a column, which may be some pixels wider than the image: 512 for 510 pixels at x3.
    layout = Layout(width, 1 + len(restored), column=max(width, 2 * detail), bar=True)
    images_top = layout.px(160)
    detail_top = images_top + height + layout.px(14)
    maps_top = detail_top + detail + layout.px(14)
    scores_top = maps_top + height + layout.px(12)
    layout.open(scores_top + layout.px(106))
    layout.heading(
        title,
        f"{task}. Framed, and below magnified x{magnified / magnification:.3g}: the {side} by {side} "
        f"pixels where the errors of the methods differ most{_part_told(truth.shape, whole)}.",
    )
    layout.row_name("image", images_top, height)
    layout.row_name("detail", detail_top, detail)
    layout.row_name("|error|", maps_top, height)
    norm, square = Normalize(0, ceiling), (detail, detail)

    left = layout.left(0)
    layout.column_name("Ground truth", "black", left, images_top)
    layout.frame(layout.grey(truth, left, images_top, panel), window, side)
    layout.zoom(layout.grey(truth, left, detail_top, square), window, side)
    right = left + layout.column - detail
    layout.zoom(layout.grey(low, right, detail_top, square, extent=truth.shape), window, side)
    layout.frame(layout.grey(low, left, maps_top, panel, extent=truth.shape), window, side)
    layout.text("Low-resolution input", left, scores_top, 24, width=width)
    layout.text(f"{low_shape[1]} by {low_shape[0]} pixels", left, scores_top + layout.px(30), 24, width=width)

    for column, (model, image) in enumerate(restored.items(), start=1):
        left = layout.left(column)
        layout.column_name(TITLES[model], COLOURS[model], left, images_top)
        layout.frame(layout.grey(image, left, images_top, panel), window, side)
        layout.zoom(layout.grey(image, left, detail_top, square), window, side)
        right = left + layout.column - detail
        layout.zoom(layout.errors(errors[model], right, detail_top, square, norm), window, side)
        layout.frame(layout.errors(errors[model], left, maps_top, panel, norm), window, side)
        psnr, ssim = scores[model]
        layout.text(f"PSNR {psnr:.2f} dB", left, scores_top, 24, width=width)
        layout.text(f"SSIM {ssim:.4f}", left, scores_top + layout.px(30), 24, width=width)
    layout.colour_bar(norm, maps_top, height)
    return layout.figure


@matplotlib.style.context("default")
def mean_error_maps(
    means: Mapping[str, npt.NDArray[np.floating[Any]]], task: str, count: int, ceiling: float | None = None
) -> Figure:
    """Draw the mean |error| of each method over the `count` test images, on one scale, with its mean below.

    `means` holds by model (of `methods`) a float (H, W) array in grey levels of 255: the grid to which all images were brought.
    The scale ends at `ceiling` grey levels; if None, at the whole number above all but the highest thousandth of the values.
    Of strips the middle is shown, as in `error_panel`, but the means are of the whole.
    """
    if ceiling is None:
        highest = np.quantile(np.stack(list(means.values())), 0.999)
        ceiling = max(1.0, float(np.ceil(highest)))
    whole = next(iter(means.values())).shape
    part = shown_part(whole)
    rows, columns = next(iter(means.values()))[part].shape
    magnification = -(-320 // min(rows, columns))
    height, width = panel = rows * magnification, columns * magnification
    layout = Layout(width, len(means), bar=True)
    maps_top = layout.px(160)
    below = maps_top + height + layout.px(12)
    layout.open(below + layout.px(76))
    layout.heading(
        "Mean error maps",
        f"{task}, mean of |error| over {count} test images, each brought to the median shape, {whole[1]} by {whole[0]} pixels"
        + _part_told((rows, columns), whole),
    )
    norm = Normalize(0, ceiling)
    for column, (model, mean) in enumerate(means.items()):
        left = layout.left(column)
        layout.column_name(TITLES[model], COLOURS[model], left, maps_top)
        layout.errors(mean[part], left, maps_top, panel, norm)
        layout.text(f"mean {mean.mean():.3f} grey levels", left, below, 24, width=width)
    layout.colour_bar(norm, maps_top, height)
    return layout.figure


@matplotlib.style.context("default")
def comparison(bicubic: Grey8, enhanced: Grey8, model: str, title: str) -> Figure:
    """Lay a radiograph enlarged by bicubic interpolation beside what `model` (of `methods`) made of it, and their difference.

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

    layout = Layout(COMPARED, 3, bar=True)
    whole_top = layout.px(160)
    detail_top = whole_top + COMPARED + layout.px(14)
    layout.open(detail_top + COMPARED + layout.px(60))
    layout.heading(title, "Above the whole, shrunk; below the detail in which they differ most, magnified.")
    layout.row_name("image", whole_top, COMPARED)
    layout.row_name("detail", detail_top, COMPARED)
    norm = Normalize(0, COMPARED_TO)
    for place, (name, image) in enumerate(zip((BICUBIC, model), (bicubic, enhanced), strict=True)):
        left = layout.left(place)
        layout.column_name(TITLES[name], COLOURS[name], left, whole_top)
        layout.grey(whole[place], left, whole_top, SQUARE)
        layout.grey(image[window], left, detail_top, SQUARE)
    left = layout.left(2)
    layout.column_name("|difference|", "black", left, whole_top)
    beside = _whole(np.zeros_like(bicubic)) > 0  # where the square holds no image
    layout.errors(np.ma.masked_array(_whole(difference.astype(np.uint8)), beside), left, whole_top, SQUARE, norm)
    layout.errors(difference[window], left, detail_top, SQUARE, norm)
    layout.colour_bar(norm, whole_top, COMPARED, "|difference|, grey levels of 255")
    return layout.figure


def _part_told(shown: Shape, whole: Shape) -> str:
    """Return how much of the `whole` is `shown`, where that is not all."""
    if shown == whole:
        return ""
    return f". Shown are the middle {shown[1]} by {shown[0]} of {whole[1]} by {whole[0]} pixels"


def _whole(image: Grey8) -> Grey8:
    """Return `image` (H, W) brought to fit a square of COMPARED pixels, in the middle of a white one."""
    height, width = (max(1, round(length * COMPARED / max(image.shape))) for length in image.shape)
    square = np.full((COMPARED, COMPARED), 255, np.uint8)
    top, left = (COMPARED - height) // 2, (COMPARED - width) // 2
    resampling = Image.Resampling.BOX if max(image.shape) > COMPARED else Image.Resampling.NEAREST
    square[top : top + height, left : left + width] = np.asarray(Image.fromarray(image).resize((width, height), resampling))
    return square


def _absolute_error(image: Grey8, truth: Grey8) -> npt.NDArray[np.int16]:
    return np.abs(image.astype(np.int16) - truth.astype(np.int16))
