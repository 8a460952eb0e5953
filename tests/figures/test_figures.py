import itertools
import struct
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

from cxr.dataset.packed import Frames
from cxr.figures import contact_sheet, error_maps, layout, panels
from cxr.figures.heat_maps import Panel, heat_maps
from cxr.superres.evaluation.observed import Restored
from cxr.superres.evaluation.settings import ErrorMaps
from cxr.superres.methods import NAMES
from cxr.superres.settings import Degradation

MODELS = ("bicubic", "srcnn", "vdsr")
SCORES = {"bicubic": (31.234, 0.81234), "srcnn": (32.345, 0.82345), "vdsr": (33.456, 0.83456)}


WIDE, TALL = (96, 150), (150, 96)


def random_image(size, seed=0):
    shape = (size, size) if isinstance(size, int) else size
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def errors_of(truth, restored):
    """Return how far the images `restored` are from the truth, in grey levels."""
    return {model: np.abs(image.astype(np.float32) - truth) for model, image in restored.items()}


def panel(truth, restored=None, *, title="a.jpeg (NORMAL): best gain", ceiling=10.0, inset=24, scale=2):
    restored = restored or dict.fromkeys(MODELS, truth)
    return panels.error_panel(
        truth,
        truth[::scale, ::scale],
        restored,
        errors_of(truth, restored),
        SCORES,
        f"x{scale} super-resolution",
        title,
        ceiling,
        inset,
    )


def texts(figure):
    return "\n".join(text.get_text() for text in figure.texts)


class Shown(NamedTuple):
    """Where an image is in the picture, and which of its pixels are seen: first row, first column, how many columns."""

    rows: slice
    columns: slice
    window: tuple[int, int, int]


def shown(figure, array):
    """Return each place that shows this array, or a window of it."""
    array = np.stack([array] * 3, axis=-1) if array.dtype == np.uint8 else array
    found = []
    for image in figure.axes[0].images:
        if np.array_equal(image.get_array(), array):
            left, right, bottom, top = image.get_extent()
            factor = (right - left) / array.shape[1]
            assert (bottom - top) / len(array) == factor  # its own proportions
            clip = image.get_clip_box().extents  # the page, or the window of a detail
            x0, x1 = round(max(left, clip[0])), round(min(right, clip[2]))
            y0, y1 = round(max(top, figure.bbox.height - clip[3])), round(min(bottom, figure.bbox.height - clip[1]))
            window = round((y0 - top) / factor), round((x0 - left) / factor), round((x1 - x0) / factor)
            found.append(Shown(slice(y0, y1), slice(x0, x1), window))
    return found


@pytest.mark.parametrize(("shape", "side", "seed"), [((9, 9), 3, 0), ((12, 7), 5, 1), ((8, 8), 8, 2), ((10, 10), 1, 3)])
def test_window_is_where_the_errors_differ_most(shape, side, seed):
    rng = np.random.default_rng(seed)
    errors = [rng.integers(0, 40, shape).astype(np.uint8) for _ in range(3)]

    def difference(corner):
        row, column = corner
        window = [error[row : row + side, column : column + side].astype(int) for error in errors]
        return sum(max(values) - min(values) for values in zip(*(w.ravel().tolist() for w in window), strict=True))

    corners = list(itertools.product(range(shape[0] - side + 1), range(shape[1] - side + 1)))
    assert panels.most_different_window(errors, side) == max(corners, key=difference)  # max takes the first of equal ones


def test_window_of_equal_errors_is_the_first():
    assert panels.most_different_window([np.ones((6, 6)), np.ones((6, 6))], 3) == (0, 0)


def test_a_burnt_in_letter_does_not_attract_the_window():
    truth = np.full((96, 96), 100, np.uint8)
    bicubic = truth.copy()
    bicubic[4:8, 4:8] = 255  # large errors, but beyond the ceiling, in few pixels
    bicubic[60:84, 60:84] += 9
    figure = panel(truth, {"bicubic": bicubic, "srcnn": truth, "vdsr": truth})
    corners = {each.window[:2] for each in shown(figure, truth) if each.window != (0, 0, 96)}
    assert corners == {(60, 60)}


