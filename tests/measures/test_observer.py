"""The observer against the ideal one, whose figures are known in white noise."""

import numpy as np
import pytest
from scipy.stats import norm

from cxr.measures.observer import channels, outputs, told


def disc(side: int, radius: float) -> np.ndarray:
    line = np.arange(side) - side / 2 + 0.5
    return (np.hypot(line[:, None], line) < radius).astype(float)


@pytest.mark.parametrize("contrast", [0.15, 0.3, 0.6])
def test_in_white_noise_it_is_as_good_as_the_ideal_observer(contrast):
    random, signal = np.random.default_rng(0), contrast * disc(32, 4)
    noise = random.normal(size=(2, 600, 32, 32))
    through = channels(signal)
    found = told(outputs(signal + noise[0], through), outputs(noise[1], through))
    ideal = np.linalg.norm(signal - signal.mean())  # d' of the matched filter: van Trees, Detection Theory I, 4.2
    assert found.auc == pytest.approx(norm.cdf(ideal / np.sqrt(2)), abs=0.04)
    assert found.detectability == pytest.approx(ideal, rel=0.12)


def test_in_correlated_noise_it_learns_to_look_away_from_the_noise():
    """Against a matched filter that does not know the noise."""
    random, signal = np.random.default_rng(1), 0.5 * disc(32, 2)
    spectrum = 1 / np.maximum(np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32))), 1 / 32)
    noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(2, 500, 32, 32))) * spectrum / spectrum.mean()).real
    through = channels(signal)
    present, absent = signal + noise[0], noise[1]
    matched = outputs(present, through[:1]), outputs(absent, through[:1])
    assert told(outputs(present, through), outputs(absent, through)).auc > told(*matched).auc + 0.05


def test_without_a_signal_it_guesses():
    random, signal = np.random.default_rng(2), disc(32, 4)
    noise = random.normal(size=(2, 500, 32, 32))
    assert told(*(outputs(each, channels(signal)) for each in noise)).auc == pytest.approx(0.5, abs=0.04)


def test_without_noise_it_is_sure():
    signal = disc(32, 4)
    flat = np.zeros((8, 32, 32))
    assert told(outputs(flat + signal, channels(signal)), outputs(flat, channels(signal))).auc == 1


def test_brightness_alone_tells_nothing():
    signal = disc(16, 3)
    random = np.random.default_rng(3).normal(size=(8, 16, 16))
    np.testing.assert_allclose(outputs(random, channels(signal)), outputs(random + 7, channels(signal)), atol=1e-9)


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="four images with the signal and four without"):
        told(np.zeros((3, 2)), np.zeros((9, 2)))


def test_it_is_judged_on_the_half_that_it_did_not_learn_from():
    """Where the signal is turned round in the second half, what the first one teaches is wrong there."""
    signal = disc(16, 3)
    noise = np.random.default_rng(4).normal(size=(2, 40, 16, 16)) / 10
    turned = np.repeat([1.0, -1.0], 20)[:, None, None]
    through = channels(signal)
    assert told(outputs(turned * signal + noise[0], through), outputs(noise[1], through)).auc < 0.1
