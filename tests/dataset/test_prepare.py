"""One file prepared: reduced whole or square, its levels kept, against other libraries."""

import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from cxr.dataset.boxes import Window
from cxr.dataset.prepare import digest, prepare
from cxr.dataset.settings import Preprocess
from cxr.formats.decode import Unusable

DEPTHS = {8: np.uint8, 10: np.uint16, 12: np.uint16, 14: np.uint16, 16: np.uint16}


def reduced(pixels, size, normalise="none", *, frame="whole", bits=None):
    """Return `pixels` prepared; their dtype is as deep as it can be if `bits` are not given."""
    return prepare(pixels, bits or 8 * pixels.itemsize, Preprocess(frame, size, normalise, 100, 0.5, 0))


def noise(shape, bits, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << bits, shape).astype(DEPTHS[bits])


def wave(side, cycles):
    """Return a horizontal sinusoid around 128 of so many cycles across the image."""
    return np.rint(128 + 100 * np.cos(2 * np.pi * cycles * (np.arange(side) + 0.5) / side))[None].repeat(side, 0)


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (61, 97), (100, 40), (45, 200)])
@pytest.mark.parametrize("bits", [8, 12])
def test_a_whole_frame_keeps_every_row_and_column(shape, bits):
    pixels = noise(shape, bits)
    size, (rows, columns) = 32, shape
    found = reduced(pixels, size, bits=bits)
    longer = round(max(shape) * size / min(shape))
    assert found.shape == ((size, longer) if rows <= columns else (longer, size))
    reference = F.interpolate(
        torch.from_numpy(pixels.astype(np.float64))[None, None], found.shape, mode="bicubic", antialias=True
    )
    assert np.abs(found - reference[0, 0].clamp(0, 2**bits - 1).numpy()).max() <= 0.51


@pytest.mark.parametrize("edge", [np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]], ids=["top", "bottom", "left", "right"])
def test_the_last_pixel_at_every_edge_is_seen(edge):
    pixels = np.zeros((80, 120), np.uint8)
    pixels[edge] = 255
    assert reduced(pixels, 40)[edge].min() > 100  # half of what an edge pixel stands for


@pytest.mark.parametrize("normalise", ["none", "minmax", "percentile"])
@pytest.mark.parametrize("shape", [(60, 90), (91, 60), (60, 61), (64, 64)])
def test_a_square_is_what_it_was_before_frames_were_whole(shape, normalise):
    """The recipe of squares of 8 bits, by Pillow alone."""
    pixels = noise(shape, 8) // 2 + 30
    side = min(shape)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    square = Image.fromarray(pixels[top : top + side, left : left + side].astype(np.float32))
    made = np.asarray(square.resize((32, 32), Image.Resampling.BICUBIC))
    ranges = {"none": (0, 255), "minmax": (made.min(), made.max()), "percentile": np.percentile(made, (0.5, 99.5))}
    low, high = (float(level) for level in ranges[normalise])
    expected = np.clip(np.rint((made - low) * (255 / (high - low))), 0, 255)
    found = reduced(pixels, 32, normalise, frame="square")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_the_central_square_is_cut_out():
    tall = np.arange(40, dtype=np.uint8)[:, None].repeat(20, 1)
    np.testing.assert_array_equal(reduced(tall, 20, frame="square"), tall[10:30])
    np.testing.assert_array_equal(reduced(tall.T, 20, frame="square"), tall.T[:, 10:30])
    # An odd row too many goes from the bottom.
    np.testing.assert_array_equal(reduced(tall[:39], 20, frame="square"), tall[9:29])
    assert Window.of(39, 20, "square") == (9, 0, 20, 20)
    assert Window.of(39, 20, "whole") == (0, 0, 39, 20)


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("shape", [(32, 32), (32, 45)])
def test_an_image_of_the_right_size_is_left_as_it_is(bits, shape):
    levels = noise(shape, bits)
    levels[0, :2] = 0, 2**bits - 1
    found = reduced(levels, 32, bits=bits)
    assert found.dtype == DEPTHS[bits]
    np.testing.assert_array_equal(found, levels)