def test_error_maps_share_one_scale_from_zero_to_the_ceiling():
    truth = np.full((96, 96), 100, np.uint8)
    restored = {model: truth.copy() for model in MODELS}
    for level, (row, model) in zip((3, 10, 11, 90), itertools.product((70, 80), MODELS), strict=False):
        restored[model][row : row + 4, 50:54] += level
    restored["vdsr"][90, 90] -= 3  # too dark by as much as bicubic is too bright
    figure = panel(truth, restored, ceiling=10.0)
    picture = layout.pixels(figure)

    def colour(model, row, column):
        error = np.abs(restored[model].astype(np.float32) - 100)
        rows, columns = next((each.rows, each.columns) for each in shown(figure, error) if each.window == (0, 0, 96))
        return tuple(picture[rows.start + 4 * row + 2, columns.start + 4 * column + 2].tolist())

    def expected(share):
        return tuple(round(255 * channel) for channel in mpl.colormaps["magma"](share)[:3])

    assert colour("bicubic", 2, 90) == pytest.approx(expected(0.0), abs=1)
    assert colour("srcnn", 72, 52) == pytest.approx(expected(1.0), abs=1)
    assert colour("vdsr", 72, 52) == colour("srcnn", 72, 52)  # 11 of 10: the top colour
    assert colour("bicubic", 82, 52) == colour("srcnn", 72, 52)  # 90 of 10
    assert colour("bicubic", 72, 52) == pytest.approx(expected(0.3), abs=1)
    assert colour("bicubic", 72, 52) == colour("vdsr", 90, 90)

    maps = [image for image in figure.axes[0].images if image.get_array().ndim == 2]
    assert len(maps) == 6
    assert len({id(image.norm) for image in maps}) == 1
    (bar,) = [axes for axes in figure.axes if axes.get_ylabel() == layout.ERROR_LABEL]
    assert bar.get_ylim() == (0, 10)


def inside(places, figure):
    """Assert that `places` (rows, columns) lie on the page and not on one another."""
    height, width = round(figure.bbox.height), round(figure.bbox.width)
    page = np.zeros((height, width), int)
    for rows, columns in places:
        assert 0 <= rows.start < rows.stop <= height
        assert 0 <= columns.start < columns.stop <= width
        page[rows, columns] += 1
    assert page.max() == 1


