"""Means over the test images and what of their differences is certain."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

RESAMPLES = 2000
DECIMALS = {"psnr": 3, "ssim": 4}
PERFECT = 100.0  # dB: stands for the infinite PSNR of an image without error (a blank one), which has no mean
RIVALS = (("srcnn", "bicubic"), ("vdsr", "bicubic"), ("vdsr", "srcnn"))


def bootstrap_mean(values: npt.ArrayLike, patients: npt.ArrayLike, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean of `values` (N,) and its 95% percentile interval, bootstrapped by patient.

    Patients, not images, are drawn with replacement, since images of one patient are alike: the cluster bootstrap of Davison
    and Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8. The mean is over images.
    Raises ValueError when there is no value.
    """
    groups = pd.DataFrame({"value": np.asarray(values, float), "patient": np.asarray(patients)}).groupby("patient")["value"]
    sums, counts = groups.sum().to_numpy(), groups.count().to_numpy()
    if len(sums) == 0:
        raise ValueError("there is no value to take a mean of")
    drawn = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    resampled = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(sums.sum() / counts.sum()), float(low), float(high)


def means(per_image: pd.DataFrame, models: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Return {model: {scale: {"psnr": dB, "ssim": ...}}}, rounded for print, from the columns model, scale, psnr, ssim."""
    grouped = per_image.assign(psnr=per_image["psnr"].clip(upper=PERFECT)).groupby(["model", "scale"])
    quality = grouped[["psnr", "ssim"]].mean()
    return {
        model: {
            scale: {metric: round(float(quality.loc[(model, scale), metric]), DECIMALS[metric]) for metric in DECIMALS}
            for scale in sorted(per_image["scale"].unique())
        }
        for model in models
    }


def gains(per_image: pd.DataFrame) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return {"vdsr-srcnn": {scale: {metric: {"mean", "low", "high"}}}} for each pair of RIVALS.

    Differences are paired by image; low and high bound the 95% interval of `bootstrap_mean`. `per_image` has the columns
    image, patient, model, scale, psnr (dB) and ssim.
    """
    certain: dict[str, Any] = {}
    for better, worse in RIVALS:
        by_scale = certain.setdefault(f"{better}-{worse}", {})
        for scale in sorted(per_image["scale"].unique()):
            rows = per_image[per_image["scale"] == scale]
            by_scale[scale] = {}
            for metric, decimals in DECIMALS.items():
                wide = rows.pivot(index=["image", "patient"], columns="model", values=metric).clip(upper=PERFECT)
                interval = bootstrap_mean(wide[better] - wide[worse], wide.index.get_level_values("patient"))
                by_scale[scale][metric] = {
                    name: round(value, decimals) for name, value in zip(("mean", "low", "high"), interval, strict=True)
                }
    return certain


def gains_by_image(per_image: pd.DataFrame) -> pd.DataFrame:
    """Return what each other model gains over bicubic in PSNR (dB): columns image, class, model, scale, gain.

    `per_image` has the columns image, class, model, scale and psnr (dB).
    """
    capped = per_image.assign(psnr=per_image["psnr"].clip(upper=PERFECT))
    bicubic = capped[capped["model"] == "bicubic"].set_index(["image", "scale"])["psnr"]
    others = capped[capped["model"] != "bicubic"]
    over = bicubic.loc[pd.MultiIndex.from_frame(others[["image", "scale"]])].to_numpy()
    return others.assign(gain=others["psnr"] - over)[["image", "class", "model", "scale", "gain"]]


def table(per_image: pd.DataFrame) -> str:
    """Return the results as lines of text: PSNR and SSIM by scale and model, and the gains with their intervals."""
    models = list(dict.fromkeys(per_image["model"]))
    quality, certain = means(per_image, models), gains(per_image)
    images, patients = per_image["image"].nunique(), per_image["patient"].nunique()
    lines = [
        f"Test split: {images} images of {patients} patients. In brackets: 95% interval, bootstrapped by patient.",
        "",
        "scale  model    PSNR/dB    SSIM    PSNR gain over bicubic/dB   SSIM gain over bicubic",
    ]
    for scale in sorted(per_image["scale"].unique()):
        for model in models:
            at = quality[model][scale]
            line = f"{scale:5}  {model:8} {at['psnr']:6.2f}   {at['ssim']:.4f}"
            if f"{model}-bicubic" in certain:
                gain = certain[f"{model}-bicubic"][scale]
                line += f"    {_interval(gain['psnr'], '+.2f'):26}  {_interval(gain['ssim'], '+.4f')}"
            lines.append(line)
    lines += ["", "VDSR over SRCNN:"]
    for scale, gain in certain["vdsr-srcnn"].items():
        lines.append(f"{scale:5}  {_interval(gain['psnr'], '+.2f')} dB   {_interval(gain['ssim'], '+.4f')}")
    return "\n".join(lines)


def _interval(value: dict[str, float], style: str) -> str:
    return f"{value['mean']:{style}} [{value['low']:{style}}, {value['high']:{style}}]"
