"""Pack the usable radiographs into one array, and say what became of the rest."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

import sys
from pathlib import Path

from cxr.dataset.census import ALL
from cxr.dataset.pack import pack
from cxr.dataset.packed import Frames
from cxr.dataset.settings import Preprocess
from cxr.foundation import errors, files, params
from cxr.foundation.runtime import Runtime

PARAMS = Path("params.yaml")
RAW = Path("data/raw")
PIXELS, TABLE, REJECTED = Path("data/pixels.npy"), Path("data/images.csv"), Path("data/rejected.csv")
METRICS, CONTACT_SHEET = Path("metrics/preprocess.json"), Path("plots/contact_sheet.png")

REMARKS = 20  # on files, that are printed


def run(workspace: Path) -> None:
    """Write PIXELS, TABLE, REJECTED, METRICS and CONTACT_SHEET of `workspace` from its RAW."""
    # Workers import this module too: without matplotlib they start in half the time.
    from cxr.figures.contact_sheet import contact_sheet  # noqa: PLC0415
    from cxr.figures.layout import save  # noqa: PLC0415

    settings = params.read(workspace / PARAMS, "preprocess", Preprocess)
    runtime = params.read(workspace / PARAMS, "runtime", Runtime)
    packed = pack(workspace / RAW, workspace / PIXELS, settings, runtime.processes, runtime.cluster)
    files.write_table(workspace / TABLE, packed.table)
    files.write_table(workspace / REJECTED, packed.rejected)
    files.write_json(workspace / METRICS, {**packed.counts, "native": packed.natives, "remarks": len(packed.remarks)})
    save(contact_sheet(Frames.opened(workspace / PIXELS, packed.table), packed.table), workspace / CONTACT_SHEET)
    for remark in packed.remarks[:REMARKS]:
        print(f"warning: {remark}", file=sys.stderr)
    if further := packed.remarks[REMARKS:]:
        print(f"warning: and {len(further)} more such remarks", file=sys.stderr)
    print("; ".join(f"{what.replace('_', ' ')} {by_finding[ALL]}" for what, by_finding in packed.counts.items()))


if __name__ == "__main__":
    with errors.one_line_errors():
        run(Path())