@pytest.mark.parametrize("size", [96, 333, WIDE, TALL])
def test_grey_levels_are_drawn_as_they_are_and_nothing_is_cut_off(size):
    truth = random_image(size)
    figure = panel(truth)  # no method differs, so the framed window lies in the upper left corner
    picture = layout.pixels(figure)
    rows, columns = truth.shape
    places = [(each.rows, each.columns) for each in shown(figure, truth) if each.window == (0, 0, columns)]
    assert len(places) == 4
    inside(places, figure)
    for place in places:
        factor = (place[0].stop - place[0].start) // rows
        assert place[1].stop - place[1].start == factor * columns
        drawn = picture[place][rows * factor // 2 :]
        wanted = truth.repeat(factor, axis=0).repeat(factor, axis=1)[rows * factor // 2 :]
        np.testing.assert_array_equal(drawn, np.stack([wanted] * 3, axis=-1))


@pytest.mark.parametrize("shape", [WIDE, TALL])
def test_the_error_maps_and_details_of_frames_of_any_shape_are_all_on_the_page(shape):
    truth = random_image(shape)
    row, column = shape[0] - 30, shape[1] - 40
    restored = {model: truth.copy() for model in MODELS}
    restored["bicubic"][row : row + 24, column : column + 24] ^= 8
    figure = panel(truth, restored, inset=24)
    error = errors_of(truth, restored)["bicubic"]
    whole = [each for each in shown(figure, error) if each.window == (0, 0, shape[1])]
    (detail,) = [each for each in shown(figure, error) if each.window != (0, 0, shape[1])]
    assert detail.window == (row, column, 24)
    assert detail.rows.stop - detail.rows.start == detail.columns.stop - detail.columns.start
    images = shown(figure, truth) + shown(figure, restored["bicubic"])
    inside([(each.rows, each.columns) for each in [*whole, detail, *images]], figure)
    # The magenta of an error lies where the error is, in the lower right of the map.
    (place,) = whole
    drawn = layout.pixels(figure)[place.rows, place.columns].astype(int).sum(axis=2)
    factor = len(drawn) // shape[0]
    bright = np.argwhere(drawn > drawn.min()) / factor
    assert bright.min(axis=0) == pytest.approx([row, column], abs=2)
    assert bright.max(axis=0) == pytest.approx([row + 24, column + 24], abs=2)


@pytest.mark.parametrize("shape", [(128, 8000), (8000, 128), (96, 390)])
@pytest.mark.parametrize("scale", [2, 4])
def test_of_a_strip_the_middle_is_shown_and_told(shape, scale):
    shape = tuple(length // scale * scale for length in shape)
    truth = random_image(shape)
    restored = {model: random_image(shape, seed) for seed, model in enumerate(MODELS, start=1)}
    figure = panel(truth, restored, scale=scale)
    assert figure.bbox.width * figure.bbox.height < 60e6  # 0.25 GB while it is drawn
    axis, low = shape.index(max(shape)), truth[::scale, ::scale]
    begin = (low.shape[axis] - 4 * min(low.shape)) // 2

    def middle(image, factor=1):
        return image.take(range(begin * factor, (begin + 4 * min(low.shape)) * factor), axis=axis)

    errors = errors_of(truth, restored)
    wanted = [middle(low), *(middle(image, scale) for image in [truth, *restored.values(), *errors.values()])]
    images = [image.get_array() for image in figure.axes[0].images]
    for each in wanted:  # with its detail
        each = np.stack([each] * 3, axis=-1) if each.dtype == np.uint8 else each  # noqa: PLW2901
        assert sum(np.array_equal(each, image) for image in images) == 2
    inside([(each.rows, each.columns) for each in shown(figure, wanted[1]) if each.window[:2] == (0, 0)][:1], figure)
    rows, columns = wanted[1].shape
    assert f"most. Shown are the middle {columns} by {rows} of {shape[1]} by {shape[0]} pixels." in texts(figure)
    assert f"\n{low.shape[1]} by {low.shape[0]} pixels" in texts(figure)


@pytest.mark.parametrize("shape", [(100, 200), (200, 100), (96, 384)])
def test_up_to_four_times_as_long_as_wide_an_image_is_shown_whole(shape):
    truth = random_image(shape)
    figures = panel(truth), panels.mean_error_maps({"bicubic": np.ones(shape)}, "x2", 3)
    assert shown(figures[0], truth)
    assert "middle" not in "".join(texts(figure) for figure in figures)


@pytest.mark.parametrize("shape", [(96, 4000), (4000, 96)])
def test_mean_error_maps_of_strips_show_the_middle_and_the_mean_of_all(shape):
    mean = np.random.default_rng(0).random(shape)
    mean[:48, :48] = 90
    figure = panels.mean_error_maps({"bicubic": mean}, "x2", 3, ceiling=2)
    assert figure.bbox.width * figure.bbox.height < 60e6
    middle = mean[:, 1808:2192] if shape[0] == 96 else mean[1808:2192]
    assert len(shown(figure, middle)) == 1
    assert f"{mean.mean():.3f} grey levels" in texts(figure)
    assert f"{shape[1]} by {shape[0]} pixels. Shown are the middle {middle.shape[1]} by {middle.shape[0]} of" in texts(figure)


def test_detail_is_the_window_magnified():
    truth = random_image(160)
    blurred = truth.copy()
    blurred[100:124, 40:64] ^= 1
    figure = panel(truth, {"bicubic": blurred, "srcnn": truth, "vdsr": truth}, inset=24)
    (place,) = [(each.rows, each.columns) for each in shown(figure, blurred) if each.window == (100, 40, 24)]
    detail = layout.pixels(figure)[place]
    factor = len(detail) // 24
    assert factor > 320 // 160  # more than the whole image is
    wanted = np.stack([blurred[100:124, 40:64].repeat(factor, axis=0).repeat(factor, axis=1)] * 3, axis=-1)
    np.testing.assert_array_equal(detail[4:-4, 4:-4], wanted[4:-4, 4:-4])  # all but its frame


def test_panel_says_what_it_shows():
    written = texts(panel(random_image(96), scale=3))
    for said in ("a.jpeg (NORMAL): best gain", "x3", "Ground truth", "Bicubic", "SRCNN", "VDSR", "32 by 32 pixels"):
        assert said in written
    for said in ("PSNR 31.23 dB", "SSIM 0.8123", "PSNR 32.34 dB", "SSIM 0.8235", "PSNR 33.46 dB", "SSIM 0.8346"):
        assert said in written
    assert layout.DISCLAIMER in written


@pytest.mark.parametrize("size", [(96, 96), (333, 333), WIDE, TALL, (96, 300)])
def test_nothing_written_is_cut_off(size):
    title = "a_file_with_a_name_that_goes_on_$and_on$.jpeg " * 4
    table = pd.DataFrame({"findings": ["NORMAL"], "source": [f"NORMAL/{title}"], "patient": [title]})
    for figure in (
        panel(random_image(size), title=title),
        contact_sheet.contact_sheet(Frames.of([random_image(size)]), table),
        panels.mean_error_maps({"bicubic": np.ones(size)}, "x2 super-resolution", 3),
    ):
        layout.pixels(figure)
        for text in [*figure.texts, *(axes.yaxis.label for axes in figure.axes)]:
            box = text.get_window_extent()
            assert box.x0 >= 0, text
            assert box.y0 >= 0, text
            assert box.x1 <= figure.bbox.width, text
            assert box.y1 <= figure.bbox.height, text


def test_mean_error_maps_share_one_scale_and_say_their_means():
    means = {model: np.full((96, 96), level) for model, level in zip(MODELS, (2.5, 1.25, 0.5), strict=True)}
    figure = panels.mean_error_maps(means, "x4 super-resolution", 60)
    assert {tuple(image.get_clim()) for image in figure.axes[0].images} == {(0, 3)}
    for said in ("x4", "60 test images", "mean 2.500", "mean 1.250", "mean 0.500"):
        assert said in texts(figure)
    fixed = panels.mean_error_maps(means, "x4 super-resolution", 60, ceiling=7.5)
    assert {tuple(image.get_clim()) for image in fixed.axes[0].images} == {(0, 7.5)}


@pytest.mark.parametrize("shape", [WIDE, TALL])
def test_mean_error_maps_are_drawn_whole(shape):
    means = {model: np.random.default_rng(seed).random(shape) for seed, model in enumerate(MODELS)}
    figure = panels.mean_error_maps(means, "x4 super-resolution", 60, ceiling=2)
    places = [(each.rows, each.columns) for mean in means.values() for each in shown(figure, mean)]
    assert len(places) == 3
    inside(places, figure)
    assert f"{shape[1]} by {shape[0]} pixels" in texts(figure)
    picture = layout.pixels(figure)
    for (rows, columns), mean in zip(places, means.values(), strict=True):
        factor = (rows.stop - rows.start) // shape[0]
        wanted = np.round(255 * mpl.colormaps["magma"](mean / 2)[..., :3])
        np.testing.assert_allclose(picture[rows, columns][factor // 2 :: factor, factor // 2 :: factor], wanted, atol=1)


def restored_image(bits, shape=(48, 72)):
    """Return a radiograph of so many bits with what methods made of it, at x2."""
    source = np.random.default_rng(bits)
    kind = torch.uint8 if bits == 8 else torch.int32
    truth, *images = (torch.from_numpy(source.integers(0, 1 << bits, (1, 1, *shape))).to(kind) for _ in range(5))
    return Restored(truth, truth[..., ::2, ::2], dict(zip(NAMES, images, strict=True)), 2**bits - 1)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_deep_images_are_shown_in_8_bits_with_errors_in_grey_levels_of_255(bits):
    restored = restored_image(bits)
    figure = error_maps.panel(restored, {**SCORES, "edsr": (34.567, 0.84567)}, Degradation(2), "a.png", ErrorMaps(1, 10.0, 8))
    truth, bicubic = (each[0, 0].numpy().astype(float) for each in (restored.truth, restored.images["bicubic"]))
    for levels in (truth, bicubic):
        assert len(shown(figure, np.rint(levels * 255 / (2**bits - 1)).astype(np.uint8))) == 2
    maps = [np.asarray(image.get_array()) for image in figure.axes[0].images if image.get_array().ndim == 2]
    wanted = np.abs(bicubic - truth) * 255 / (2**bits - 1)
    assert sum(np.allclose(drawn, wanted, rtol=0, atol=1e-3) for drawn in maps) == 2  # the map, and its detail


def sheet(classes, size=8):
    images = np.arange(len(classes), dtype=np.uint8)[:, None, None].repeat(size, axis=1).repeat(size, axis=2)
    rows = [{"findings": name, "source": f"{name}/{name}-{i}.jpeg", "patient": f"p{i}"} for i, name in enumerate(classes)]
    figure = contact_sheet.contact_sheet(Frames.of(images), pd.DataFrame(rows))
    return figure, [int(image.get_array()[0, 0, 0]) for image in figure.axes[0].images]


@pytest.mark.parametrize(
    ("normal", "pneumonia", "wanted"),
    [(100, 100, (20, 20)), (150, 50, (20, 20)), (5, 200, (5, 35)), (200, 1, (39, 1)), (3, 4, (3, 4)), (50, 0, (40, 0))],
)
def test_contact_sheet_takes_evenly_from_the_classes(normal, pneumonia, wanted):
    classes = ["NORMAL"] * normal + ["PNEUMONIA"] * pneumonia
    _, chosen = sheet(classes)
    assert len(set(chosen)) == len(chosen)
    assert tuple(sum(classes[i] == name for i in chosen) for name in ("NORMAL", "PNEUMONIA")) == wanted


def test_contact_sheet_labels_each_image_with_its_own_row():
    figure, chosen = sheet(["PNEUMONIA", "NORMAL"] * 3)
    labels = [text.get_text() for text in figure.texts][-3 * len(chosen) :]
    assert labels == [
        line
        for i in chosen
        for line in (
            ("PNEUMONIA", f"PNEUMONIA-{i}.jpeg", f"patient p{i}")
            if i % 2 == 0
            else ("NORMAL", f"NORMAL-{i}.jpeg", f"patient p{i}")
        )
    ]
    assert sorted(chosen) == list(range(6))


@pytest.mark.parametrize("shape", [(256, 256), (256, 390), (300, 256)])
def test_contact_sheet_shrinks_large_images_by_their_mean(shape):
    image = np.kron(random_image(shape), np.ones((2, 2))).astype(np.uint8)
    table = pd.DataFrame({"findings": ["NORMAL"], "source": ["NORMAL/a.jpeg"], "patient": ["a"]})
    (axes,) = contact_sheet.contact_sheet(Frames.of([image]), table).axes
    (shrunk,) = axes.images
    np.testing.assert_array_equal(shrunk.get_array()[..., 0], image[::2, ::2])


def test_contact_sheet_shows_each_image_whole_in_its_own_proportions():
    images = [random_image(shape, seed) for seed, shape in enumerate([(16, 25), (25, 16), (20, 20), (16, 40)] * 3)]
    rows = [{"findings": "NORMAL|NODULE", "source": f"a/{i}.jpeg", "patient": f"p{i}"} for i in range(len(images))]
    figure = contact_sheet.contact_sheet(Frames.of(images), pd.DataFrame(rows))
    picture = layout.pixels(figure)
    places = []
    for image in images:
        factor = -(-160 // min(image.shape))
        enlarged = image.repeat(factor, axis=0).repeat(factor, axis=1)
        (place,) = shown(figure, enlarged)
        assert place.window == (0, 0, enlarged.shape[1])
        np.testing.assert_array_equal(picture[place.rows, place.columns, 0], enlarged)
        places.append((place.rows, place.columns))
    height = round(figure.bbox.height)
    labels = [text.get_window_extent() for text in figure.texts]
    places += [(slice(int(height - box.y1) + 1, int(height - box.y0)), slice(int(box.x0) + 1, int(box.x1))) for box in labels]
    inside(places, figure)
    assert sum(text.get_text() == "NORMAL NODULE" for text in figure.texts) == len(images)


def test_contact_sheet_shows_the_middle_of_strips_and_tells_so():
    images = [random_image((64, 4000), 1), random_image((4000, 64), 2), random_image((64, 80), 3)]
    table = pd.DataFrame({"findings": ["NORMAL"] * 3, "source": ["a", "b", "c"], "patient": ["a", "b", "c"]})
    figure = contact_sheet.contact_sheet(Frames.of(images), table)
    assert figure.bbox.width * figure.bbox.height < 60e6
    for image in (images[0][:, 1872:2128], images[1][1872:2128], images[2]):
        assert len(shown(figure, image.repeat(3, axis=0).repeat(3, axis=1))) == 1
    assert "3 of 3: 3 NORMAL. Of 2 the middle is shown" in texts(figure)
    assert "middle" not in texts(contact_sheet.contact_sheet(Frames.of(images[2:]), table[2:]))


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_contact_sheet_shows_deep_images_from_black_to_white(bits):
    levels = np.linspace(0, 2**bits - 1, 160 * 200).astype(np.uint16).reshape(160, 200)
    table = pd.DataFrame({"findings": [""], "source": ["a.png"], "patient": ["a"]})
    figure = contact_sheet.contact_sheet(Frames.of([levels], bits), table)
    (image,) = figure.axes[0].images
    np.testing.assert_array_equal(image.get_array()[..., 0], np.rint(levels * (255 / (2**bits - 1))))
    assert "unknown" in texts(figure)


def chunks(png):
    position, names = 8, []
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        names.append(png[position + 4 : position + 8])
        position += 12 + length
    return names


def test_equal_figures_give_equal_bytes_whatever_the_readers_settings(tmp_path):
    before = dict(mpl.rcParams)
    layout.save(panel(random_image(96)), tmp_path / "new" / "a.png")
    settings = {"figure.facecolor": "black", "font.family": "serif", "savefig.dpi": 37, "image.origin": "lower"}
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({**settings, "axes.grid": True, "image.cmap": "jet", "axes.linewidth": 9, "text.color": "red"}):
        layout.save(panel(random_image(96)), tmp_path / "b.png")
    first = (tmp_path / "new" / "a.png").read_bytes()
    assert first == (tmp_path / "b.png").read_bytes()
    assert set(chunks(first)) == {b"IHDR", b"IDAT", b"IEND"}  # no date, no version of the software
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["a.png", "b.png"]


def test_a_heat_map_lies_on_the_central_square_and_boxes_are_where_they_are():
    pixels = np.full((100, 160), 0.5, np.float32)
    heat = np.zeros((64, 64), np.float32)
    heat[:32, :32] = 1
    panel = Panel("a $b", pixels, heat, [(0.5, 0.25, 0.25, 0.5)])
    figure = heat_maps([[Panel("as it is", pixels), panel]], "title", ["a long remark " * 20, "another"])
    left, right = figure.axes
    assert [tuple(image.get_extent()) for image in right.images] == [(0, 160, 100, 0), (30, 130, 100, 0)]
    assert len(left.images) == 1
    dotted, box = right.patches
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (80, 25, 25, 50)
    assert (*dotted.get_xy(), dotted.get_width(), dotted.get_height()) == (30, 0, 100, 100)
    drawn = layout.pixels(figure).astype(int)
    coloured = np.ptp(drawn, axis=2) > 30
    assert coloured[:, : drawn.shape[1] // 2].mean() == 0  # the radiograph as it is has no colours
    assert coloured[:, drawn.shape[1] // 2 :].mean() > 0.05
    assert figure.get_supxlabel() == "For research, not for diagnosis."
    assert max(map(len, figure.get_suptitle().splitlines())) <= 104
