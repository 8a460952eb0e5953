"""Divide the images into training, validation and test patients."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

from pathlib import Path

import pandas as pd

from cxr.dataset.settings import Split
from cxr.dataset.split import counts, split
from cxr.foundation import errors, files, params

PARAMS = Path("params.yaml")
TABLE, SPLIT, METRICS = Path("data/images.csv"), Path("data/split.csv"), Path("metrics/split.json")


def run(workspace: Path) -> None:
    """Write SPLIT and METRICS of `workspace` from its TABLE."""
    settings = params.read(workspace / PARAMS, "split", Split)
    # As text: an id such as 1234e5678901 is no number, and a patient called NA no gap.
    table = pd.read_csv(workspace / TABLE, dtype=str, keep_default_na=False)
    parts = split(table, settings)
    counted = counts(table, parts)
    files.write_table(workspace / SPLIT, parts)
    files.write_json(workspace / METRICS, counted)
    for part, images in counted["images"].items():
        by_class = ", ".join(f"{count} {name}" for name, count in images.items())
        print(f"{part}: {sum(images.values())} images ({by_class})")


if __name__ == "__main__":
    with errors.one_line_errors():
        run(Path())
