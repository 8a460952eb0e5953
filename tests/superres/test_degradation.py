"""Degradation against a second implementation of MATLAB's imresize, in float64."""

import numpy as np
import pytest
import scipy.stats
import torch

from cxr.sources.phantom.scene import draw
from cxr.superres.degradation import (
    MARGIN,
    SMALL,
    crop_to_multiple,
    enlarge,
    low_resolution,
    noise_for_image,
    observe,
    to_levels,
)
from cxr.superres.settings import Degradation, Degrade


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
    return draw(3, 1, request.param).pixels


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
    assert Degradation(4, 2.5).title == "x4 super-resolution of images with detector noise of 2.5 grey levels"
    assert Degradation(4).title == "x4 super-resolution"


def test_detector_noise_is_white_gaussian_with_the_standard_deviation_asked_for():
    noise = noise_for_image(Degradation(2, 5.0), NOISY.seed, "a", 200, 300)
    assert noise.shape == (1, 1, 200, 300)
    assert noise.mean().item() == pytest.approx(0, abs=4 * 5 / 60_000**0.5)
    assert noise.std().item() == pytest.approx(5, rel=0.01)
    assert scipy.stats.kstest(noise.flatten().numpy(), "norm", (0, 5)).pvalue > 0.001
    right = (noise[..., 1:] * noise[..., :-1]).mean() / 25
    down = (noise[..., 1:, :] * noise[..., :-1, :]).mean() / 25
    assert max(abs(right), abs(down)) < 0.02


def test_detector_noise_is_a_function_of_image_seed_and_scale_alone():
    first = noise_for_image(Degradation(2, 5.0), NOISY.seed, "a", 20, 30)
    torch.manual_seed(3)
    assert torch.equal(noise_for_image(Degradation(2, 5.0), NOISY.seed, "a", 20, 30), first)
    assert not torch.equal(noise_for_image(Degradation(2, 5.0), NOISY.seed, "b", 20, 30), first)
    assert not torch.equal(noise_for_image(Degradation(3, 5.0), NOISY.seed, "a", 20, 30), first)
    assert not torch.equal(noise_for_image(Degradation(2, 5.0), 8, "a", 20, 30), first)
    assert not noise_for_image(Degradation(2), NOISY.seed, "a", 20, 30).any()


def test_noise_is_added_to_the_low_resolution_image_before_rounding(image):
    noise = noise_for_image(Degradation(2, 5.0), NOISY.seed, "a", len(image) // 2, len(image) // 2)
    exact = resize(image.astype(float), len(image) // 2, len(image) // 2) + noise[0, 0].numpy()
    got = low_resolution(tensor(image), 2, noise)[0, 0].numpy() * 255
    difference = np.abs(got - np.clip(np.floor(exact + 0.5), 0, 255))
    assert difference.max() <= 1
    assert (difference > 0.5).mean() < 0.01
    torch.testing.assert_close(observe(tensor(image), 2, noise), enlarge(low_resolution(tensor(image), 2, noise), 2))
