"""Divide the images into training, validation and test patients."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

from pathlib import Path

import pandas as pd

from cxr.dataset.settings import Split
from cxr.dataset.split import counts, own_patients, split, wishes
from cxr.foundation import environment, errors, files, params

PARAMS = Path("params.yaml")
TABLE, SPLIT, METRICS = Path("data/images.csv"), Path("data/split.csv"), Path("metrics/split.json")


def run(workspace: Path) -> None:
    """Write SPLIT and METRICS of `workspace` from its TABLE."""
    settings = params.read(workspace / PARAMS, "split", Split)
    # As text: an id such as 1234e5678901 is no number, and a patient called NA no gap.
    table = pd.read_csv(workspace / TABLE, dtype=str, keep_default_na=False)
    torn, own = wishes(table)[1], own_patients(table)
    parts = split(table, settings)
    counted = counts(table, parts)
    files.write_table(workspace / SPLIT, parts)
    metrics = {"patients_known": own == 0, "own_patients": own, "patients_of_several_parts": len(torn)}
    files.write_json(workspace / METRICS, {**counted, **metrics})
    for part, images in counted["images"].items():
        print(f"{part}: {sum(images.values())} images ({_by_findings(images)})")
    if torn:
        print(f"{len(torn)} patients are wanted in several parts; each is whole in external, else test, else val")
    if own:
        print(f"{own} of {len(table)} images name no patient: each counts as a patient of its own, so parts may share patients")


def _by_findings(images: dict[str, int], most: int = 12) -> str:
    """Return the `most` commonest findings that there are with their counts, and how many others there are."""
    there = [name for name in images if images[name]]
    commonest = sorted(there, key=lambda name: -images[name])[:most]
    listed = [f"{images[name]} {name}" for name in there if name in commonest]
    return ", ".join([*listed, *([f"{len(there) - most} further findings"] if len(there) > most else [])])


if __name__ == "__main__":
    with errors.one_line_errors():
        environment.expect("split")
        run(Path())
