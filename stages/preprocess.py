"""Pack the usable radiographs into one array, and say what became of the rest."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

from pathlib import Path

import numpy as np

from cxr.dataset.pack import pack
from cxr.dataset.settings import Preprocess
from cxr.foundation import errors, files, params
from cxr.foundation.runtime import Runtime

PARAMS = Path("params.yaml")
RAW = Path("data/raw")
IMAGES, TABLE, REJECTED = Path("data/images.npy"), Path("data/images.csv"), Path("data/rejected.csv")
METRICS, CONTACT_SHEET = Path("metrics/preprocess.json"), Path("plots/contact_sheet.png")


def run(workspace: Path) -> None:
    """Write IMAGES, TABLE, REJECTED, METRICS and CONTACT_SHEET of `workspace` from its RAW."""
    # Workers import this module too: without matplotlib they start in half the time.
    from cxr.figures.contact_sheet import contact_sheet  # noqa: PLC0415
    from cxr.figures.layout import save  # noqa: PLC0415

    settings = params.read(workspace / PARAMS, "preprocess", Preprocess)
    runtime = params.read(workspace / PARAMS, "runtime", Runtime)
    packed = pack(workspace / RAW, workspace / IMAGES, settings, runtime.processes, runtime.cluster)
    files.write_table(workspace / TABLE, packed.table)
    files.write_table(workspace / REJECTED, packed.rejected)
    files.write_json(workspace / METRICS, packed.counts)
    sheet = contact_sheet(np.load(workspace / IMAGES, mmap_mode="r"), packed.table)
    save(sheet, workspace / CONTACT_SHEET)
    print("; ".join(f"{what.replace('_', ' ')} {sum(by_class.values())}" for what, by_class in packed.counts.items()))


if __name__ == "__main__":
    with errors.one_line_errors():
        run(Path())
