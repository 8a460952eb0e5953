"""Charts of what a detector makes of images: ROC curves, their areas, and reliability."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from cxr.figures.layout import DISCLAIMER, DPI
from cxr.measures.areas import placed
from cxr.measures.discrimination import roc
from cxr.superres.methods import VIEWS


@matplotlib.style.context("default")
def roc_curves(scores: Mapping[str, npt.NDArray[np.float64]], labels: npt.NDArray[np.bool_], finding: str, task: str) -> Figure:
    """Draw the ROC curve of each view's `scores` (N,), by view of VIEWS, with its area, for `labels` (N,) of `finding`."""
    figure = Figure(figsize=(7, 7), dpi=DPI, layout="constrained")
    axes = figure.add_subplot(aspect="equal", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.plot([0, 1], [0, 1], color="#B0B0B0", linestyle=":", linewidth=1)
    for view, values in scores.items():
        name, colour, dashes = VIEWS[view]
        axes.plot(*roc(values, labels), label=f"{name}, AUC {placed(values, labels).area:.3f}", color=colour, linestyle=dashes)
    axes.set_xlabel(f"false positive rate ({(~labels).sum()} images without it)")
    axes.set_ylabel(f"true positive rate ({labels.sum()} images with it)")
    axes.set_title(f"{_plain(finding)}, {task}")
    axes.legend(loc="lower right")
    figure.supxlabel(DISCLAIMER, fontsize=9, color="#606060")
    return figure


@matplotlib.style.context("default")
def auc_by_degradation(areas: Sequence[Mapping[str, Any]], finding: str) -> Figure:
    """Draw the area under the ROC curve of each view at each degradation, with its interval, from records of `areas`."""
    degradations = list(dict.fromkeys(record["degradation"] for record in areas if record["degradation"]))
    figure = Figure(figsize=(2 + 2.2 * len(degradations), 5), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    views = [view for view in VIEWS if any(record["view"] == view and record["degradation"] for record in areas)]
    for record in areas:
        name, colour, _ = VIEWS[record["view"]]
        if not record["degradation"]:
            if record["low"] is not None:
                axes.axhspan(record["low"], record["high"], color=colour, alpha=0.08, linewidth=0)
            axes.axhline(record["value"], color=colour, linewidth=1, label=name)
            continue
        place = degradations.index(record["degradation"]) + (views.index(record["view"]) - (len(views) - 1) / 2) * 0.18
        label = name if record["degradation"] == degradations[0] else None
        if record["low"] is not None:
            axes.plot([place, place], [record["low"], record["high"]], color=colour, linewidth=2)
        axes.plot(place, record["value"], "o", color=colour, label=label)
    axes.set_xticks(range(len(degradations)), degradations)
    axes.set_ylabel("AUC on the test split, 95% interval by patient")
    axes.set_title(f"{_plain(finding)}, as each method shows the images")
    axes.set_xlabel(DISCLAIMER, fontsize=9, color="#606060")
    figure.legend(loc="outside lower center", ncols=len(VIEWS))  # inside it would lie on the intervals
    return figure


@matplotlib.style.context("default")
def reliability(records: Sequence[Mapping[str, Any]], finding: str) -> Figure:
    """Draw what share of images has `finding`, against what was predicted: records of bins, with how many images each has."""
    figure = Figure(figsize=(6, 6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot(aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.06))
    axes.plot([0, 1], [0, 1], color="#B0B0B0", linestyle=":", linewidth=1)
    axes.plot([each["predicted"] for each in records], [each["observed"] for each in records], "o-", color="black")
    for each in records:
        axes.annotate(
            str(each["images"]), (each["predicted"], each["observed"]), (0, 6), textcoords="offset points", ha="center"
        )
    axes.set_xlabel("predicted share with the finding")
    axes.set_ylabel("share with the finding; numbers: images")
    axes.set_title(f"{_plain(finding)}, originals")
    figure.supxlabel(DISCLAIMER, fontsize=9, color="#606060")
    return figure


def _plain(text: str) -> str:
    """Return `text` as matplotlib shows it, without taking any of it for a formula."""
    return text.replace("$", r"\$")
