import numpy as np
import pandas as pd
import pytest
from scipy import stats

from superres.statistics import PERFECT, bootstrap_mean, gains, gains_by_image, means, table


def rows(psnrs: dict[tuple[str, str], tuple[float, float, float]]) -> pd.DataFrame:
    """Return a table by (image, patient) of the PSNRs of bicubic, srcnn and vdsr at x2; SSIM is a hundredth of it."""
    return pd.DataFrame(
        {"image": image, "class": "NORMAL", "patient": patient, "model": model, "scale": "x2", "psnr": psnr, "ssim": psnr / 100}
        for (image, patient), values in psnrs.items()
        for model, psnr in zip(("bicubic", "srcnn", "vdsr"), values, strict=True)
    )


def test_with_one_image_a_patient_the_interval_is_scipys():
    values = np.random.default_rng(0).normal(3, 2, 60)
    mean, low, high = bootstrap_mean(values, np.arange(60))
    reference = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=0.05)


def test_copies_of_an_image_of_one_patient_add_no_certainty():
    values = np.random.default_rng(0).normal(3, 2, 60)
    once = bootstrap_mean(values, np.arange(60))
    assert bootstrap_mean(np.tile(values, 4), np.tile(np.arange(60), 4)) == pytest.approx(once)
    _, low, high = bootstrap_mean(np.tile(values, 4), np.arange(240))
    assert high - low < 0.6 * (once[2] - once[1])


def test_the_mean_is_over_images_not_over_patients():
    mean, _, _ = bootstrap_mean([1, 1, 1, 5], ["a", "a", "a", "b"])
    assert mean == 2


def test_no_value_has_no_mean():
    with pytest.raises(ValueError, match="no value"):
        bootstrap_mean([], [])


def test_means_are_rounded_for_print():
    quality = means(rows({("a", "p"): (30, 31, 32), ("b", "q"): (30.0011, 31.5, 34)}), ["bicubic", "srcnn", "vdsr"])
    assert quality == {
        "bicubic": {"x2": {"psnr": 30.001, "ssim": 0.3}},
        "srcnn": {"x2": {"psnr": 31.25, "ssim": 0.3125}},
        "vdsr": {"x2": {"psnr": 33.0, "ssim": 0.33}},
    }


def test_an_image_without_error_does_not_make_the_mean_infinite():
    per_image = rows({("a", "p"): (np.inf, np.inf, np.inf), ("b", "q"): (30, 31, 32)})
    assert means(per_image, ["vdsr"])["vdsr"]["x2"]["psnr"] == (PERFECT + 32) / 2
    assert gains(per_image)["vdsr-bicubic"]["x2"]["psnr"]["mean"] == 1
    assert gains_by_image(per_image)["gain"].tolist() == [0, 0, 1, 2]


def test_gains_are_paired_by_image():
    per_image = rows({(f"i{i}", f"p{i}"): (30 + i, 30.5 + i, 32 + i) for i in range(10)})
    shuffled = per_image.sample(frac=1, random_state=0)
    certain = gains(shuffled)
    # Images differ by many dB, the gain of each is the same: only paired differences are certain.
    assert certain["srcnn-bicubic"]["x2"]["psnr"] == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert certain["vdsr-bicubic"]["x2"]["psnr"] == {"mean": 2.0, "low": 2.0, "high": 2.0}
    assert certain["vdsr-srcnn"]["x2"]["ssim"] == {"mean": 0.015, "low": 0.015, "high": 0.015}


def test_the_table_says_what_was_measured():
    text = table(rows({("a", "p"): (30, 31, 32), ("b", "q"): (30, 31, 32.5)}))
    assert "2 images of 2 patients" in text
    lines = {tuple(line.split()[:2]): line for line in text.splitlines() if line.startswith("x2")}
    assert lines["x2", "bicubic"].split()[2:] == ["30.00", "0.3000"]
    assert "+1.00 [+1.00, +1.00]" in lines["x2", "srcnn"]
    assert "+2.25 [+2.00, +2.50]" in lines["x2", "vdsr"]
    assert "+1.25 [+1.00, +1.50] dB" in text
