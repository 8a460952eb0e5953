"""Measure which findings a network harms, in every condition at every scale.

    python -m benchmarks.twins NETWORK [--pairs 500] [--scales 2 3 4] [--only CONDITION...] [--seed 0]
                                    [-o FILE.csv] [--chart FILE.png]

NETWORK is srcnn, vdsr or edsr, by the rule of `cxr enhance`, or a model file. The conditions are those of params.yaml in the
folder where it is run. A row of the CSV is a finding in a condition at a scale. It has the areas under the ROC curve of a
channelised Hotelling observer with the images of bicubic interpolation and of the network, the contrast that the network keeps
of bicubic interpolation's, both empty where that does not show the finding, and the cap: the greatest strength at which neither
is harmed. The chart shows all rows. A condition
at a scale that FILE.csv has already, of the same pairs and seed, is not measured again: so a run that was stopped goes on.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.twins.backgrounds import windows
from benchmarks.twins.chart import harm_map
from benchmarks.twins.findings import FINDINGS
from benchmarks.twins.measure import Cell, cells
from cxr.compute.memory import keep_freed_memory
from cxr.figures.layout import save
from cxr.foundation.errors import one_line_errors
from cxr.foundation.files import write_table
from cxr.superres.methods import TITLES
from cxr.superres.model import load_model
from cxr.superres.settings import CLEAN, conditions

COLUMNS = (
    *("network", "digest", "pairs", "seed", "condition", "scale", "kind", "size", "contrast"),
    *("auc_bicubic", "auc", "kept", "seen", "cap"),
)


def row(of: Sequence[str], cell: Cell) -> dict[str, str]:
    """Return `cell` by COLUMNS, the first of which are `of`."""
    named = *of, cell.degradation.condition or CLEAN, cell.degradation.scale, *cell.finding
    shown = ("", "") if cell.network is None else (f"{cell.network.auc:.4f}", f"{cell.kept:.4f}")
    found = f"{cell.bicubic.auc:.4f}", *shown, int(cell.seen), f"{cell.cap:g}"
    return dict(zip(COLUMNS, map(str, (*named, *found)), strict=True))


def measured(path: Path | None, of: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows that the CSV `path` has of cells whose first COLUMNS are `of`; none where it is not there."""
    if path is None or not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [each for each in csv.DictReader(file) if [each.get(name) for name in COLUMNS[: len(of)]] == list(of)]


def main() -> None:
    """Measure, print what is harmed, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("network")
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--scales", type=int, nargs="+", choices=(2, 3, 4), default=(2, 3, 4))
    parser.add_argument("--only", nargs="+", default=(), help="conditions, instead of all")
    parser.add_argument("--seed", type=int, default=0, help="of the phantoms")
    parser.add_argument("-o", "--output", type=Path, help="a CSV, which may hold a part of it already")
    parser.add_argument("--chart", type=Path, help="a picture of the same")
    given = parser.parse_args()
    keep_freed_memory()
    model = load_model(given.network)
    known = conditions(Path("params.yaml"))
    todo = [
        each.at(scale, name) for name, each in known.items() if not given.only or name in given.only for scale in given.scales
    ]
    of = [model.name, model.digest, str(given.pairs), str(given.seed)]
    rows = measured(given.output, of)
    there = {(each["condition"], each["scale"]) for each in rows}
    todo = [each for each in todo if (each.condition or CLEAN, str(each.scale)) not in there]
    backgrounds = windows(given.pairs, given.seed)
    with tqdm(total=len(todo) * len(FINDINGS), unit="cell", disable=None) as progress:
        for degradation in todo:
            of_this = []
            for cell in cells(model, degradation, backgrounds, FINDINGS):
                of_this.append(cell)
                progress.update()
            rows += [row(of, cell) for cell in of_this]
            if given.output:
                write_table(given.output, rows)
            shown = [cell for cell in of_this if cell.seen]
            harmed = [cell for cell in shown if cell.harm]
            told = f"{degradation.name}: {len(shown)} of {len(of_this)} findings are seen, {len(harmed)} harmed"
            print(told, *(f"{cell.finding.name} (cap {cell.cap:g})" for cell in harmed), sep="; ", flush=True)
    if given.chart:
        save(harm_map(rows, TITLES[model.name]), given.chart)


if __name__ == "__main__":
    with one_line_errors():
        main()
