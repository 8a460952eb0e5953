"""What came in, against what was put in."""

import io

import numpy as np
import pytest
from PIL import Image

from cxr.sources.phantom.scene import draw
from cxr.superres.degradation.jpeg import quantisation
from cxr.superres.estimation.arrival import QUIET, SMALLEST, Arrival, arrived
from cxr.superres.estimation.compression import MOST, nearest, quality
from cxr.superres.estimation.noise import Noise, estimate


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """Return a phantom at half its size, whose own noise is then small: float64 in [0, 1]."""
    pixels = draw(0, 3, 768).pixels
    height, width = (length // 3 for length in pixels.shape)
    reduced = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(reduced) / 255


def seen(image: np.ndarray) -> np.ndarray:
    return np.round(image * 255).clip(0, 255) / 255


@pytest.mark.parametrize("level", [1.0, 2.0, 5.0, 10.0])
def test_the_level_of_white_noise_is_found(clean, level):
    noisy = seen(clean + np.random.default_rng(0).normal(size=clean.shape) * level / 255)
    found = estimate(noisy)
    assert found.level == pytest.approx(level, rel=0.2)
    assert not found.depends_on_signal


@pytest.mark.parametrize("quanta", [500, 2000, 8000])
def test_counted_quanta_are_told_from_white_noise(clean, quanta):
    noisy = seen(np.random.default_rng(0).poisson(clean * quanta) / quanta)
    found = estimate(noisy)
    assert found.level == pytest.approx(255 * np.sqrt(0.5 / quanta), rel=0.2)
    assert found.depends_on_signal


def test_a_clean_radiograph_is_quiet(clean):
    assert estimate(seen(clean)).level < QUIET


def test_a_flat_image_has_no_noise():
    assert estimate(np.full((64, 64), 0.5)).level < 0.3


def test_where_nothing_can_be_told_of_noise_none_is_told():
    for untold in (np.zeros((64, 64)), np.full((5, 5), 0.5), np.random.default_rng(0).choice([0.0, 0.5, 1.0], (64, 64))):
        assert estimate(untold) is None
    assert arrived(np.zeros((80, 80))).spoilt


def decoded(image: np.ndarray, at: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(np.round(image * 255).astype(np.uint8)).save(file, "JPEG", quality=at)
    return np.asarray(Image.open(file)) / 255


@pytest.mark.parametrize("at", [10, 20, 30, 60, 70, 75, 80, 85, 90, 95])
@pytest.mark.parametrize("level", [0.0, 3.0])
def test_the_quality_of_a_jpeg_is_found_in_its_pixels(clean, at, level):
    noisy = (clean + np.random.default_rng(0).normal(size=clean.shape) * level / 255).clip(0, 1)
    assert quality(decoded(noisy, at)) == pytest.approx(at, abs=5)


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_where_there_was_no_jpeg_none_is_found(clean, level):
    assert quality(seen(clean + np.random.default_rng(0).normal(size=clean.shape) * level / 255)) is None


def test_of_a_large_image_blocks_all_over_it_are_looked_at(clean):
    tall = np.tile(clean, (12, 1))
    tall[: -len(clean)] = 0.5  # which tells nothing
    assert len(tall) * len(tall[0]) // 64 > MOST
    assert quality(decoded(tall, 80)) == pytest.approx(80, abs=5)


def test_the_nearest_quality_of_a_table():
    assert [nearest(quantisation(each).numpy()) for each in (10, 50, 75, 95)] == [10, 50, 75, 95]
    assert nearest(np.full((8, 8), 255)) == 1


def test_what_came_in_is_told_in_words(clean):
    assert arrived(seen(clean)).told == "hardly any noise; no sign of JPEG"
    noisy = seen(clean + np.random.default_rng(0).normal(size=clean.shape) * 5 / 255)
    told = arrived(noisy, quantisation(80).numpy()).told
    assert told.startswith("noise of about ")
    assert told.endswith(" grey levels of 255, alike everywhere; JPEG of quality 80, by its file")
    assert arrived(decoded(clean, 75)).told.endswith("; JPEG of quality 75, by its pixels")
    dependent = Arrival(Noise(0.5, 30.0), None, by_file=False)
    assert dependent.told == "noise of about 3.9 grey levels of 255, more where it is bright; no sign of JPEG"
    small = arrived(np.zeros((SMALLEST - 1, 200)))
    assert small.told == "too small, or too much of it black or white, to tell its noise; no sign of JPEG"
    assert Arrival(Noise(0.0, 0.0), None, False, lossy=True).told == "hardly any noise; compressed with loss, as its file says"
