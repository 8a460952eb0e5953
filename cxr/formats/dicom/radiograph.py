"""DICOM radiographs as they are stored: values, padding, and how they are seen (DICOM PS3.3, PS3.5)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset

from cxr.formats.decode import Grey, Unusable, as_unusable
from cxr.formats.depth import in_bits, refuse_beyond
from cxr.formats.dicom.bounded import bounded
from cxr.formats.dicom.display import Display, Levels, display
from cxr.formats.dicom.header import is_dicom
from cxr.formats.dicom.stored import (
    Values,
    check,
    found_syntax,
    limits,
    padding,
    padding_ends,
    refuse_other_modalities,
    stored_values,
)
from cxr.foundation.errors import UserError


@dataclass(frozen=True)
class Radiograph:
    """What a DICOM file holds."""

    data: Dataset
    stored: Values
    """Stored values (H, W)."""
    padding: npt.NDArray[np.bool_]
    """(H, W): where there is no image, but PixelPaddingValue or what lies between it and PixelPaddingRangeLimit."""
    display: Display
    bits: int
    """BitsStored, or what was asked for instead."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user should know, a line each."""
        return self.display.remarks

    def levels(self, values: Values | None = None) -> Levels:
        """Return the image (H, W), or `values` (H * scale, W * scale) in its place, as it is seen, 0 black and 1 white."""
        shown = self.stored if values is None else values
        levels = self.display.shown(shown)
        levels[_enlarged(self.padding, shown)] = 0
        return levels

    def pixels(self) -> Grey:
        """Return the image (H, W) as it is seen, 0 black and 2**bits - 1 white: uint8 of up to 8 bits, else uint16."""
        curve = in_bits(np.rint(self.display.curve * ((1 << self.bits) - 1)), self.bits)
        pixels: Grey = curve[(self.stored - self.display.least).clip(0, len(curve) - 1)]
        pixels[self.padding] = 0
        return pixels

    def image(self) -> npt.NDArray[np.float32]:
        """Return the stored values (H, W), and for padding that of the image which is seen darkest."""
        return self.storing.image(self.stored, self.padding)

    def values(self, exact: npt.NDArray[np.float32]) -> Values:
        """Return `exact` (H * scale, W * scale) as values that can be stored, as `Storing` has it."""
        return self.storing.values(exact, self.stored, self.padding)

    @property
    def storing(self) -> "Storing":
        """Return what is stored beside and in place of padding."""
        least, most = limits(self.data)
        darkest = None
        if self.padding.any() and not self.padding.all():
            seen = self.stored[~self.padding]
            least, most = int(seen.min()), int(seen.max())
            ends = np.array([[least, most]], np.float32)
            darkest = float(ends[0, self.display.shown(ends)[0].argmin()])
        return Storing(least, most, padding_ends(self.data), darkest)


class Storing(NamedTuple):
    """Which values a radiograph can store, in the whole and so in each part of it."""

    least: int
    most: int
    """The ends of what can be stored; beside padding, of the values that there are."""
    ends: tuple[int, int] | None
    """Between which values are padding, if the header names any."""
    darkest: float | None
    """What is seen darkest of the image, beside padding; None where there is no padding, or nothing else."""

    def image(self, stored: npt.NDArray[Any], padding: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Return the values `stored` (H, W), and for `padding` that of the image which is seen darkest."""
        values = stored.astype(np.float32)
        if self.darkest is not None:
            values[padding] = self.darkest
        return values

    def values(self, exact: npt.NDArray[np.float32], stored: npt.NDArray[Any], padding: npt.NDArray[np.bool_]) -> Values:
        """Return `exact` (H * scale, W * scale) as values that can be stored, with the `padding` of `stored` in its places.

        Rounded, and clipped to the bits there are; beside padding to the values there are. What would look like padding, if the
        header names any, becomes the nearest value that does not.
        """
        values = np.empty(exact.shape, np.int32)
        for found, row in zip(values, exact, strict=True):  # one by one, since copies take more memory than is there
            found[:] = row.round().clip(self.least, self.most)
            if self.ends is not None:
                _move_out(found, row, self.ends, (self.least, self.most))
        unseen = _enlarged(padding, values)
        values[unseen] = _enlarged(stored, values)[unseen]
        return values


def _move_out(
    found: npt.NDArray[np.int32], exact: npt.NDArray[np.float32], ends: tuple[int, int], limits: tuple[int, int]
) -> None:
    """Move what of `found` lies between `ends` to the nearer value outside of them that is within `limits`."""
    below, above = ends[0] - 1, ends[1] + 1
    inside = (found > below) & (found < above)
    if inside.any():
        nearer_below = exact[inside] - below <= above - exact[inside]
        nearer_below = (nearer_below | (above > limits[1])) & (below >= limits[0])
        found[inside] = np.where(nearer_below, below, above)


def _enlarged(pixels: npt.NDArray[Any], like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return `pixels` (H, W), each repeated, in the shape of `like`."""
    scale = like.shape[0] // pixels.shape[0]
    return pixels if scale == 1 else pixels.repeat(scale, 0).repeat(scale, 1)


def read(path: Path, bits: int | None = None, any_modality: bool = False) -> Radiograph:
    """Return the radiograph in the DICOM file `path`, which may lack preamble and file meta header.

    MONOCHROME1 and 2 of 8 to 16 bits, one frame, in every transfer syntax that pydicom can decode with the installed packages;
    of the modalities CR, DX, DR and SC, or, with `any_modality`, of all. `bits` overrides BitsStored.
    Raises Unusable("no radiograph") for another modality, Unusable("damaged") for everything else that cannot be read;
    UserError when stored values exceed `bits`; OSError when the file cannot be opened.
    """
    if not is_dicom(path):
        raise Unusable("damaged", "no DICOM file")
    with path.open("rb") as file, as_unusable(UserError):
        data = bounded(file)
        if not data:
            raise Unusable("damaged", "no element of it can be read")
        if not hasattr(data, "file_meta") or "TransferSyntaxUID" not in data.file_meta:
            data.file_meta = FileMetaDataset()
            data.file_meta.TransferSyntaxUID = found_syntax(data)
        if not any_modality:
            refuse_other_modalities(data)
        check(data)
        stored = stored_values(data, path)
        unseen = padding(data, stored)
        seen = stored[~unseen] if unseen.any() else stored
        low, high = (int(seen.min()), int(seen.max())) if seen.size else (0, 0)
        if bits is not None:
            refuse_beyond(path, bits, int(data.BitsStored), max(2 * high, -2 * low - 1) if data.PixelRepresentation else high)
        shown = display(data, (low, high), bits)
    return Radiograph(data, stored, unseen, shown, bits or int(data.BitsStored))
