"""Draw where each method errs: composed panels of chosen test images, and mean error maps."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

from pathlib import Path

from tqdm import tqdm

from cxr.dataset import packed
from cxr.figures.error_maps import mean_map, panels
from cxr.figures.layout import save
from cxr.foundation import environment, errors, files, params
from cxr.superres.evaluation import mean_errors, per_image
from cxr.superres.evaluation.archive import Archive
from cxr.superres.evaluation.settings import ErrorMaps

PARAMS = Path("params.yaml")
PIXELS, TABLE, SPLIT = Path("data/pixels.npy"), Path("data/images.csv"), Path("data/split.csv")
PER_IMAGE, ERRORS, RESTORED = Path("plots/per_image.csv"), Path("data/mean_errors.npz"), Path("data/restored")
PANELS = Path("plots/errormaps")


def run(workspace: Path) -> None:
    """Draw the panels of `workspace` into a folder that replaces the one of an earlier run."""
    settings = params.read(workspace / PARAMS, "errormaps", ErrorMaps)
    data = packed.load(workspace / PIXELS, workspace / TABLE, workspace / SPLIT)
    archive = Archive.open(workspace / RESTORED, data)
    quality = per_image.read(workspace / PER_IMAGE)
    means_of = mean_errors.load(workspace / ERRORS, archive.degradations)
    with files.replacing_folder(workspace / PANELS) as folder:
        for degradation in tqdm(archive.degradations, "errormaps", unit="degradation", disable=None):
            for name, panel in panels(data, archive, quality, degradation, settings):
                save(panel, folder / f"{name}.png")
            name, means = mean_map(means_of[degradation], quality, degradation)
            save(means, folder / f"{name}.png")


if __name__ == "__main__":
    with errors.one_line_errors():
        environment.expect("errormaps")
        run(Path())
