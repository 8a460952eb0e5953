"""Pack the usable radiographs into one array, and say what became of the rest."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from cxr.dataset.census import ALL
from cxr.dataset.pack import pack
from cxr.dataset.packed import Frames
from cxr.dataset.settings import Preprocess
from cxr.formats.depth import TOO_FEW
from cxr.foundation import environment, errors, files, params
from cxr.foundation.runtime import Runtime

PARAMS = Path("params.yaml")
RAW = Path("data/raw")
PIXELS, TABLE, REJECTED = Path("data/pixels.npy"), Path("data/images.csv"), Path("data/rejected.csv")
METRICS, CONTACT_SHEET = Path("metrics/preprocess.json"), Path("plots/contact_sheet.png")

LARGEST = re.compile(r"^values up to [\d,]+, so ")
"""What differs from file to file in a remark on the depth."""


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
    for warning in told(packed.remarks):
        print(f"warning: {warning}", file=sys.stderr)
    print("; ".join(f"{what.replace('_', ' ')} {by_finding[ALL]}" for what, by_finding in packed.counts.items()))


def told(remarks: Sequence[tuple[str, str]]) -> list[str]:
    """Return what is told of files, a line each: every file with too few levels, and the others counted by what is remarked.

    `remarks` are those of `Packed`.
    """
    few = [f"{file}: {remark}" for file, remark in remarks if remark.endswith(TOO_FEW)]
    files: dict[str, list[str]] = {}
    for file, remark in remarks:
        if not remark.endswith(TOO_FEW):
            files.setdefault(LARGEST.sub("", remark), []).append(file)
    counted = [f"{len(of)} files, the first {of[0]}" if len(of) > 1 else of[0] for of in files.values()]
    return few + [f"{which}: {remark}" for which, remark in zip(counted, files, strict=True)]


if __name__ == "__main__":
    with errors.one_line_errors():
        environment.expect("preprocess")
        run(Path())
