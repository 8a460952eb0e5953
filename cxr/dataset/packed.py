"""The packed images with their tables, as a memory map."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr.foundation.errors import UserError
from cxr.foundation.files import whole

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]
# An id such as 1234e5678901 is no number, and a patient called NA no gap.
TEXTS = dict.fromkeys(("id", "findings", "patient", "source", "sha256"), str)
PLACES = ("begin", "rows", "columns", "bits")
Part = Literal["train", "val", "test", "external"]
PHANTOM = "phantom-"
"""Begins the names of patients whom the project has drawn."""


class Frame(NamedTuple):
    """One grey image: `pixels` (H, W), uint8 or uint16, from 0, which is black, to 2**bits - 1, which is white."""

    pixels: Pixels
    bits: int = 8

    @property
    def white(self) -> int:
        """The level of white."""
        return white(self.bits)


@dataclass(frozen=True)
class Frames(Sequence[Frame]):
    """Images of different shapes and depths, whose pixels lie one behind the other."""

    pixels: Pixels
    """Of all images, flat."""
    begins: Integers
    """Where each image's first pixel is (N,)."""
    shapes: Integers
    """Rows and columns of each (N, 2)."""
    bits: Integers
    """How deep each is (N,)."""

    @classmethod
    def of(cls, images: Sequence[Pixels] | Pixels, bits: int = 8) -> "Frames":
        """Return the arrays `images` (H, W), or an array (N, H, W) of them, all of one dtype and as deep as `bits`."""
        shapes = np.array([image.shape for image in images], np.int64).reshape(-1, 2)
        flat = np.concatenate([image.ravel() for image in images]) if len(images) else np.zeros(0, np.uint8)
        return cls(flat, begins(shapes), shapes, np.full(len(images), bits, np.int64))

    @classmethod
    def opened(cls, pixels: Path, table: pd.DataFrame) -> "Frames":
        """Return the images whose pixels are in the .npy `pixels`, as a read-only memory map; `table` has PLACES.

        Raises UserError when the file is missing, damaged, or does not fit the table.
        """
        with whole(pixels):
            flat = np.load(pixels, mmap_mode="r", allow_pickle=False)
        begin, rows, columns, bits = (table[name].to_numpy(np.int64) for name in PLACES)
        shapes = np.stack([rows, columns], axis=1)
        fits = np.array_equal(begin, begins(shapes)) and flat.shape == (shapes.prod(axis=1).sum(),) and (shapes > 0).all()
        if (
            not fits
            or not ((bits >= 1) & (bits <= 16)).all()
            or flat.dtype != (np.uint8 if bits.max(initial=8) <= 8 else np.uint16)
        ):
            raise UserError(f"{pixels} ({flat.dtype}, {flat.shape}) does not fit its table of {len(table)} images; rerun")
        return cls(flat, begin, shapes, bits)

    def __len__(self) -> int:
        return len(self.begins)

    def __iter__(self) -> Iterator[Frame]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Frame:  # type: ignore[override]  # of single images alone
        height, width = self.shapes[row]
        begin = self.begins[row]
        return Frame(self.pixels[begin : begin + height * width].reshape(height, width), int(self.bits[row]))

    def chosen(self, rows: Integers) -> "Frames":
        """Return the images in `rows`, where they lie."""
        return Frames(self.pixels, self.begins[rows], self.shapes[rows], self.bits[rows])


@dataclass(frozen=True)
class Dataset:
    """All radiographs of a run: `images`, and `table`, whose row i describes image i."""

    images: Frames
    table: pd.DataFrame

    def rows(self, part: Part) -> Integers:
        """Return the rows of the images in one part of the split, in order."""
        return np.flatnonzero(self.table["split"] == part)

    @property
    def of_phantoms(self) -> bool:
        """Tell whether every image to train on shows a patient whom the project has drawn."""
        return bool(self.table["patient"][self.rows("train")].str.startswith(PHANTOM).all())


def white(bits: int) -> int:
    """Return the greatest of 2**bits levels."""
    return (1 << bits) - 1


def begins(shapes: Integers) -> Integers:
    """Return where images of `shapes` (N, 2), one behind the other, begin: (N,)."""
    return np.cumsum([0, *shapes.prod(axis=1)])[:-1].astype(np.int64)


def load(pixels: Path, table: Path, split: Path) -> Dataset:
    """Open the array and tables that preprocess and split wrote, the pixels as a read-only memory map.

    Raises UserError when a file is missing or they do not belong together.
    """
    with whole(table):
        described = pd.read_csv(table, dtype=TEXTS, keep_default_na=False)
        if missing := [name for name in (*TEXTS, *PLACES) if name not in described]:
            raise KeyError(f"no column {missing[0]}")
        images = Frames.opened(pixels, described)
    with whole(split):
        parts = pd.read_csv(split, dtype=str, usecols=["id", "split"])
    if list(parts["id"]) != list(described["id"]):
        raise UserError(f"{split} does not list the images of {table}; rerun the stage split")
    return Dataset(images, described.assign(split=parts["split"]))


def digest(images: Frames, rows: Sequence[int] | Integers) -> str:
    """Return the SHA-256 (hex) of the shape, depth and pixels of each of `rows` of `images`, in their order."""
    sha = hashlib.sha256()
    for row in rows:
        frame = images[int(row)]
        sha.update(repr((*frame.pixels.shape, frame.bits)).encode())
        # Not as stored, which depends on whether any other image is deeper.
        sha.update(frame.pixels.astype("|u1" if frame.bits <= 8 else "<u2").tobytes())
    return sha.hexdigest()
