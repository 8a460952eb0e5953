"""Means over the test images and what of their differences is certain."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from cxr.dataset.findings import having, names
from cxr.dataset.packed import white
from cxr.measures.intervals import Estimate, holm, mean, outward
from cxr.superres.methods import BICUBIC, RIVALS, TITLES

DECIMALS = {"psnr": 3, "ssim": 4, "inconsistency": 3}
QUALITY = ("psnr", "ssim")
CLEAN_NAME = re.compile("x[0-9]")  # of a degradation: that of a scale alone
PERFECT = 100.0  # dB: stands for the infinite PSNR of an image without error (a blank one), which has no mean


def means(per_image: pd.DataFrame, models: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Return {model: {degradation: {"psnr": dB, "ssim": ...}}}, rounded for print.

    `per_image` has the columns model, degradation, psnr (dB) and ssim.
    """
    grouped = per_image.assign(psnr=per_image["psnr"].clip(upper=PERFECT)).groupby(["model", "degradation"])
    quality = grouped[list(QUALITY)].mean()
    return {
        model: {
            degradation: {
                metric: round(float(quality.loc[(model, degradation), metric]), DECIMALS[metric]) for metric in QUALITY
            }
            for degradation in sorted(per_image["degradation"].unique())
        }
        for model in models
    }


