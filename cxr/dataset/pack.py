"""Radiograph files of any kind as one packed array of images."""

import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxr.dataset.aside import EXTERNAL, unwanted
from cxr.dataset.boxes import Window, within
from cxr.dataset.census import Counts, counted, natives
from cxr.dataset.choice import choose
from cxr.dataset.packed import Integers, begins
from cxr.dataset.prepare import Prepared, prepare_file
from cxr.dataset.settings import Preprocess
from cxr.formats.decode import Unusable
from cxr.foundation.errors import UserError
from cxr.foundation.files import replacing
from cxr.foundation.workers import in_order
from cxr.sources import table as sources
from cxr.sources.table import Listed

COLUMNS = (
    *("id", "patient", "findings", "split_wish", "source", "view", "age", "sex", "spacing", "boxes", "mask", "collection"),
    *("begin", "rows", "columns", "bits", "native_rows", "native_columns", "sha256"),
)
REJECTED_COLUMNS = ("file", "findings", "kind", "reason")


class Packed(NamedTuple):
    """What became of the files: the chosen images' table, the files set aside, counts, and what is to be told of files."""

    table: pd.DataFrame
    rejected: pd.DataFrame
    counts: dict[str, Counts]
    """By what became of them, and finding."""
    natives: dict[str, dict[str, Any]]
    """Sizes and shapes of the used files by finding."""
    remarks: list[tuple[str, str]]
    """Of each, the file and what is to be told of it, in the order of the files."""


def pack(raw: Path, pixels: Path, settings: Preprocess, processes: int, cluster: str = "") -> Packed:
    """Prepare the files that the table of `raw` lists and write those that are used to `pixels`, a flat .npy.

    It is of uint8, or, when an image is deeper than 8 bits, of uint16. A row of the returned table (COLUMNS) describes an image
    and tells where it begins; rows are in the order of their files. `unwanted` sets copies aside, and what else shows a patient
    of whom the table calls an image external. The result does not depend on `processes` or `cluster`, which are those of
    `workers.in_order`. Memory stays flat however many files there are.
    Raises UserError when nothing usable is left, when the share of damaged files is above `settings.max_damaged`, when the
    limit has no room for any patient, and for a cluster that does not work.
    """
    listed = sources.read(raw)
    if not listed:
        raise UserError(f"{raw}: no images in it; run the stage download again")
    rows: list[dict[str, Any]] = []
    aside: list[tuple[str, str, str, str]] = []
    remarks: list[tuple[str, str]] = []
    pixels.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=pixels.parent) as usable:
        job, files = partial(prepare_file, raw.resolve(), settings), [row.file for row in listed]
        outcomes = in_order(job, files, processes, cluster, raw.resolve())
        outcomes = tqdm(outcomes, "decoding", len(listed), unit="image", disable=None)
        for row, outcome in zip(listed, outcomes, strict=True):
            if isinstance(outcome, Unusable):
                aside.append((row.file, row.findings, outcome.kind, outcome.reason))
                continue
            rows.append({**_described(row, outcome, settings), "file": row.file, "at": usable.tell()})
            usable.write(outcome.pixels.tobytes())
            remarks += [(row.file, remark) for remark in outcome.remarks]
        not_used = unwanted(rows, {row.patient for row in listed if row.split == EXTERNAL and row.patient})
        for each in (row for row in rows if row["file"] in not_used):
            why = not_used[each["file"]]
            aside.append((each["file"], each["findings"], why.kind, why.reason))
        rows = [row for row in rows if row["file"] not in not_used]
        aside.sort()
        rejected = pd.DataFrame(aside, columns=REJECTED_COLUMNS)
        _refuse_bad_source(raw, len(listed), rejected, settings)
        table = pd.DataFrame(rows)
        chosen = _chosen(table, settings)
        used = table.iloc[chosen].reset_index(drop=True)
        _write(pixels, usable, used)
    used["begin"] = begins(used[["rows", "columns"]].to_numpy(np.int64))
    counts = counted([row.findings for row in listed], table, used, rejected)
    return Packed(used[list(COLUMNS)], rejected, counts, natives(used), remarks)


def _described(row: Listed, prepared: Prepared, settings: Preprocess) -> dict[str, Any]:
    """Return what COLUMNS tell of a file, but for where it begins."""
    window = Window.of(prepared.rows, prepared.columns, settings.frame)
    height, width = prepared.pixels.shape
    identity = prepared.sha256[:12]
    return {
        "id": identity,
        "patient": row.patient or identity,
        "findings": row.findings,
        "split_wish": row.split,
        "source": row.name,
        **{name: getattr(row, name) for name in ("view", "age", "sex", "collection")},
        # Where its own name is not told, its mask's is not either: the table of the raw folder has both.
        "mask": row.mask if row.name == row.file or not row.mask else f"{row.name}-mask",
        "spacing": f"{float(row.spacing) * window.rows / height:.6g}" if row.spacing else "",
        "boxes": within(window, prepared.rows, prepared.columns, row.boxes),
        "rows": height,
        "columns": width,
        "bits": prepared.bits,
        "native_rows": prepared.rows,
        "native_columns": prepared.columns,
        "sha256": prepared.sha256,
    }


def _chosen(table: pd.DataFrame, settings: Preprocess) -> Integers:
    """Return the rows of `table` that are used: all external ones, and of the others at most as many as the limit allows."""
    outside = (table["split_wish"] == EXTERNAL).to_numpy()
    ours = np.flatnonzero(~outside)
    taken = ours[choose(table.iloc[ours], settings.limit, settings.seed)]
    if len(ours) and not len(taken):
        raise UserError(f"preprocess.limit {settings.limit} is less than the images of any patient; raise it")
    return np.sort([*np.flatnonzero(outside), *taken]).astype(np.int64)


def _write(pixels: Path, usable: Any, used: pd.DataFrame) -> None:
    """Copy the images `used` from the file `usable` to `pixels`."""
    # Copied, not through memory maps, whose pages would count as this process's memory.
    stored = "<u2" if used["bits"].max() > 8 else "|u1"
    header = {"descr": stored, "fortran_order": False, "shape": (int((used["rows"] * used["columns"]).sum()),)}
    with replacing(pixels, ours=True) as partial_file, partial_file.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for at, rows, columns, bits in used[["at", "rows", "columns", "bits"]].itertuples(index=False):
            usable.seek(at)
            kind = np.dtype(np.uint8 if bits <= 8 else np.uint16)
            image = np.frombuffer(usable.read(rows * columns * kind.itemsize), kind)
            file.write(image.astype(stored).tobytes())


def _refuse_bad_source(raw: Path, files: int, rejected: pd.DataFrame, settings: Preprocess) -> None:
    damaged = rejected[rejected["kind"] == "damaged"]
    if len(damaged) > settings.max_damaged * files:
        first = damaged.iloc[0]
        raise UserError(
            f"{raw}: {len(damaged)} of {files} files ({len(damaged) / files:.1%}) are damaged, more than "
            f"preprocess.max_damaged {settings.max_damaged:g} allows; the first is {first['file']}: {first['reason']}"
        )
    if len(rejected) == files:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(rejected["kind"]).items()))
        first = rejected.iloc[0]
        raise UserError(f"{raw}: no usable image among {files} ({kinds}); the first, {first['file']}: {first['reason']}")
