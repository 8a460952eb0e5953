"""Divide the images into training, validation and test patients."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

from pathlib import Path

import pandas as pd

from cxr.dataset.settings import Split
from cxr.dataset.split import counts, split
from cxr.foundation import params
from cxr.foundation.errors import one_line_errors
from cxr.foundation.files import write_json, write_table

PARAMS = Path("params.yaml")
TABLE = Path("data/images.csv")
SPLIT = Path("data/split.csv")
METRICS = Path("metrics/split.json")


def run(workspace: Path) -> None:
    """Write SPLIT and METRICS of `workspace` from its TABLE."""
    settings = params.read(workspace / PARAMS, "split", Split)
    # As text: an id such as 1234e5678901 is no number, and a patient called NA no gap.
    table = pd.read_csv(workspace / TABLE, dtype=str, keep_default_na=False)
    parts = split(table, settings)
    counted = counts(table, parts)
    write_table(workspace / SPLIT, parts)
    write_json(workspace / METRICS, counted)
    for part, images in counted["images"].items():
        by_class = ", ".join(f"{count} {name}" for name, count in images.items())
        print(f"{part}: {sum(images.values())} images ({by_class})")


if __name__ == "__main__":
    with one_line_errors():
        run(Path())
