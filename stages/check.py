"""Read every section of params.yaml, so that a typo anywhere stops `dvc repro` here and not after hours."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from superres.parent import stop_without_parent

    stop_without_parent()

from pathlib import Path
from typing import Any

from superres import params
from superres.degrade import Degrade
from superres.diagnosis import Diagnose
from superres.errormaps import ErrorMaps
from superres.errors import one_line_errors
from superres.files import write_text
from superres.models.srcnn import Architecture
from superres.patches import Augment
from superres.preprocess import Preprocess
from superres.runtime import Runtime
from superres.sources.local import Download
from superres.sources.phantom import Phantom
from superres.split import Split
from superres.training import Training

PARAMS = Path("params.yaml")
OK = Path("data/params.ok")

SECTIONS: dict[str, type[Any]] = {
    "download": Download,
    "phantom": Phantom,
    "preprocess": Preprocess,
    "split": Split,
    "degrade": Degrade,
    "augment": Augment,
    "srcnn": Architecture,
    "train_srcnn": Training,
    "train_vdsr": Training,
    "errormaps": ErrorMaps,
    "diagnose": Diagnose,
    "runtime": Runtime,
}


def run(workspace: Path) -> None:
    """Check `workspace`'s parameters and write a constant that download depends on.

    Raises UserError for an unknown or missing section, and for an unknown, missing, ill-typed or ill-valued key.
    """
    path = workspace / PARAMS
    params.refuse_unknown(params.load(path), SECTIONS, path)
    for section, schema in SECTIONS.items():
        params.read(path, section, schema)
    write_text(workspace / OK, "every section of params.yaml is understood\n")


def main() -> None:
    """Run in the current folder."""
    run(Path())


if __name__ == "__main__":
    with one_line_errors():
        main()
