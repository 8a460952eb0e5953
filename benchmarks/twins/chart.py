"""The harm map: which findings a network shows less well than bicubic interpolation does, as a picture."""

from collections.abc import Mapping, Sequence

import matplotlib.style
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from cxr.figures.layout import DISCLAIMER, DPI

WIDEST = 0.2  # of AUC either way, at the ends of the colours
COLOURS = "PuOr"  # orange: less well; violet: better; readers of any colour vision can tell them apart
HARM = "x"


@matplotlib.style.context("default")
def harm_map(rows: Sequence[Mapping[str, str]], network: str) -> Figure:
    """Draw rows of the CSV of `python -m benchmarks.twins`, a field for each finding (down) in each condition (across).

    Its colour is how much larger the observer's AUC is with the network's images than with those of bicubic interpolation. It
    is empty where bicubic interpolation does not show the finding, and has a cross where the network harms it.
    """
    scales = sorted({int(row["scale"]) for row in rows})
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    names = list(dict.fromkeys(map(_finding, rows)))
    figure = Figure(figsize=(3.5 + 0.45 * len(conditions) * len(scales), 1.8 + 0.2 * len(names)), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, len(scales), sharey=True, squeeze=False)[0]
    for axis, scale in zip(axes, scales, strict=True):
        better = np.full((len(names), len(conditions)), np.nan)
        for row in rows:
            if int(row["scale"]) != scale or not int(row["seen"]):
                continue
            place = names.index(_finding(row)), conditions.index(row["condition"])
            better[place] = float(row["auc"]) - float(row["auc_bicubic"])
            if float(row["cap"]) < 1:
                axis.plot(*reversed(place), HARM, color="black", markersize=5)
        drawn = axis.imshow(better, cmap=COLOURS, norm=Normalize(-WIDEST, WIDEST), aspect="auto")
        axis.set_xticks(range(len(conditions)), conditions, rotation=90)
        axis.set_title(f"x{scale}")
    axes[0].set_yticks(range(len(names)), names, fontsize=8)
    figure.colorbar(drawn, ax=list(axes), label="AUC of the observer, network less bicubic", extend="both")
    figure.suptitle(f"Findings on phantom twins, as {network} shows them. Empty: not seen by bicubic. {HARM}: harmed.")
    figure.supxlabel(DISCLAIMER, fontsize=9, color="#606060")
    return figure


def _finding(row: Mapping[str, str]) -> str:
    return f"{row['kind']}, {row['size']} px, {row['contrast']} levels"
