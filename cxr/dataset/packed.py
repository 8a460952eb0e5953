"""The packed images with their tables, as a memory map."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr.foundation.errors import UserError
from cxr.foundation.files import whole

Images = npt.NDArray[np.uint8]
TEXTS = dict.fromkeys(("id", "class", "patient", "source", "sha256"), str)  # an id such as 1234e5678901 is no number
Part = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Dataset:
    """All radiographs of a run: `images` uint8 (N, S, S), and `table`, whose row i describes image i."""

    images: Images
    table: pd.DataFrame

    def rows(self, part: Part) -> npt.NDArray[np.intp]:
        """Return the rows of the images in one part of the split, in order."""
        return np.flatnonzero(self.table["split"] == part)


def load(images: Path, table: Path, split: Path) -> Dataset:
    """Open the arrays and tables that preprocess and split wrote, the images as a read-only memory map.

    Raises UserError when a file is missing or they do not belong together.
    """
    with whole(images):
        pixels = np.load(images, mmap_mode="r", allow_pickle=False)
    with whole(table):
        described = pd.read_csv(table, dtype=TEXTS, keep_default_na=False)
        if missing := [name for name in TEXTS if name not in described]:
            raise KeyError(f"no column {missing[0]}")
    with whole(split):
        parts = pd.read_csv(split, dtype=str, usecols=["id", "split"])
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or len(pixels) != len(described):
        raise UserError(f"{images} ({pixels.dtype}, {pixels.shape}) does not fit {table} ({len(described)} rows); rerun")
    if list(parts["id"]) != list(described["id"]):
        raise UserError(f"{split} does not list the images of {table}; rerun the stage split")
    return Dataset(pixels, described.assign(split=parts["split"]))


def digest(images: Images, rows: Sequence[int] | npt.NDArray[np.intp]) -> str:
    """Return the SHA-256 (hex) of the shape and pixels of `rows` of `images` (N, S, S), in their order."""
    sha = hashlib.sha256(repr((len(rows), *images.shape[1:])).encode())
    for row in rows:
        sha.update(images[row].tobytes())
    return sha.hexdigest()