@pytest.mark.parametrize("bits", DEPTHS)
def test_reduction_keeps_the_range_of_the_depth(bits):
    """Bicubic interpolation overshoots at a sharp edge: what comes out is clipped to the levels that there are."""
    edge = np.zeros((64, 96), DEPTHS[bits])
    edge[:, 48:] = 2**bits - 1
    found = reduced(edge, 32, bits=bits)
    assert (found.min(), found.max()) == (0, 2**bits - 1)
    if bits > 8:
        assert len(np.unique(reduced(noise((64, 96), bits), 32, bits=bits))) > 256


def test_waves_beyond_the_new_nyquist_frequency_vanish_and_waves_below_stay():
    # From 256 pixels to 64: the new Nyquist frequency is 32 cycles an image.
    inner = slice(4, -4)
    beyond = reduced(wave(256, 50).astype(np.uint8), 64)[inner, inner]
    assert np.abs(beyond.astype(int) - 128).max() <= 4  # a bilinear kernel leaves 6
    below = reduced(wave(256, 16).astype(np.uint8), 64)[inner, inner]
    assert np.abs(below - wave(64, 16)[inner, inner]).max() <= 6
    assert np.abs(wave(256, 50)[2::4, 2::4] - 128).max() > 90  # what picking pixels would make of it


def test_a_constant_stays_constant_and_a_ramp_linear():
    assert (reduced(np.full((90, 70), 77, np.uint8), 32) == 77).all()
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(256, 0)
    expected = np.arange(64) * 4 + 1.5  # the mean of each four pixels
    assert np.abs(reduced(ramp, 64)[:, 4:-4] - expected[4:-4]).max() <= 0.5001


@pytest.mark.parametrize("side", [100, 150, 187])
def test_reduction_is_antialiased_bicubic_interpolation_of_another_library_on_noise(side):
    grain = noise((300, 300), 8)
    reference = F.interpolate(torch.from_numpy(grain)[None, None].float(), (side, side), mode="bicubic", antialias=True)
    assert np.abs(reduced(grain, side) - reference[0, 0].clamp(0, 255).numpy()).max() <= 0.51


@pytest.mark.parametrize("bits", DEPTHS)
def test_minmax_spreads_the_levels_over_the_whole_range(bits):
    levels = np.array([[50, 100], [75, 150]], DEPTHS[bits])
    exact = np.array([[0, 0.5], [0.25, 1]]) * (2**bits - 1)
    assert np.abs(reduced(levels, 2, "minmax", bits=bits) - exact).max() <= 0.5
    assert reduced(levels, 2, "minmax", bits=bits).max() == 2**bits - 1


@pytest.mark.parametrize("bits", [14, 16])
def test_percentile_clips_half_a_percent_at_either_end(bits):
    levels = np.random.default_rng(0).permutation(10_000).reshape(100, 100).astype(np.uint16)
    mapped = reduced(levels, 100, "percentile", bits=bits)
    white = 2**bits - 1
    assert mapped[levels < 50].max() == 0
    assert mapped[levels >= 9950].min() == white
    exact = np.clip((levels - 49.995) / (9949.005 - 49.995) * white, 0, white)
    np.testing.assert_allclose(mapped, exact, atol=0.51)


@pytest.mark.parametrize("normalise", ["minmax", "percentile"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_one_level_divides_by_nothing(normalise, bits):
    with np.errstate(all="raise"):
        assert (reduced(np.full((30, 40), 77, DEPTHS[bits]), 16, normalise, bits=bits) == 0).all()


@pytest.mark.parametrize("frame", ["whole", "square"])
@pytest.mark.parametrize("shape", [(15, 40), (40, 15)])
def test_too_small_is_never_enlarged(shape, frame):
    with pytest.raises(Unusable, match=f"{shape[1]}x{shape[0]} pixels") as error:
        reduced(np.zeros(shape, np.uint8), 16, frame=frame)
    assert error.value.kind == "too small"


def test_digest_tells_levels_shapes_and_depths_apart_but_not_byte_orders():
    levels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert digest(levels) == hashlib.sha256(b"uint16 3x4\n" + levels.astype("<u2").tobytes()).hexdigest()
    assert digest(levels.astype(">u2")) == digest(levels)
    assert len({digest(item) for item in (levels, levels + 1, levels.reshape(4, 3), levels.astype(np.uint8))}) == 4
