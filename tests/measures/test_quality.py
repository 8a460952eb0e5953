"""PSNR and SSIM against scikit-image, and at values known by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as hypothesis_arrays
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cxr.measures.quality import psnr, ssim

GRID = list(itertools.product([(24, 24), (31, 45), (64, 40)], [0, 2, 3, 4], [1.0, 12.0, 80.0]))


def pair(shape: tuple[int, int], noise: float, count: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (count, 6, 6)).repeat(12, 1).repeat(12, 2)[:, : shape[0], : shape[1]]
    truth = np.clip(smooth + rng.normal(0, 3, (count, *shape)), 0, 255).astype(np.uint8)
    return np.clip(truth + rng.normal(0, noise, truth.shape), 0, 255).astype(np.uint8), truth


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(array)[:, None] for array in arrays]


@pytest.mark.parametrize(("shape", "shave", "noise"), GRID)
def test_psnr_is_scikit_images_inside_the_shaved_border(shape, shave, noise):
    image, truth = pair(shape, noise)
    inner = (slice(shave, shape[0] - shave), slice(shave, shape[1] - shave))
    expected = [peak_signal_noise_ratio(t[inner], i[inner], data_range=255) for i, t in zip(image, truth, strict=True)]
    np.testing.assert_allclose(psnr(*tensors(image, truth), shave), expected, atol=1e-6)


@pytest.mark.parametrize(("shape", "shave", "noise"), GRID)
def test_ssim_is_scikit_images_inside_the_shaved_border(shape, shave, noise):
    image, truth = pair(shape, noise)
    inner = (slice(shave, shape[0] - shave), slice(shave, shape[1] - shave))
    expected = [
        structural_similarity(t[inner], i[inner], data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for i, t in zip(image, truth, strict=True)
    ]
    np.testing.assert_allclose(ssim(*tensors(image, truth), shave), expected, atol=1e-6)


@st.composite
def any_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Return an image, its truth, (H, W) each, and how much to shave: constant, extreme or noisy ones among them."""
    shave = draw(st.integers(0, 4))
    shape = draw(st.tuples(st.integers(11, 40), st.integers(11, 40)))
    whole = tuple(side + 2 * shave for side in shape)
    levels = st.integers(0, 255) | st.sampled_from([0, 255])
    image, truth = (draw(hypothesis_arrays(np.uint8, whole, elements=levels, fill=levels)) for _ in range(2))
    return image, draw(st.sampled_from([truth, image, 255 - image])), shave


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(any_pairs())
def test_both_are_scikit_images_on_any_pair(case):
    image, truth, shave = case
    inner = (slice(shave, image.shape[0] - shave), slice(shave, image.shape[1] - shave))
    given_pair = tensors(image[None], truth[None])
    squares = (image[inner].astype(float) - truth[inner]) ** 2
    with np.errstate(divide="ignore"):
        assert psnr(*given_pair, shave).item() == pytest.approx(10 * np.log10(255**2 / squares.mean()), abs=1e-9)
    similarity = structural_similarity(
        truth[inner], image[inner], data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(*given_pair, shave).item() == pytest.approx(similarity, abs=1e-6)


DEPTHS = [8, 10, 12, 14, 16]


def deep_pair(bits: int, shape: tuple[int, int] = (31, 45)) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its truth (1, H, W) of so many bits, with levels that 8 bits do not have."""
    image, truth = pair(shape, 12.0, 1)
    source = np.random.default_rng(bits)
    factor = 1 << (bits - 8)
    return tuple(each.astype(np.int32) * factor + source.integers(0, factor, each.shape) for each in (image, truth))


def scikit_images(image: np.ndarray, truth: np.ndarray, shave: int, white: int) -> tuple[float, float]:
    """Return PSNR and SSIM of (1, H, W) arrays by scikit-image."""
    inner = (0, slice(shave, image.shape[1] - shave), slice(shave, image.shape[2] - shave))
    similarity = structural_similarity(
        truth[inner], image[inner], data_range=white, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return peak_signal_noise_ratio(truth[inner], image[inner], data_range=white), similarity


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("shave", [0, 3])
def test_both_are_scikit_images_on_any_range(bits, shave):
    image, truth = deep_pair(bits)
    white = (1 << bits) - 1
    measured = [measure(*tensors(image, truth), shave, white).item() for measure in (psnr, ssim)]
    assert measured == pytest.approx(scikit_images(image, truth, shave, white), abs=1e-6)


@pytest.mark.parametrize("one_truth", [False, True])
def test_each_image_of_a_batch_has_its_own_range(one_truth):
    pairs = [deep_pair(bits) for bits in DEPTHS]
    images, truths = (np.concatenate(each) for each in zip(*pairs, strict=True))
    if one_truth:
        truths = truths[:1]
    whites = [(1 << bits) - 1 for bits in DEPTHS]
    found = [measure(*tensors(images, truths), 2, torch.tensor(whites)[:, None, None, None]) for measure in (psnr, ssim)]
    for number, white in enumerate(whites):
        expected = scikit_images(images[number : number + 1], truths[:1] if one_truth else pairs[number][1], 2, white)
        assert [each[number].item() for each in found] == pytest.approx(expected, abs=1e-6)
        assert found[0].dtype == found[1].dtype == torch.float64


def test_one_truth_serves_for_all_images():
    image, truth = tensors(*pair((24, 31), 12.0, count=3))
    for measure in (psnr, ssim):
        torch.testing.assert_close(measure(image, truth[:1], 2), measure(image, truth[:1].expand(3, -1, -1, -1), 2))
        with pytest.raises(ValueError, match="shape"):
            measure(image, truth[:2], 2)


def test_psnr_of_one_grey_level_everywhere_is_48_13_db():
    truth = torch.full((1, 1, 16, 16), 100, dtype=torch.uint8)
    assert psnr(truth + 1, truth, 0).item() == pytest.approx(20 * math.log10(255))


def test_the_shaved_border_is_exactly_as_wide_as_said():
    truth = torch.zeros(1, 1, 20, 20, dtype=torch.uint8)
    for shave in (2, 3, 4):
        image = truth.clone()
        image[..., shave - 1, :] = 255  # the last row that must not count
        assert psnr(image, truth, shave).item() == math.inf
        image[..., shave, shave] = 255  # the first pixel that must
        assert psnr(image, truth, shave).item() < math.inf


def test_equal_images_are_perfect():
    image = torch.randint(0, 256, (3, 1, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert psnr(image, image, 2).tolist() == [math.inf] * 3
    np.testing.assert_allclose(ssim(image, image, 2), 1)


@pytest.mark.parametrize(
    ("shapes", "shave", "message"),
    [
        (((1, 1, 20, 20), (1, 1, 20, 21)), 0, "cannot compare images of shape"),
        (((1, 1, 8, 20), (1, 1, 8, 20)), 4, "nothing is left of 8x20 pixels after shaving 4"),
    ],
)
def test_images_that_cannot_be_compared_are_refused(shapes, shave, message):
    for measure in (psnr, ssim):
        with pytest.raises(ValueError, match=message):
            measure(torch.zeros(shapes[0]), torch.zeros(shapes[1]), shave)


def test_an_image_smaller_than_the_window_has_no_ssim():
    with pytest.raises(ValueError, match="SSIM needs 11x11"):
        ssim(torch.zeros(1, 1, 14, 14), torch.zeros(1, 1, 14, 14), 2)
