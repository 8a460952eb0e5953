import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cxr.foundation.files import write_table
from cxr.measures.intervals import holm
from cxr.superres.evaluation.report import PERFECT, differences, gains_by_image, intervals, means, summary, table


def rows(psnrs: dict[tuple[str, str], tuple[float, float, float]]) -> pd.DataFrame:
    """Return a table by (image, patient) of the PSNRs of bicubic, srcnn and vdsr at x2; SSIM is a hundredth of it.

    Images whose name begins with "n" are NORMAL.
    """
    common = {"degradation": "x2", "inconsistency": 0.5}
    return pd.DataFrame(
        {
            "image": image,
            "findings": "NORMAL" if image.startswith("n") else "PNEUMONIA",
            "patient": patient,
            "bits": 8,
            "model": model,
            "psnr": psnr,
            "ssim": min(psnr, 100) / 100,
            **common,
        }
        for (image, patient), values in psnrs.items()
        for model, psnr in zip(("bicubic", "srcnn", "vdsr"), values, strict=True)
    )


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
    assert find(differences(per_image), pair="vdsr-bicubic", metric="psnr", group="all")["mean"] == 1
    assert gains_by_image(per_image)["gain"].tolist() == [0, 0, 1, 2]


def find(records: list[dict], **wanted: str) -> dict:
    (found,) = [record for record in records if wanted.items() <= record.items()]
    return found


def test_gains_are_paired_by_image():
    per_image = rows({(f"i{i}", f"p{i}"): (30 + i, 30.5 + i, 32 + i + (i % 2) / 100) for i in range(10)})
    compared = differences(per_image.sample(frac=1, random_state=0))
    # Images differ by many dB, the gain of each is the same or nearly: only paired differences are certain.
    for pair, metric, gain in [("vdsr-bicubic", "psnr", 2.005), ("vdsr-srcnn", "psnr", 1.505)]:
        record = find(compared, pair=pair, metric=metric, group="all")
        assert gain - 0.006 < record["low"] < record["mean"] == gain < record["high"] < gain + 0.006
        assert record["wins"] == 1


def test_a_gain_that_is_the_same_on_every_image_has_no_interval_of_no_width():
    compared = differences(rows({(f"i{i}", f"p{i}"): (30 + i, 30.5 + i, 32 + i) for i in range(20)}))
    record = find(compared, pair="srcnn-bicubic", metric="psnr", group="all")
    assert (record["mean"], record["wins"]) == (0.5, 1)
    assert [record[name] for name in ("low", "high", "p", "p_holm")] == [None] * 4


def test_a_finding_of_few_patients_has_means_without_intervals():
    images = {(f"n{i}" if i < 9 else f"i{i}", f"p{i}"): (30 + i % 7, 30.5 + i % 5, 32 + i % 3) for i in range(30)}
    per_image = rows(images)
    for record in (*intervals(per_image), *differences(per_image)):
        few = record["group"] == "NORMAL"
        if record["metric"] != "inconsistency":  # of which all are alike here
            assert (record["low"] is None) == (record["high"] is None) == few
            assert few or record["low"] < record["high"]
    assert "NORMAL     srcnn -0.17 [none]" in table(per_image)


def test_p_values_are_of_the_same_mean_and_corrected_for_all_of_them():
    drawn = np.random.default_rng(0).normal((30, 30.4, 30.5), 1, (25, 3))
    compared = differences(rows({(f"i{i}", f"p{i}"): tuple(values) for i, values in enumerate(drawn)}))
    for record in compared:
        first, second = (("bicubic", "srcnn", "vdsr").index(name) for name in record["pair"].split("-"))
        assert record["p"] == pytest.approx(stats.ttest_rel(drawn[:, first], drawn[:, second]).pvalue, rel=5e-3)
        assert record["wins"] == np.mean(drawn[:, first] > drawn[:, second])
        assert record["p_holm"] > record["p"]
    assert len(compared) == 12  # three pairs, two metrics, in all images and with the one finding
    assert [r["p_holm"] for r in compared] == pytest.approx(holm([r["p"] for r in compared]), rel=0.02)


def test_more_images_of_the_same_patients_make_nothing_more_significant():
    drawn = np.random.default_rng(0).normal((30, 30.4, 30.5), 1, (25, 3))
    once = differences(rows({(f"i{i}", f"p{i}"): tuple(values) for i, values in enumerate(drawn)}))
    thrice = differences(rows({(f"i{i} {k}", f"p{i}"): tuple(values) for i, values in enumerate(drawn) for k in range(3)}))
    assert [r["p"] for r in thrice] == pytest.approx([r["p"] for r in once])


