"""The contact sheet: which images went in."""

from collections import Counter
from collections.abc import Sequence

import matplotlib.style
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from cxr.dataset.findings import several
from cxr.dataset.packed import Frame, Frames
from cxr.figures.layout import Grey8, Layout, shown_part

SHEET_IMAGES = 40
SHEET_COLUMNS = 8
THUMBNAIL = 256  # pixels of the shorter side


@matplotlib.style.context("default")
def contact_sheet(images: Frames, table: pd.DataFrame) -> Figure:
    """Lay out up to 40 images, as evenly from the findings as they allow, each labelled with findings, file and patient.

    Row i of `table`, with columns findings, source (a posix path) and patient, describes image i. Of all findings the images
    are taken at even distances of their rows. Large images are shrunk so that their shorter side has 256 pixels, small ones
    enlarged by a whole number; the widest makes the columns. Of strips, as `shown_part` has it, the middle is shown.
    """
    findings = [" ".join(several(text)) for text in table["findings"]]
    chosen = _evenly(findings, SHEET_IMAGES)
    frames = [images[index] for index in chosen]
    thumbnails = [_thumbnail(frame) for frame in frames]
    strips = sum(frame.pixels[shown_part(frame.pixels.shape)].shape != frame.pixels.shape for frame in frames)
    height, width = (max(image.shape[axis] for image in thumbnails) for axis in (0, 1))
    unit = min(min(image.shape) for image in thumbnails) / 320
    rows = -(-len(chosen) // SHEET_COLUMNS)
    layout = Layout(width, min(SHEET_COLUMNS, max(len(chosen), 4)), unit=unit, margin=28)
    pitch = height + layout.px(92)
    top = layout.px(128)
    layout.open(top + rows * pitch + layout.px(36))

    counts = ", ".join(f"{count} {name}" for name, count in sorted(Counter(findings).items()))
    told = f". Of {strips} the middle is shown" if strips else ""
    layout.heading("Images that went in", f"{len(chosen)} of {len(table)}: {counts}{told}")
    for place, (index, thumbnail) in enumerate(zip(chosen, thumbnails, strict=True)):
        row, column = divmod(place, SHEET_COLUMNS)
        image_top = top + row * pitch
        layout.grey(thumbnail, layout.left(column), image_top, thumbnail.shape)
        described = table.iloc[index]
        lines = (findings[index], str(described["source"]).rsplit("/", 1)[-1], f"patient {described['patient']}")
        for line, text in enumerate(lines):
            y = image_top + height + layout.px(8 + 23 * line)
            layout.text(text, layout.left(column), y, 19, width=width, weight="normal" if line else "bold")
    return layout.figure


def _thumbnail(image: Frame) -> Grey8:
    """Return `image`, or of a strip the middle, in 8 bits.

    Its shorter side has 256 pixels or, of a smaller one, a multiple of at least 160.
    """
    pixels = image.pixels[shown_part(image.pixels.shape)]
    rows, columns = pixels.shape
    shorter = min(rows, columns)
    grey = np.rint(pixels * (255 / image.white)).astype(np.uint8)
    if shorter > THUMBNAIL:
        shape = round(columns * THUMBNAIL / shorter), round(rows * THUMBNAIL / shorter)
        return np.asarray(Image.fromarray(grey).resize(shape, Image.Resampling.BOX))
    times = -(-160 // shorter)
    return np.asarray(grey.repeat(times, axis=0).repeat(times, axis=1))


def _evenly(findings: Sequence[str], most: int) -> list[int]:
    """Return at most `most` indices into `findings`, as many of each as of any other where there are enough."""
    rows = {name: [i for i, other in enumerate(findings) if other == name] for name in sorted(set(findings))}
    wanted = dict.fromkeys(rows, 0)
    for _ in range(min(most, len(findings))):
        name = min((name for name in rows if wanted[name] < len(rows[name])), key=lambda name: wanted[name])
        wanted[name] += 1
    return [index for name, of in rows.items() for index in np.array(of)[_spread(len(of), wanted[name])].tolist()]


def _spread(total: int, wanted: int) -> npt.NDArray[np.int64]:
    return np.linspace(0, total - 1, wanted).round().astype(np.int64)
