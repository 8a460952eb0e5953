import copy
import json

import pandas as pd
import pytest

from cxr.foundation.errors import UserError
from tools.verify import TOLERANCE, differences, found

PSNR = {"bicubic": 38.6123456789, "srcnn": 41.65, "vdsr": 41.99, "edsr": 42.57}


@pytest.fixture
def demo(tmp_path):
    """A folder with what a demo writes."""
    rows = [
        {"image": image, "model": model, "degradation": degradation, "psnr": psnr + step / 7, "ssim": psnr / 100 + step / 1000}
        for step, image in enumerate(("a", "b"))
        for degradation in ("x2", "x3")
        for model, psnr in PSNR.items()
    ]
    more = {"findings": "NORMAL", "patient": "p", "bits": 8, "inconsistency": 0.1}
    for name in ("plots", "metrics"):
        (tmp_path / name).mkdir()
    pd.DataFrame([{**row, **more} for row in rows]).to_csv(tmp_path / "plots/per_image.csv", index=False)
    (tmp_path / "metrics/evaluate.json").write_text(json.dumps({"test_set": "abc"}))
    return tmp_path


def changed(here, model, measure, by):
    other = copy.deepcopy(here)
    other["figures"][model]["x3"][measure] += by
    return other


def test_the_same_figures_are_reproduced_also_through_the_file(demo):
    here = found(demo)
    assert here["figures"]["bicubic"]["x2"]["psnr"] == pytest.approx(38.6123456789 + 0.5 / 7, abs=1e-9)
    assert not list(differences(here, json.loads(json.dumps(here))))


@pytest.mark.parametrize("measure", TOLERANCE)
def test_the_last_digit_of_bicubic_interpolation_counts(demo, measure):
    here = found(demo)
    (line,) = differences(changed(here, "bicubic", measure, 1e-10), here)
    assert line.startswith(f"{measure} of bicubic at x3 is ")


@pytest.mark.parametrize("measure", TOLERANCE)
def test_networks_may_lie_within_the_tolerance_and_no_further(demo, measure):
    here = found(demo)
    for sign in (-1, 1):
        assert not list(differences(changed(here, "srcnn", measure, sign * 0.9 * TOLERANCE[measure]), here))
        (line,) = differences(changed(here, "srcnn", measure, sign * 1.1 * TOLERANCE[measure]), here)
        assert f"further than {TOLERANCE[measure]}" in line


def test_the_order_counts_within_the_tolerance_too(demo):
    here = found(demo)
    there = changed(here, "vdsr", "psnr", -0.33)
    (line,) = differences(changed(there, "vdsr", "psnr", -0.02), there)
    assert line == "at x3 the order by psnr is bicubic < vdsr < srcnn < edsr, not bicubic < srcnn < vdsr < edsr"


def test_a_value_that_is_no_number_is_never_reproduced(demo):
    here = found(demo)
    for model in ("bicubic", "edsr"):
        assert list(differences(changed(here, model, "psnr", float("nan")), here))


def test_other_images_and_other_models_are_said(demo):
    here = found(demo)
    assert "the test images are others: abc, not xyz" in list(differences(here, {**here, "test_set": "xyz"}))
    fewer = copy.deepcopy(here)
    del fewer["figures"]["edsr"]
    assert [line for line in differences(fewer, here) if "models or degradations are others" in line]


def test_without_a_demo_that_is_said(tmp_path):
    with pytest.raises(UserError, match=r"per_image\.csv is missing; run make demo first"):
        found(tmp_path)