def test_the_table_read_back_from_its_file_says_the_same(tmp_path):
    # Differences that are equal but for what a file rounds away must not decide whether there is an interval.
    gains = [(0.1 + i * 1e-6) * (-1 if i > 7 else 1) for i in range(10)]
    per_image = rows({(f"i{i}", f"p{i}"): (38, 38.12, 38.12 + gain) for i, gain in enumerate(gains)})
    write_table(tmp_path / "per_image.csv", per_image)
    assert table(pd.read_csv(tmp_path / "per_image.csv")) == table(per_image)


def test_methods_that_do_the_same_do_not_differ():
    compared = differences(rows({(f"i{i}", f"p{i}"): (30, 30, 30) for i in range(8)}))
    assert {(r["mean"], r["wins"], r["p"], r["p_holm"]) for r in compared} == {(0, 0, None, None)}


# The second is the example of R's p.adjust.
@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.5, 0.6], [1, 1]),
        ([], []),
    ],
)
def test_holms_correction(p, adjusted):
    assert holm(p) == pytest.approx(adjusted)


def test_each_finding_has_its_own_means_and_differences():
    per_image = rows({("n1", "p"): (30, 31, 33), ("n2", "q"): (32, 33, 35), ("b1", "r"): (40, 41, 42)})
    means = intervals(per_image)
    assert find(means, model="vdsr", metric="psnr", group="NORMAL") | {"mean": 34, "images": 2, "patients": 2} == find(
        means, model="vdsr", metric="psnr", group="NORMAL"
    )
    assert find(means, model="vdsr", metric="psnr", group="all")["mean"] == pytest.approx(110 / 3, abs=5e-4)
    assert find(means, model="srcnn", metric="inconsistency", group="PNEUMONIA")["mean"] == 0.5
    compared = differences(per_image)
    gains = [find(compared, pair="vdsr-bicubic", metric="psnr", group=c)["mean"] for c in ("NORMAL", "PNEUMONIA")]
    assert gains == [3, 2]


def test_an_image_with_several_findings_counts_in_each_group_and_once_in_all():
    per_image = rows({("n1", "p"): (30, 31, 33), ("b1", "q"): (40, 41, 42), ("b2", "r"): (20, 22, 27)})
    per_image.loc[per_image["image"] == "b1", "findings"] = "NODULE|PNEUMONIA"
    per_image.loc[per_image["image"] == "n1", "findings"] = ""
    means = intervals(per_image)
    for group, mean, images in (("all", 30, 3), ("NODULE", 40, 1), ("PNEUMONIA", 30, 2), ("unknown", 30, 1)):
        record = find(means, model="bicubic", metric="psnr", group=group)
        assert (record["mean"], record["images"], record["patients"]) == (mean, images, images)
    assert {record["group"] for record in differences(per_image)} == {"all", "NODULE", "PNEUMONIA", "unknown"}
    by_finding = table(per_image).partition("By finding")[2]
    assert [line.split()[1] for line in by_finding.splitlines()[1:]] == ["NODULE", "PNEUMONIA", "unknown"]
    assert gains_by_image(per_image)["findings"].tolist() == ["", "", *["NODULE|PNEUMONIA"] * 2, "PNEUMONIA", "PNEUMONIA"]


def test_the_range_that_figures_are_on_is_told():
    per_image = rows({(f"i{number}", "p"): (30, 31, 32) for number in range(5)})
    per_image["bits"] = np.repeat([8, 12, 12, 8, 16], 3)
    assert summary(per_image)["images_by_white_level"] == {"255": 2, "4095": 2, "65535": 1}
    assert "PSNR and SSIM are on each image's own range of levels" in table(per_image)


def test_a_network_below_bicubic_is_said_loudly():
    per_image = rows({("a", "p"): (30, 29, 32), ("b", "q"): (30, 29.5, 32)})
    assert summary(per_image)["below_bicubic"] == ["srcnn x2"]
    assert "WARNING: srcnn is worse than bicubic interpolation at x2, by 0.75 dB" in table(per_image)
    above = rows({("a", "p"): (30, 31, 32)})
    assert summary(above)["below_bicubic"] == []
    assert "WARNING" not in table(above)


def test_the_table_says_what_was_measured():
    text = table(rows({(f"i{i}", f"p{i}"): (30, 31 + i % 2, 32 + i % 2 / 2) for i in range(20)}))
    assert "20 images of 20 patients" in text
    lines = {tuple(line.split()[:2]): line for line in text.splitlines() if line.startswith("x2")}
    assert lines["x2", "bicubic"].split()[2:] == ["30.00", "0.3000", "0.50"]
    assert "+1.50 [+1.25, +1.75]" in lines["x2", "srcnn"]
    assert "+2.25 [+2.12, +2.38]" in lines["x2", "vdsr"]
    assert "+0.75 [+0.62, +0.88] dB" in text
