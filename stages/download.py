"""Gather the radiographs, each once, and a table of what their source knows of them."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

import sys
from pathlib import Path

from cxr.foundation import access, errors, files, params
from cxr.foundation.runtime import Runtime
from cxr.sources import kaggle, local
from cxr.sources.phantom import scene
from cxr.sources.phantom.settings import Phantom
from cxr.sources.settings import Download

PARAMS, DOWNLOADS = Path("params.yaml"), Path("downloads")
RAW, METRICS = Path("data/raw"), Path("metrics/download.json")

LEFT_OUT = {
    "copies": "further copies",
    "no_image": "files that are no images",
    "masks": "masks",
    "not_in_table": "images that the table does not name",
    "external": "images of external patients whose external image is missing",
}
_MOST = 12  # findings that a line names


def run(workspace: Path) -> None:
    """Write RAW, with its table, and METRICS of `workspace`, in which its owner alone can read what shows patients."""
    settings = params.read(workspace / PARAMS, "download", Download)
    drawn = params.read(workspace / PARAMS, "phantom", Phantom)
    runtime = params.read(workspace / PARAMS, "runtime", Runtime)
    access.close_workspace(workspace)
    source = workspace / settings.path
    if settings.source == "kaggle":
        source = _from_kaggle(workspace / DOWNLOADS, runtime)
    with files.replacing_folder(workspace / RAW) as folder:
        if settings.source == "phantom":
            scene.write(folder, drawn, runtime.processes)
            fetched = local.survey(folder)
        else:
            fetched = local.fetch(source, folder, settings)
    metrics = fetched._asdict()
    del metrics["notes"]
    files.write_json(workspace / METRICS, {"source": settings.source, **metrics})
    print(_summary(fetched))
    for note in fetched.notes:
        print(note)


def _summary(fetched: local.Fetched) -> str:
    commonest = sorted(fetched.images.items(), key=lambda item: -item[1])[:_MOST]
    by_finding = ", ".join(f"{count} {name}" for name, count in sorted(commonest))
    more = f", {len(fetched.images) - _MOST} further findings" if len(fetched.images) > _MOST else ""
    kinds = [*LEFT_OUT][:2] + [kind for kind in [*LEFT_OUT][2:] if fetched.left_out[kind]]
    aside = ", ".join(f"{fetched.left_out[kind]} {LEFT_OUT[kind]}" for kind in kinds)
    return f"{sum(fetched.images.values())} images ({by_finding}{more}); left out: {aside}"


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
