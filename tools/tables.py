"""Write the tables of PAGES from the CSVs in benchmarks/: `python -m tools.tables`.

A table stands between `<!-- table NAME -->` and `<!-- end -->`. Those here are of benchmarks/history.csv, and each cell is the
latest figure of its name there; `tools.results` has those of benchmarks/results/.
"""

from collections.abc import Iterable
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks.history import HISTORY, ISA, Row, read
from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_text
from cxr.foundation.place import ROOT
from cxr.superres.methods import NETWORKS
from tools import results, trial_tables
from tools.markdown import Tables, table, written

PAGES = tuple(map(Path, ("README.md", "docs/performance.md", "docs/results.md", "pretrained/README.md")))
WORK = {  # what `make bench` times; there is no public recipe to put beside EDSR
    "train_srcnn": "train SRCNN, patches/s",
    "train_vdsr": "train VDSR, patches/s",
    "evaluate": "evaluate, images/s",
    "preprocess": "preprocess, images/s",
}
FORMS = ("eager", "eager in float32", "compiled", "kernel")
GPU = {
    "train_srcnn with 64 crops step": "SRCNN step, 64 crops",
    "train_vdsr with 64 crops step": "VDSR step, 64 crops",
    "train_vdsr with 256 crops step": "VDSR step, 256 crops",
    "train_srcnn stage": "train_srcnn",
    "train_vdsr stage": "train_vdsr",
    "train_edsr stage": "train_edsr",
    "evaluate (300 images at three scales) stage": "evaluate",
}
STAGES = (
    "download",
    "preprocess",
    "split",
    "train_srcnn",
    "train_vdsr",
    "train_edsr",
    "train_detector",
    "evaluate",
    "errormaps",
    "detect",
)


class Figures:
    """The latest figure of each name, by kind of processor."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)
        self.latest = {(row.processor, row.what): row for row in self.rows}
        self.processors = list(dict.fromkeys(processor for processor, _ in self.latest))

    def value(self, processor: str, what: str) -> str:
        """Return the latest value of `what` on `processor`; a dash where it was not measured."""
        row = self.latest.get((processor, what))
        return f"{float(row.value):,.4g}" if row else "-"

    def has(self, processor: str, what: str) -> bool:
        """Tell whether `what` was measured on `processor`."""
        return (processor, what) in self.latest

    def spread(self, processor: str, what: str) -> str:
        """Return the latest median of `what`, and from the lowest to the highest value."""
        if not self.has(processor, f"{what} median"):
            return "-"
        middle, low, high = (self.value(processor, f"{what} {each}") for each in ("median", "lowest", "highest"))
        return f"{middle} ({low} to {high})"


def expect(figures: Figures) -> list[str]:
    """Return what `make bench` last found on each kind of processor: our rates, and how many times plain's they are."""
    rows = []
    for processor in figures.processors:
        runs = [row for row in figures.rows if row.processor == processor and row.source.startswith("make bench")]
        if runs:
            last = Figures(row for row in runs if (row.date, row.source) == (runs[-1].date, runs[-1].source))
            found = [
                f"{last.spread(processor, f'{work} ours')}, {last.value(processor, f'{work} ours over plain')} x"
                for work in WORK
            ]
            rows.append([f"{processor}, {runs[-1].date}", *found])
    return table(("processor", *WORK.values()), rows)


def forms(figures: Figures) -> list[str]:
    """Return how long each network takes in each form."""
    rows = []
    for processor, network, what in product(figures.processors, NETWORKS, ("step", "evaluation")):
        name = f"{network} {what}"
        if figures.has(processor, f"{name} eager median"):
            found = [figures.spread(processor, f"{name} {form}") for form in FORMS]
            first = figures.value(processor, f"{name} compiled first call")
            rows.append([_limit(processor), f"{network.upper()} {what}", *found, first])
    return table(("processor", "ms", *FORMS, "first compiled call, s"), rows)


def gpu(figures: Figures) -> list[str]:
    """Return what steps and stages took on GPUs."""
    rows = []
    for processor in figures.processors:
        if processor.startswith("NVIDIA"):
            units = {what: figures.latest[processor, what].unit for what in GPU if figures.has(processor, what)}
            rows.append([processor, *(f"{figures.value(processor, what)} {units.get(what, '')}".strip() for what in GPU)])
    return table(("GPU", *GPU.values()), rows)


def restoring(figures: Figures) -> list[str]:
    """Return how fast networks enlarge, and how much memory that takes."""
    rows = []
    for processor, network in product(figures.processors, NETWORKS):
        if figures.has(processor, f"{network} x2 median"):
            speeds = [figures.spread(processor, f"{network} x{scale}") for scale in (2, 3, 4)]
            tile = figures.spread(processor, f"{network} tile of 256 pixels at x2")
            peak = figures.value(processor, f"{network} peak memory of 2000x2500 at x2")
            rows.append([processor, network.upper(), *speeds, tile, peak])
    heads = "x2, megapixels/s", "x3", "x4", "a tile of 256x256 at x2, ms", "2,000x2,500 at x2, MB"
    return table(("processor", "network", *heads), rows)


def learning(figures: Figures) -> list[str]:
    """Return how long networks learn until they gain 1.2 dB on the validation windows, a value for each seed."""
    rows = []
    for processor, network in product(figures.processors, (*NETWORKS, "plain")):
        found = [row for row in figures.rows if row.processor == processor and row.what in _learnt(network)]
        if found:
            told = [f"{float(row.value):.0f}" if " learns " in row.what else f"not in {float(row.value):.0f}" for row in found]
            rows.append([processor, network.upper() if network in NETWORKS else "VDSR, plain", ", ".join(told)])
    return table(("processor", "network", "seconds to +1.2 dB"), rows)


def memory(figures: Figures) -> list[str]:
    """Return the peak memory of each stage, as last measured on any processor."""
    peaks = {what.removesuffix(" peak memory"): f"{float(row.value):,.0f}" for (_, what), row in figures.latest.items()}
    return table(("stage", *STAGES), [["MB", *(peaks.get(stage, "-") for stage in STAGES)]])


def of_history(rows: Iterable[Row]) -> Tables:
    """Return the tables of speed and memory, as `rows` have them."""
    figures = Figures(rows)
    return {each.__name__: partial(each, figures) for each in (expect, forms, restoring, learning, gpu, memory)}


def every() -> Tables:
    """Return all tables, as the CSVs of this repository have them."""
    rows = read(ROOT / HISTORY)
    return {**of_history(rows), **results.tables(rows), **trial_tables.tables()}


def rewritten(page: Path, tables: Tables) -> str:
    """Return the text of `page`, a path from the repository's root, with its tables as `tables` make them."""
    try:
        return written((ROOT / page).read_text(encoding="utf-8"), tables)
    except UserError as error:
        raise UserError(f"{page}: {error}") from None


def _learnt(network: str) -> tuple[str, str]:
    return f"{network} learns +1.2 dB", f"{network} has not learnt +1.2 dB"


def _limit(processor: str) -> str:
    """Return what a processor may multiply with: its own instructions, or what oneDNN is limited to."""
    _, limited, limit = processor.partition(f" with {ISA}=")
    return f"the same, `{ISA}={limit}`" if limited else processor


def main() -> None:
    """Rewrite the pages, all or none."""
    tables = every()
    for page, text in [(page, rewritten(page, tables)) for page in PAGES]:
        write_text(ROOT / page, text)


if __name__ == "__main__":
    with one_line_errors():
        main()
