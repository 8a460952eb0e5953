"""Draw the README's picture of a finished demo: `python -m tools.picture [WORKSPACE]`, by default of the folder demo/."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cxr.dataset import packed
from cxr.figures.error_maps import panel
from cxr.figures.layout import pixels
from cxr.foundation import params
from cxr.foundation.errors import one_line_errors
from cxr.foundation.files import replacing
from cxr.foundation.place import ROOT
from cxr.superres.evaluation.archive import Archive
from cxr.superres.evaluation.per_image import read
from cxr.superres.evaluation.settings import ErrorMaps
from cxr.superres.evaluation.showcase import choose
from cxr.superres.settings import Degradation

PICTURE = Path("docs/errormap.png")
WIDTH = 1200  # pixels: as wide as a page shows it, and about a megabyte in true colours
SHOWN = Degradation(3)
TITLE = "PHANTOM, drawn by this project: no person, no patient"


def draw(workspace: Path) -> Image.Image:
    """Return the panel of the test image with the median gain at x3, shrunk to WIDTH, RGB.

    Raises UserError when the demo of `workspace` has not run.
    """
    settings = params.read(workspace / "params.yaml", "errormaps", ErrorMaps)
    data = packed.load(*(workspace / "data" / name for name in ("pixels.npy", "images.csv", "split.csv")))
    archive = Archive.open(workspace / "data/restored", data)
    per_image = read(workspace / "plots/per_image.csv")
    (chosen,) = [image for rule, image in choose(per_image, SHOWN.name, 1) if rule == "median"]
    row = int(np.flatnonzero(data.table["id"] == chosen)[0])
    restored = archive.restored(data.images[row], chosen, SHOWN, torch.device("cpu"))
    quality = per_image[(per_image["image"] == chosen) & (per_image["degradation"] == SHOWN.name)]
    scores = {
        name: (float(psnr), float(ssim)) for name, psnr, ssim in quality[["model", "psnr", "ssim"]].itertuples(index=False)
    }
    figure = panel(restored, scores, SHOWN, TITLE, settings)
    picture = Image.fromarray(pixels(figure))
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)


def main() -> None:
    """Write the picture."""
    picture = draw(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
    with replacing(ROOT / PICTURE) as partial:
        picture.save(partial, format="PNG", optimize=True)


if __name__ == "__main__":
    with one_line_errors():
        main()
