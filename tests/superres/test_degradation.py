"""Degradation against a second implementation of MATLAB's imresize, in float64."""

import itertools

import numpy as np
import pytest
import scipy.stats
import torch

from cxr.superres.degradation import enlargement, reduction
from cxr.superres.degradation.enlargement import enlarge, interpolated
from cxr.superres.degradation.levels import TIE, in_unit_range, to_levels
from cxr.superres.degradation.passage import MARGIN, field_for_image
from cxr.superres.degradation.reduction import SMALL, crop_to_multiple, low_resolution
from cxr.superres.settings import Degradation, Degrade
from tests.support.observed import observe
from tests.support.phantoms import square


def cubic(x):
    """Return Keys' kernel with a = -0.5 (Keys 1981), as MATLAB's imresize has it."""
    x = np.abs(x)
    return np.where(x <= 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x <= 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))


def weights(size: int, out: int) -> np.ndarray:
    """Return the matrix (out, size) of one-dimensional bicubic resizing with antialiasing and renormalised borders."""
    factor = out / size
    stretch = min(factor, 1)
    centres = (np.arange(out) + 0.5) / factor - 0.5
    matrix = cubic(stretch * (np.arange(size)[None] - centres[:, None]))
    return matrix / matrix.sum(axis=1, keepdims=True)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return weights(image.shape[0], height) @ image @ weights(image.shape[1], width).T


