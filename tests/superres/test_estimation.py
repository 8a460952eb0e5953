"""What came in, against what was put in."""

import io

import numpy as np
import pytest
from PIL import Image

from cxr.sources.phantom.scene import draw
from cxr.superres.degradation.jpeg import quantisation
from cxr.superres.estimation.arrival import QUIET, SMALLEST, Arrival, arrived
from cxr.superres.estimation.compression import MOST, compression, nearest
from cxr.superres.estimation.noise import ENOUGH, Noise, estimate


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


def test_of_a_large_image_as_much_is_found(clean):
    noisy = seen(
        np.tile(clean, (5, 5)) + np.random.default_rng(0).normal(size=[5 * length for length in clean.shape]) * 3 / 255
    )
    assert noisy.size > ENOUGH
    part = estimate(noisy[: 2 * len(clean)])
    assert estimate(noisy).level == pytest.approx(part.level, rel=0.03)
    assert estimate(noisy).rough == pytest.approx(part.rough, rel=0.05)


@pytest.mark.parametrize("level", [252, 128, 3])
@pytest.mark.parametrize("noise", [0.0, 3.0, 10.0])
def test_a_flat_border_hides_no_noise(clean, level, noise):
    noisy = seen(clean + np.random.default_rng(0).normal(size=clean.shape) * noise / 255)
    alone = estimate(noisy)
    noisy[:, : noisy.shape[1] // 5] = level / 255
    found = estimate(noisy)
    assert found.level == pytest.approx(alone.level, rel=0.1, abs=0.1)
    assert found.rough == pytest.approx(alone.rough, rel=0.1)
    assert not found.depends_on_signal


def test_noise_that_grows_with_brightness_is_told_as_it_is_in_the_middle(clean):
    noisy = seen(clean + np.random.default_rng(0).normal(size=clean.shape) * clean * 2 * 6 / 255)
    found = estimate(noisy)
    assert found.depends_on_signal
    assert found.level == pytest.approx(6, rel=0.1)


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
    assert compression(decoded(noisy, at)).quality == pytest.approx(at, abs=5)


@pytest.mark.parametrize("at", [10, 50, 75, 90])
@pytest.mark.parametrize("first", [(3, 5), (0, 1), (7, 0)])
def test_the_quality_is_found_after_cropping(clean, at, first):
    assert compression(decoded(clean, at)[first[0] :, first[1] :]).quality == pytest.approx(at, abs=5)


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_where_there_was_no_jpeg_none_is_found(clean, level):
    assert compression(seen(clean + np.random.default_rng(0).normal(size=clean.shape) * level / 255)).quality is None


def test_what_is_of_few_levels_was_in_no_jpeg(clean):
    small = seen(clean)[:60, :60]
    for image in (np.full((100, 100), 0.5), small.repeat(8, axis=0).repeat(8, axis=1), np.full((7, 300), 0.5)):
        assert compression(image).quality is None


def test_the_coarser_of_two_jpegs_counts(clean):
    once = decoded(clean, 20)
    tables = quantisation(95).numpy()
    assert arrived(decoded(once, 95), tables)[1:3] == (20, False)
    assert arrived(decoded(clean, 95), tables)[1:3] == (95, True)
    assert arrived(decoded(decoded(clean, 95), 70), quantisation(70).numpy())[1:3] == (70, True)


def test_of_a_large_image_blocks_all_over_it_are_looked_at(clean):
    tall = np.tile(clean, (12, 1))
    tall[: -len(clean)] = 0.5  # which tells nothing
    assert len(tall) * len(tall[0]) // 64 > MOST
    assert compression(decoded(tall, 80)).quality == pytest.approx(80, abs=5)


@pytest.mark.parametrize(
    "changed",
    [lambda image: np.round(image**0.8 * 255) / 255, lambda image: np.round(image * 0.8 * 255) / 255],
    ids=["gamma", "contrast"],
)
def test_a_jpeg_whose_levels_were_changed_shows(clean, changed):
    assert not compression(seen(clean)).shows
    assert compression(changed(decoded(clean, 50))) == (None, True)


def test_a_jpeg_that_was_turned_is_told(clean):
    assert compression(np.rot90(decoded(clean, 50))).quality == pytest.approx(50, abs=5)


def test_noise_in_a_half_is_told(clean):
    noisy = seen(clean + np.random.default_rng(0).normal(size=clean.shape) * 5 / 255)
    half = np.where(np.arange(clean.shape[1]) < clean.shape[1] // 2, seen(clean), noisy)
    assert estimate(half).level == pytest.approx(5, rel=0.2)


def test_a_grey_border_is_no_contrast(clean):
    dark = clean / 4
    dark[:, :30] = 250 / 255
    dark[:20, 40:70] = 240 / 255
    assert arrived(seen(dark)).contrast < 0.5


def test_the_nearest_quality_of_a_table():
    assert [nearest(quantisation(each).numpy()) for each in (10, 50, 75, 95)] == [10, 50, 75, 95]
    assert nearest(np.full((8, 8), 255)) == 1
    assert nearest(np.full((8, 8), 40)) < 30  # flat tables lose what the low frequencies hold


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
    coarse = Arrival(Noise(0.0, 0.0, 3.5), None, by_file=False)
    assert coarse.told == "coarse noise or texture of about 3.5 grey levels of 255; no sign of JPEG"
    assert Arrival(Noise(0.0, 0.0), None, False, lossy=True).told == "hardly any noise; compressed with loss, as its file says"
