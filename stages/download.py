"""Gather the radiographs: each once, in one folder per class."""

from pathlib import Path

from superres import params
from superres.errors import UserError, one_line_errors
from superres.files import replacing_folder, write_json
from superres.runtime import Runtime
from superres.sources import local, phantom

PARAMS = Path("params.yaml")
RAW = Path("data/raw")
METRICS = Path("metrics/download.json")


def run(workspace: Path) -> None:
    """Write RAW and METRICS of `workspace`."""
    settings = params.read(workspace / PARAMS, "download", local.Download)
    drawn = params.read(workspace / PARAMS, "phantom", phantom.Phantom)
    runtime = params.read(workspace / PARAMS, "runtime", Runtime)
    if settings.source == "kaggle":
        raise UserError(
            "download.source kaggle is not there yet; fetch the zip by hand from "
            "https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia and use local, or use phantom"
        )
    with replacing_folder(workspace / RAW) as folder:
        if settings.source == "local":
            fetched = local.fetch(workspace / settings.path, folder)
        else:
            phantom.write(folder, drawn, runtime.processes)
            fetched = local.survey(folder)
    write_json(
        workspace / METRICS,
        {"source": settings.source, "images": fetched.images, "sha256": fetched.sha256},
    )
    by_class = ", ".join(f"{count} {name}" for name, count in fetched.images.items())
    print(
        f"{sum(fetched.images.values())} images ({by_class}); "
        f"left out: {fetched.copies} further copies, {fetched.ignored} files that are no images"
    )


def main() -> None:
    """Run the stage in the current folder."""
    run(Path())


if __name__ == "__main__":
    with one_line_errors():
        main()
