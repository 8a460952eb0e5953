"""Gather the radiographs: each once, in one folder per class."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

import sys
from pathlib import Path

from cxr.foundation import errors, files, params
from cxr.foundation.runtime import Runtime
from cxr.sources import kaggle, local
from cxr.sources.phantom import scene
from cxr.sources.phantom.settings import Phantom

PARAMS, DOWNLOADS = Path("params.yaml"), Path("downloads")
RAW, METRICS = Path("data/raw"), Path("metrics/download.json")


def run(workspace: Path) -> None:
    """Write RAW and METRICS of `workspace`."""
    settings = params.read(workspace / PARAMS, "download", local.Download)
    drawn = params.read(workspace / PARAMS, "phantom", Phantom)
    runtime = params.read(workspace / PARAMS, "runtime", Runtime)
    source = workspace / settings.path
    if settings.source == "kaggle":
        source = _from_kaggle(workspace / DOWNLOADS, runtime)
    with files.replacing_folder(workspace / RAW) as folder:
        if settings.source == "phantom":
            scene.write(folder, drawn, runtime.processes)
            fetched = local.survey(folder)
        else:
            fetched = local.fetch(source, folder)
        from cxr.dataset.patients import patient
        from cxr.sources import table

        listed = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))
        table.write(folder, [table.Listed(each, each, patient(each), each.split("/")[0]) for each in listed])
    files.write_json(workspace / METRICS, {"source": settings.source, "images": fetched.images, "sha256": fetched.sha256})
    by_class = ", ".join(f"{count} {name}" for name, count in fetched.images.items())
    print(
        f"{sum(fetched.images.values())} images ({by_class}); "
        f"left out: {fetched.copies} further copies, {fetched.ignored} files that are no images"
    )


def _from_kaggle(downloads: Path, runtime: Runtime) -> Path:
    """Return Kaggle's zip in the folder `downloads`."""
    source = kaggle.fetch(downloads, runtime.stall_seconds, 60 * runtime.retry_minutes, _log)
    if unlike := kaggle.unlike_published(source):
        _log(f"warning: Kaggle's zip does not hold what was published: {unlike}")
    return source


def _log(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    with errors.one_line_errors():
        run(Path())
