"""The contact sheet: which images went in."""

from collections.abc import Sequence

import matplotlib.style
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from cxr.figures.layout import Grey8, Layout

SHEET_IMAGES = 40
SHEET_COLUMNS = 8


@matplotlib.style.context("default")
def contact_sheet(images: Grey8, table: pd.DataFrame) -> Figure:
    """Lay out up to 40 images, as evenly from the classes as they allow, each labelled with class, file and patient.

    `images` is uint8 (N, S, S); row i of `table`, with columns class, source (a posix path) and patient, describes
    image i. Of each class the images are taken at even distances of its rows. Large images are shrunk to 256 pixels.
    """
    chosen = _evenly(table["class"].tolist(), SHEET_IMAGES)
    size = images.shape[1]
    panel = 256 if size > 256 else size * -(-160 // size)
    rows = -(-len(chosen) // SHEET_COLUMNS)
    layout = Layout(panel, min(SHEET_COLUMNS, max(len(chosen), 4)), unit=panel / 320, margin=28)
    pitch = panel + layout.px(92)
    top = layout.px(128)
    layout.open(top + rows * pitch + layout.px(36))

    counts = table["class"].value_counts().sort_index()
    layout.heading(
        "Images that went in",
        f"{len(chosen)} of {len(table)}: " + ", ".join(f"{count} {name}" for name, count in counts.items()),
    )
    for place, index in enumerate(chosen):
        row, column = divmod(place, SHEET_COLUMNS)
        image_top = top + row * pitch
        thumbnail = images[index]
        if size > panel:
            thumbnail = np.asarray(Image.fromarray(thumbnail).resize((panel, panel), Image.Resampling.BOX))
        layout.grey(thumbnail, layout.left(column), image_top, panel)
        described = table.iloc[index]
        lines = (str(described["class"]), str(described["source"]).rsplit("/", 1)[-1], f"patient {described['patient']}")
        for line, text in enumerate(lines):
            y = image_top + panel + layout.px(8 + 23 * line)
            layout.text(text, layout.left(column), y, 19, width=panel, weight="normal" if line else "bold")
    return layout.figure


def _evenly(classes: Sequence[str], most: int) -> list[int]:
    """Return at most `most` indices into `classes`, as many of each class as of any other where there are enough."""
    rows = {name: [i for i, other in enumerate(classes) if other == name] for name in sorted(set(classes))}
    wanted = dict.fromkeys(rows, 0)
    for _ in range(min(most, len(classes))):
        name = min((name for name in rows if wanted[name] < len(rows[name])), key=lambda name: wanted[name])
        wanted[name] += 1
    return [index for name, of in rows.items() for index in np.array(of)[_spread(len(of), wanted[name])].tolist()]


def _spread(total: int, wanted: int) -> npt.NDArray[np.int64]:
    return np.linspace(0, total - 1, wanted).round().astype(np.int64)