def for_metrics(in_the_mean: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return what metrics/evaluate.json holds of what `means` returned.

    In conditions other than clean PSNR alone, at the least scale: so `dvc metrics diff` has few enough lines to be read.
    """
    least = min((name for by_name in in_the_mean.values() for name in by_name), default="").partition("_")[0]
    return {
        model: {
            degradation: quality if CLEAN_NAME.fullmatch(degradation) else {"psnr": quality["psnr"]}
            for degradation, quality in by_degradation.items()
            if CLEAN_NAME.fullmatch(degradation) or degradation.startswith(least)
        }
        for model, by_degradation in in_the_mean.items()
    }


def bars(in_the_mean: dict[str, dict[str, dict[str, float]]], metric: str) -> list[dict[str, Any]]:
    """Return a row for each degradation and model of what `means` returned: degradation, model, and `metric`."""
    return [
        {"degradation": degradation, "model": model, metric: quality[metric]}
        for model, by_degradation in in_the_mean.items()
        for degradation, quality in by_degradation.items()
    ]


def intervals(per_image: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a record for each group, model, degradation and metric: mean, low, high (95%), and how many images and patients.

    Where `mean` gives no interval, low and high are None.
    The groups are "all" and each finding: an image with several counts in each. `per_image` has the columns image, findings,
    patient, model, degradation, psnr (dB), ssim and inconsistency (grey levels of 255).
    """
    records = []
    for group, rows in _groups(per_image):
        for (degradation, model), of_model in rows.groupby(["degradation", "model"], sort=False):
            counts = {"images": len(of_model), "patients": int(of_model["patient"].nunique())}
            for metric, decimals in DECIMALS.items():
                interval = mean(of_model[metric], of_model["patient"])
                measured: dict[str, Any] = {"group": group, "model": model, "degradation": degradation, "metric": metric}
                records.append({**measured, **counts, **_rounded(interval, decimals)})
    return records


def differences(per_image: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a record for each group, pair of RIVALS, degradation, and metric (psnr, ssim): by how much the first is better.

    Differences are paired by image: mean, low and high (95%), and p, of the same mean, by `mean`; wins, the share of images on
    which the first is better; p_holm, p adjusted by `holm` for all that have one. Where there is no interval, low, high, p and
    p_holm are None. Groups and columns are those of `intervals`.
    """
    records = []
    for group, rows in _groups(per_image):
        for better, worse in _rivals(per_image):
            for degradation, of_degradation in rows.groupby("degradation"):
                for metric in QUALITY:
                    wide = of_degradation.pivot(index=["image", "patient"], columns="model", values=metric)
                    difference = wide[better] - wide[worse]
                    patients = difference.index.get_level_values("patient")
                    compared: dict[str, Any] = {
                        "group": group,
                        "pair": f"{better}-{worse}",
                        "degradation": degradation,
                        "metric": metric,
                    }
                    estimate = mean(difference, patients)
                    wins = round(float((difference > 0).mean()), 3)
                    interval = _rounded(estimate, DECIMALS[metric])
                    records.append({**compared, **interval, "wins": wins, "p": estimate.p, "p_holm": None})
    tested = [record for record in records if record["p"] is not None]
    for record, adjusted in zip(tested, holm([record["p"] for record in tested]), strict=True):
        record["p"], record["p_holm"] = float(f"{record['p']:.3g}"), float(f"{adjusted:.3g}")
    return records


def summary(per_image: pd.DataFrame) -> dict[str, Any]:
    """Return all that metrics/statistics.json holds; columns of `per_image` as for `intervals`.

    Lists of records, which DVC leaves out of `dvc metrics diff`: there they would hide the few figures people compare.
    """
    compared = differences(per_image)
    return {
        "images": int(per_image["image"].nunique()),
        "patients": int(per_image["patient"].nunique()),
        # The range of PSNR and SSIM is each image's own.
        "images_by_white_level": {
            str(white(bits)): int(per_image.loc[per_image["bits"] == bits, "image"].nunique())
            for bits in sorted(per_image["bits"].unique())
        },
        "below_bicubic": [f"{model} {degradation}" for model, degradation, _ in _below_bicubic(compared)],
        "means": intervals(per_image),
        "differences": compared,
    }


def gains_by_image(per_image: pd.DataFrame) -> pd.DataFrame:
    """Return what each other model gains over bicubic in PSNR (dB): columns image, findings, model, degradation, gain.

    `per_image` has the columns image, findings, model, degradation and psnr (dB).
    """
    capped = per_image.assign(psnr=per_image["psnr"].clip(upper=PERFECT))
    bicubic = capped[capped["model"] == BICUBIC].set_index(["image", "degradation"])["psnr"]
    others = capped[capped["model"] != BICUBIC]
    over = bicubic.loc[pd.MultiIndex.from_frame(others[["image", "degradation"]])].to_numpy()
    return others.assign(gain=others["psnr"] - over)[["image", "findings", "model", "degradation", "gain"]]


def table(per_image: pd.DataFrame) -> str:
    """Return the results as lines of text; columns of `per_image` as for `intervals`."""
    models = list(dict.fromkeys(per_image["model"]))
    degradations = sorted(per_image["degradation"].unique())
    wide = max(len(name) for name in ("degradation", *degradations))
    at = {(r["group"], r["model"], r["degradation"], r["metric"]): r for r in intervals(per_image)}
    compared = differences(per_image)
    gain = {(r["group"], r["pair"], r["degradation"], r["metric"]): r for r in compared}
    images, patients = per_image["image"].nunique(), per_image["patient"].nunique()
    lines = [
        f"Test split: {images} images of {patients} patients. In brackets: 95% interval, by patient; none where it is not known"
        " to cover.",
        "PSNR and SSIM are on each image's own range of levels. "
        "Inconsistency: how far the result, degraded again, is from the input, RMS in grey levels of 255.",
        "",
        f"{'degradation':{wide}}  model    PSNR/dB    SSIM    PSNR gain over bicubic/dB   SSIM gain over bicubic"
        "        inconsistency",
    ]
    for degradation in degradations:
        for model in models:
            psnr, ssim, inconsistency = (at["all", model, degradation, metric]["mean"] for metric in DECIMALS)
            gains = [gain.get(("all", f"{model}-bicubic", degradation, metric)) for metric in QUALITY]
            over = [_interval(g, decimals) if g else "" for g, decimals in zip(gains, (2, 4), strict=True)]
            lines.append(
                f"{degradation:{wide}}  {model:8} {psnr:6.2f}   {ssim:.4f}    {over[0]:26}  {over[1]:28}  {inconsistency:.2f}"
            )
    for better, worse in [pair for pair in _rivals(per_image) if BICUBIC not in pair]:
        lines += ["", f"{TITLES[better]} over {TITLES[worse]} (p: of the same mean, Holm's correction):"]
        for degradation in degradations:
            psnr, ssim = (gain["all", f"{better}-{worse}", degradation, metric] for metric in QUALITY)
            tested = "" if psnr["p_holm"] is None else f", p = {psnr['p_holm']:.2g}"
            wins = f"better on {psnr['wins']:.0%} of images{tested}"
            lines.append(f"{degradation:{wide}}  {_interval(psnr, 2)} dB, {wins};  {_interval(ssim, 4)}")
    lines += ["", "By finding, PSNR gain over bicubic/dB:"]
    for group in names(per_image["findings"]):
        for degradation in degradations:
            each = [f"{m} {_interval(gain[group, f'{m}-bicubic', degradation, 'psnr'], 2)}" for m in models if m != BICUBIC]
            lines.append(f"{degradation:{wide}}  {group:10} {'   '.join(each)}")
    for model, degradation, below in _below_bicubic(compared):
        lines += [
            "",
            f"WARNING: {model} is worse than bicubic interpolation at {degradation}, by {-below:.2f} dB; do not use it",
        ]
    return "\n".join(lines)


def _rivals(per_image: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the pairs of RIVALS that `per_image` has both of."""
    there = set(per_image["model"])
    return [pair for pair in RIVALS if there.issuperset(pair)]


def _groups(per_image: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield "all" and each finding, with their rows, perfect images given a finite PSNR."""
    capped = per_image.assign(psnr=per_image["psnr"].clip(upper=PERFECT))
    yield "all", capped
    for name in names(capped["findings"]):
        yield name, capped[having(capped["findings"], name)]


def _below_bicubic(compared: list[dict[str, Any]]) -> list[tuple[str, str, float]]:
    """Return (model, degradation, difference in dB) for each mean PSNR over all images that is below bicubic's."""
    gains = [r for r in compared if r["group"] == "all" and r["metric"] == "psnr" and r["pair"].endswith("-bicubic")]
    return [(r["pair"].removesuffix("-bicubic"), r["degradation"], r["mean"]) for r in gains if r["mean"] < 0]


def _rounded(found: Estimate, decimals: int) -> dict[str, float | None]:
    return dict(zip(("mean", "low", "high"), outward(found, decimals), strict=True))


def _interval(record: dict[str, Any], decimals: int) -> str:
    value, low, high = outward(Estimate(record["mean"], record["low"], record["high"]), decimals)
    interval = "none" if low is None else f"{low:+.{decimals}f}, {high:+.{decimals}f}"
    return f"{value:+.{decimals}f} [{interval}]"
