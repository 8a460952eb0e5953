"""The figures that benchmarks measured: `benchmarks/history.csv`, a row each, of every kind of processor they ran on."""

import csv
import datetime
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

HISTORY = Path("benchmarks/history.csv")
ISA = "ONEDNN_MAX_CPU_ISA"  # by which oneDNN, which multiplies, is told to use less than the processor has
# The widest instructions that a processor multiplies with, the widest first, by their names in /proc/cpuinfo.
INSTRUCTIONS = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-bf16", "avx512f": "AVX512", "avx2": "AVX2"}


Figure = tuple[str, float, str]
"""What was measured, its value, and the unit."""


class Row(NamedTuple):
    """A figure: when, on which kind of processor and with which versions, what was measured, and where it is from."""

    date: str
    processor: str
    versions: str
    what: str
    value: str
    unit: str
    source: str


def read(path: Path = HISTORY) -> list[Row]:
    """Return all rows, the oldest first."""
    with path.open(newline="", encoding="utf-8") as file:
        return [Row(**row) for row in csv.DictReader(file)]


def spread(what: str, values: Sequence[float], unit: str) -> list[Figure]:
    """Return the figures of a measurement that was taken several times: its median, lowest and highest value."""
    each = {"median": median(values), "lowest": min(values), "highest": max(values)}
    return [(f"{what} {name}", value, unit) for name, value in each.items()]


def add(figures: Iterable[Figure], source: str, path: Path = HISTORY) -> list[Row]:
    """Append `figures` (what, value, unit), measured today on this processor as `source` tells; return their rows."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    versions = f"torch {torch.__version__}"
    rows = [Row(today, processor(), versions, what, f"{value:.4g}", unit, source) for what, value, unit in figures]
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return rows


def last(rows: Iterable[Row], kind: str, endings: tuple[str, ...], most: int = 5) -> list[str]:
    """Return lines with the last `most` values of each figure of processors of that `kind` whose name ends so."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.processor == kind and row.what.endswith(endings):
            found.setdefault(row.what, []).append(row)
    return [
        f"{what:36} {', '.join(f'{row.value} ({row.date})' for row in each[-most:])} {each[-1].unit}"
        for what, each in found.items()
    ]


def processor() -> str:
    """Return the kind of this processor: its maker, what it multiplies with, how many cores, and what oneDNN may use."""
    lines = _cpuinfo()
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    widest = next((instructions for flag, instructions in INSTRUCTIONS.items() if flag in flags), "unknown instructions")
    maker = " ".join(word.removesuffix("(R)") for word in name.split() if word not in {"Processor", "CPU"})[:40]
    limit = f" with {ISA}={os.environ[ISA]}" if ISA in os.environ else ""
    return f"{maker or 'Unknown processor'} with {widest} ({torch.get_num_threads()} cores){limit}"


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