@pytest.fixture(scope="module", params=[SMALL * 5 // 8, SMALL * 5 // 4])
def image(request) -> np.ndarray:
    return square(3, 1, request.param)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy())[None, None].float() / 255


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_low_resolution_is_matlab_imresize_rounded_to_8_bits(image, scale):
    side = len(image) // scale
    expected = np.clip(np.floor(resize(image.astype(float), side, side) + 0.5), 0, 255)
    got = low_resolution(tensor(image), scale)[0, 0] * 255
    difference = np.abs(got.numpy() - expected)
    assert difference.max() <= 1  # where float32 falls on the other side of a half
    assert (difference > 0.5).mean() < 0.01
    assert torch.equal(got.round(), got)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_enlarging_is_matlab_imresize_unrounded(image, scale):
    low = image[: len(image) // scale, : 96 // scale].astype(float)
    got = enlarge(tensor(low.astype(np.uint8)), scale)[0, 0].numpy() * 255
    expected = resize(low, low.shape[0] * scale, low.shape[1] * scale).clip(0, 255)
    np.testing.assert_allclose(got, expected, atol=1e-3)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pixels", [1, 700, 5000])  # a row at a time, strips whose last is shorter
def test_enlarging_in_strips_gives_the_whole_bit_for_bit(monkeypatch, scale, dtype, pixels):
    low = torch.rand(2, 1, 41, 37, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 3 - 1
    whole = enlarge(low, scale), interpolated(low, scale)
    monkeypatch.setattr(enlargement, "STRIP", {"cpu": pixels})
    assert all(torch.equal(*each) for each in zip((enlarge(low, scale), interpolated(low, scale)), whole, strict=True))


def test_a_network_that_multiplies_in_bfloat16_is_given_the_same(image):
    expected = observe(tensor(image), 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(observe(tensor(image), 2), expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
def test_a_flat_image_stays_flat(scale, level):
    flat = torch.full((1, 1, 48, 48), level / 255)
    assert torch.equal(to_levels(observe(flat, scale)), to_levels(flat))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_crop_with_its_margin_is_degraded_as_the_whole_image_is(image, scale):
    whole = observe(tensor(image), scale)
    for top, left, side in ((0, 24, 96), (24, 12, 72), (12, 0, 108)):
        crop = observe(tensor(image[top : top + side, left : left + side]), scale)
        inner = (..., slice(MARGIN, side - MARGIN), slice(MARGIN, side - MARGIN))
        window = whole[..., top : top + side, left : left + side]
        # Equal to the last low-resolution grey level: a level more or less would show as 0.0004 at least.
        torch.testing.assert_close(crop[inner], window[inner], rtol=0, atol=2e-6)


def test_exact_halves_round_up_whatever_the_neighbours():
    # Columns 10, 11, 10, 11, ... halve to 10.5 exactly.
    stripes = (10 + torch.arange(48) % 2).expand(48, 48)[None, None] / 255
    assert (low_resolution(stripes, 2)[..., 4:-4, 4:-4] * 255).round().unique().tolist() == [11]


def with_exact_halves(bits: int, side: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 1, side, side) whose inner low-resolution pixels at x2 and x4 are all k + 1/2, and those of each.

    The weights of even and of odd lines add up to one half each, so of stripes of two levels the mean remains. The mean is
    half a level off where one of the two is odd. Half of the images are of columns, half of rows.
    """
    source = np.random.default_rng(bits)
    first = source.integers(0, (1 << bits) - 1, count)
    second = (1 << bits) - 1 - source.integers(0, 1 << (bits - 1), count) * 2
    second -= (second - first) % 2 == 0
    columns = np.where(np.arange(side) % 2, second[:, None], first[:, None])[:, None, None].repeat(side, 2)
    return np.concatenate([columns, columns.swapaxes(2, 3)]), np.tile((first + second) / 2, 2)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize(("side", "count"), [(48, 400), (SMALL + 8, 20)])  # by products, and by interpolation
def test_exact_halves_of_any_depth_round_up(bits, scale, side, count):
    images, halves = with_exact_halves(bits, side, count)
    matrix, white = weights(side, side // scale), (1 << bits) - 1
    inner = (..., slice(4, -4), slice(4, -4))
    for image, half in zip(images[::7], halves[::7], strict=True):
        np.testing.assert_array_equal((matrix @ image[0] @ matrix.T)[inner], half)  # dyadic: exact in float64
    assert (halves % 1 == 0.5).all()
    levels = in_unit_range(torch.from_numpy(images), white)
    assert levels.dtype == (torch.float64 if bits > 10 else torch.float32)

    def rounded(levels: torch.Tensor) -> np.ndarray:
        return (low_resolution(levels, scale, white=white) * white).round()[inner].numpy()

    expected = np.ceil(halves)[:, None, None, None]
    assert (rounded(levels) == expected).all()
    if bits == 16:  # which is one reason why deep images are degraded in float64
        assert not (rounded(levels.float()) == expected).all()


@pytest.mark.parametrize("bits", [8, 10, 11, 12, 14, 16])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_errors_of_the_dtype_that_a_depth_is_degraded_in_are_well_below_what_is_added_for_ties(bits, scale):
    white, source = (1 << bits) - 1, np.random.default_rng(3)
    for shape in ((SMALL - 12, SMALL - 12), (480, 600)):  # by products, and by interpolation
        levels = torch.from_numpy(source.integers(0, white + 1, shape))[None, None]
        height, width = (length // scale for length in shape)
        exact = resize(levels[0, 0].double().numpy(), height, width)
        found = reduction.resize(in_unit_range(levels, white), height, width)[0, 0].double().numpy() * white
        assert np.abs(found - exact).max() < TIE / 2


@pytest.mark.parametrize("bits", [11, 12, 16])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_window_of_a_deep_image_is_degraded_as_the_whole_image_is(bits, scale):
    white = (1 << bits) - 1
    image = torch.from_numpy(np.random.default_rng(3).integers(0, white + 1, (1, 1, 960, 960)))
    whole = low_resolution(in_unit_range(image, white), scale, white=white)
    side, inner = 168 // scale, slice(MARGIN // scale, (168 - MARGIN) // scale)
    for top, left in itertools.product(range(0, 960 - 168, 120), repeat=2):
        crop = low_resolution(in_unit_range(image[..., top : top + 168, left : left + 168], white), scale, white=white)
        row, column = top // scale, left // scale
        same = whole[..., row : row + side, column : column + side]
        assert torch.equal(*((each[0, 0, inner, inner] * white).round() for each in (crop, same)))


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_deep_low_resolution_is_matlab_imresize_rounded_to_its_own_levels(image, bits, scale):
    white, side = (1 << bits) - 1, len(image) // scale * scale
    deep = np.rint((image[:side, :side] + np.random.default_rng(0).random((side, side))) * white / 256)
    expected = np.clip(np.floor(resize(deep, side // scale, side // scale) + 0.5), 0, white)
    levels = in_unit_range(torch.from_numpy(deep.astype(np.int32))[None, None], white)
    got = low_resolution(levels, scale, white=white)
    difference = np.abs((got[0, 0] * white).numpy() - expected)
    assert difference.max() < 1.01
    assert (difference > 0.5).mean() < 0.01
    seen = observe(levels, scale, white=white)
    assert seen.dtype == torch.float32
    np.testing.assert_allclose(seen[0, 0], resize(expected / white, side, side).clip(0, 1), atol=2 / white + 1e-6)


def test_images_of_several_depths_at_once_are_each_degraded_on_its_own_levels():
    depths = [8, 10, 12, 16]
    source = np.random.default_rng(0)
    images = [torch.from_numpy(source.integers(0, 1 << bits, (1, 1, 48, 72))) for bits in depths]
    white = torch.tensor([(1 << bits) - 1 for bits in depths])[:, None, None, None]
    noise = torch.randn(4, 1, 24, 36, generator=torch.Generator().manual_seed(0))
    levels = in_unit_range(torch.cat(images), white)
    together = low_resolution(levels, 2, noise, white)
    for number, (image, bits) in enumerate(zip(images, depths, strict=True)):
        own = (1 << bits) - 1
        alone = low_resolution(in_unit_range(image, own), 2, noise[number : number + 1], own)
        difference = ((together[number : number + 1] - alone) * own).abs()
        assert difference.max() < 1.01  # float32 where it is alone
        assert (difference > 0.5).float().mean() < 0.01
        same = to_levels(levels, white)[number : number + 1]
        assert torch.equal(same.long(), image)
    assert to_levels(levels, white).dtype == torch.int32


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_deep_levels_are_clipped_and_rounded(bits):
    white = (1 << bits) - 1
    values = torch.tensor([-0.2, 0, 0.4 / white, 0.6 / white, (white - 0.6) / white, 1, 1.3], dtype=torch.float64)
    assert to_levels(values, white).tolist() == [0, 0, 0, 1, white - 1, white, white]


def test_levels_are_clipped_and_rounded():
    values = torch.tensor([-0.2, 0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 1, 1.3])
    assert to_levels(values).tolist() == [0, 0, 0, 1, 254, 255, 255]


def test_sizes_are_cropped_to_a_multiple():
    images = torch.arange(7 * 11).view(1, 1, 7, 11)
    cropped = crop_to_multiple(images, 3)
    assert cropped.shape == (1, 1, 6, 9)
    assert torch.equal(cropped, images[..., :6, :9])
    assert crop_to_multiple(cropped, 3).shape == cropped.shape


def test_a_size_that_is_no_multiple_is_refused():
    with pytest.raises(ValueError, match="96x97 is no multiple of the scale 2"):
        low_resolution(torch.zeros(1, 1, 96, 97), 2)


NOISY = Degrade((2, 3), (0.0, 5.0), seed=7)


def test_degradations_are_every_scale_with_every_noise():
    assert [each.name for each in NOISY.degradations] == ["x2", "x2_noise5", "x3", "x3_noise5"]
    assert [each.name for each in NOISY.at(3)] == ["x3", "x3_noise5"]
    assert Degradation(2, 5.0, grain=0.7).spoilt_by == "coarse detector noise of 5 grey levels"
    assert Degradation(4, 2.5).title == "x4 super-resolution of images with detector noise of 2.5 grey levels"
    assert Degradation(4).title == "x4 super-resolution"


def test_detector_noise_is_white_gaussian_with_the_standard_deviation_asked_for():
    noise = 5 * field_for_image(Degradation(2, 5.0), NOISY.seed, "a", 200, 300)
    assert noise.shape == (1, 1, 200, 300)
    assert noise.mean().item() == pytest.approx(0, abs=4 * 5 / 60_000**0.5)
    assert noise.std().item() == pytest.approx(5, rel=0.01)
    assert scipy.stats.kstest(noise.flatten().numpy(), "norm", (0, 5)).pvalue > 0.001
    right = (noise[..., 1:] * noise[..., :-1]).mean() / 25
    down = (noise[..., 1:, :] * noise[..., :-1, :]).mean() / 25
    assert max(abs(right), abs(down)) < 0.02


def test_detector_noise_is_a_function_of_image_seed_and_scale_alone():
    first = field_for_image(Degradation(2, 5.0), NOISY.seed, "a", 20, 30)
    torch.manual_seed(3)
    assert torch.equal(field_for_image(Degradation(2, 5.0), NOISY.seed, "a", 20, 30), first)
    assert not torch.equal(field_for_image(Degradation(2, 5.0), NOISY.seed, "b", 20, 30), first)
    assert not torch.equal(field_for_image(Degradation(3, 5.0), NOISY.seed, "a", 20, 30), first)
    assert not torch.equal(field_for_image(Degradation(2, 5.0), 8, "a", 20, 30), first)
    assert field_for_image(Degradation(2), NOISY.seed, "a", 20, 30) is None


def test_noise_is_added_to_the_low_resolution_image_before_rounding(image):
    noise = 5 * field_for_image(Degradation(2, 5.0), NOISY.seed, "a", len(image) // 2, len(image) // 2)
    exact = resize(image.astype(float), len(image) // 2, len(image) // 2) + noise[0, 0].numpy()
    got = low_resolution(tensor(image), 2, noise)[0, 0].numpy() * 255
    difference = np.abs(got - np.clip(np.floor(exact + 0.5), 0, 255))
    assert difference.max() <= 1
    assert (difference > 0.5).mean() < 0.01
