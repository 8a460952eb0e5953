"""The harm map: which findings each method shows better or worse than bicubic interpolation, as a picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from cxr.figures.layout import DISCLAIMER, DPI
from cxr.superres.methods import BICUBIC, LEAD, LOW, TITLES
from cxr.trial.analysis import ALL, DIFFERENCE, HOTELLING
from cxr.trial.protocol import FINDINGS, Protocol
from cxr.trial.views import AS_USED, LESS, UNSHARP

WIDEST = 0.15  # of AUC either way, at the ends of the colours
COLOURS = "PuOr"  # orange: worse; violet: better; readers of any colour vision can tell them apart
WORSE, BETTER = "x", "+"
NAMES = {**TITLES, LOW: "low resolution", UNSHARP: "unsharp masking", AS_USED: f"{TITLES[LEAD]} as used"}


@matplotlib.style.context("default")
def harm_map(rows: Sequence[Mapping[str, Any]], protocol: Protocol) -> Figure:
    """Draw the `rows` of `analysis.rows`: a field for each finding (down) at each setting (across), a panel for each view.

    Its colour is the difference of the areas with the view and with bicubic interpolation; marks say where the interval of that
    leaves zero out.
    """
    settings = list(protocol.settings)
    figure = Figure(figsize=(2.2 + 2.1 * len(LESS), 3.6), dpi=DPI, layout="constrained")
    for axis, view in zip(figure.subplots(1, len(LESS), sharey=True, squeeze=False)[0], LESS, strict=True):
        better = np.full((len(FINDINGS), len(settings)), np.nan)
        for row in rows:
            of = row["what"], row["observer"], row["people"], row["view"], row["of"]
            if of != (DIFFERENCE, HOTELLING, ALL, view, BICUBIC):
                continue
            column = [(each.dose, each.pixel) for each in settings].index((row["dose"], row["pixel"]))
            place = FINDINGS.index(row["finding"]), column
            better[place] = row["value"]
            if row["low"] is not None and (row["low"] > 0 or row["high"] < 0):
                axis.plot(*reversed(place), BETTER if row["low"] > 0 else WORSE, color="black", markersize=5)
        drawn = axis.imshow(better, cmap=COLOURS, norm=Normalize(-WIDEST, WIDEST), aspect="auto")
        axis.set_xticks(range(len(settings)), [each.name for each in settings], rotation=90, fontsize=8)
        axis.set_yticks(range(len(FINDINGS)), FINDINGS)
        axis.set_title(NAMES[view], fontsize=10)
    figure.colorbar(drawn, ax=list(figure.axes), label="AUC, view less bicubic", extend="both")
    figure.suptitle(f"Drawn findings at x{protocol.scale}. {BETTER} better, {WORSE} worse than bicubic, by its 95% interval")
    figure.supxlabel(DISCLAIMER, fontsize=9, color="#606060")
    return figure
