"""Measure which findings a network harms, in every condition at every scale.

    python -m benchmarks.twins NETWORK [--pairs 500] [--scales 2 3 4] [--only CONDITION...] [--seed 0]
                                    [-o FILE.csv] [--chart FILE.png]

NETWORK is srcnn, vdsr or edsr, by the rule of `cxr enhance`, or a model file. The conditions are those of params.yaml in the
folder where it is run. A row of the CSV is a finding in a condition at a scale. It has the areas under the ROC curve of a
channelised Hotelling observer with the images of bicubic interpolation and of the network, the contrast that the network keeps
of bicubic interpolation's, and the cap: the greatest strength at which neither is harmed. The chart shows all rows.
"""

import argparse
import csv
from pathlib import Path

from tqdm import tqdm

from benchmarks.twins.backgrounds import windows
from benchmarks.twins.chart import harm_map
from benchmarks.twins.findings import FINDINGS
from benchmarks.twins.measure import Cell, cells
from cxr.compute.memory import keep_freed_memory
from cxr.figures.layout import save
from cxr.foundation.errors import one_line_errors
from cxr.superres.methods import TITLES
from cxr.superres.model import Model, load_model
from cxr.superres.settings import CLEAN, conditions

COLUMNS = (
    *("network", "digest", "condition", "scale", "kind", "size", "contrast"),
    *("auc_bicubic", "auc", "kept", "seen", "cap"),
)


def row(model: Model, cell: Cell) -> dict[str, str]:
    """Return `cell` by COLUMNS."""
    named = model.name, model.digest, cell.degradation.condition or CLEAN, cell.degradation.scale, *cell.finding
    found = f"{cell.bicubic.auc:.4f}", f"{cell.network.auc:.4f}", f"{cell.kept:.4f}", int(cell.seen), f"{cell.cap:g}"
    return dict(zip(COLUMNS, map(str, (*named, *found)), strict=True))


def main() -> None:
    """Measure, print what is harmed, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("network")
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--scales", type=int, nargs="+", choices=(2, 3, 4), default=(2, 3, 4))
    parser.add_argument("--only", nargs="+", default=(), help="conditions, instead of all")
    parser.add_argument("--seed", type=int, default=0, help="of the phantoms")
    parser.add_argument("-o", "--output", type=Path, help="a CSV, written anew")
    parser.add_argument("--chart", type=Path, help="a picture of the same")
    given = parser.parse_args()
    keep_freed_memory()
    model = load_model(given.network)
    known = conditions(Path("params.yaml"))
    todo = [
        each.at(scale, name) for name, each in known.items() if not given.only or name in given.only for scale in given.scales
    ]
    backgrounds = windows(given.pairs, given.seed)
    made: list[Cell] = []
    with tqdm(total=len(todo) * len(FINDINGS), unit="cell", disable=None) as progress:
        for degradation in todo:
            of_this = []
            for cell in cells(model, degradation, backgrounds, FINDINGS):
                of_this.append(cell)
                progress.update()
            made += of_this
            shown = [cell for cell in of_this if cell.seen]
            harmed = [cell for cell in shown if cell.harm]
            told = f"{degradation.name}: {len(shown)} of {len(of_this)} findings are seen, {len(harmed)} harmed"
            print(told, *(f"{cell.finding.name} (cap {cell.cap:g})" for cell in harmed), sep="; ", flush=True)
    rows = [row(model, cell) for cell in made]
    if given.output:
        with given.output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if given.chart:
        save(harm_map(rows, TITLES[model.name]), given.chart)


if __name__ == "__main__":
    with one_line_errors():
        main()
