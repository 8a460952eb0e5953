"""One radiograph's file in, one enhanced file out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cxr.figures.layout import DISCLAIMER, Grey8, save
from cxr.figures.panels import comparison
from cxr.formats.decode import MAX_PIXELS, Grey, Unusable, as_unusable, opened
from cxr.formats.depth import few, measured
from cxr.formats.dicom.deidentify.header import deidentified, refuse_unchecked
from cxr.formats.dicom.deidentify.key import Key
from cxr.formats.dicom.derived import DICOM_SUFFIXES, derived, write
from cxr.formats.dicom.geometry import refuse_unknown
from cxr.formats.dicom.header import is_dicom
from cxr.formats.dicom.radiograph import Radiograph
from cxr.formats.dicom.radiograph import read as read_dicom
from cxr.formats.encode import FORMATS, encode, refuse
from cxr.formats.read import read
from cxr.foundation.errors import UserError
from cxr.measures.quality import psnr, ssim
from cxr.superres.degradation import enlarge
from cxr.superres.methods import BICUBIC, TITLES
from cxr.superres.model import Model, enhance, enhance_stored

MOST_PIXELS = 4 * MAX_PIXELS  # of a result, which takes some twelve bytes a pixel on its way


@dataclass(frozen=True)
class Deidentification:
    """That a result shall not name its patient in header or file name. The picture itself is left as it is."""

    key: Key
    pixels_checked: bool = False
    """Whether somebody has looked that no picture shows a name; else those that may are refused."""


@dataclass(frozen=True)
class Enhanced:
    """A radiograph and what has been made of it."""

    model: Model
    scale: int
    image: npt.NDArray[Any]
    """The radiograph (H, W): its levels, uint8 or uint16, or of DICOM what is seen, float32."""
    result: npt.NDArray[Any]
    """(H * scale, W * scale), of the same kind."""
    white: int
    """The level that is shown as white; 0 is black."""
    path: Path
    """The file that the result is in."""
    remarks: tuple[str, ...] = ()
    """What the user should know of the file, a line each."""
    actions: Counter[str] | None = None
    """How many elements of a de-identified header met which action."""

    def in_8_bits(self) -> dict[str, Grey8]:
        """Return by method what a reader sees of bicubic interpolation and of the result: (H * scale, W * scale)."""
        low = torch.from_numpy(_shown(self.image, self.white))[None, None]
        return {BICUBIC: _levels(enlarge(low, self.scale)[0, 0].numpy()), self.model.name: _levels(self.result, self.white)}

    def compare(self, path: Path, title: str) -> None:
        """Draw both side by side, and where they differ, into the PNG `path`."""
        bicubic, enhanced = self.in_8_bits().values()
        save(comparison(bicubic, enhanced, self.model.name, title), path)

    def quality(self, reference: Path) -> dict[str, tuple[float, float]]:
        """Return by method the PSNR in dB and the SSIM against the radiograph `reference`.

        Raises UserError when that is of another size; Unusable when it cannot be read.
        """
        pixels, bits, _ = read(reference, any_modality=True)
        truth = _levels(pixels, (1 << bits) - 1)
        found = {}
        for name, image in self.in_8_bits().items():
            if image.shape != truth.shape:
                sizes = f"{truth.shape} rows and columns, the result {image.shape}"
                raise UserError(f"{reference} has {sizes}; give one of equal size")
            first, second = (torch.from_numpy(each)[None, None] for each in (image, truth))
            found[name] = psnr(first, second, self.scale).item(), ssim(first, second, self.scale).item()
        return found


def kind_of(path: Path) -> str:
    """Return what the suffix of `path` says that it is: DICOM, JPEG, PNG, TIFF, or nothing."""
    return "DICOM" if path.suffix.lower() in DICOM_SUFFIXES else FORMATS.get(path.suffix.lower(), "")


def description(model: Model, scale: int) -> str:
    """Return what is done to a radiograph, in words."""
    return f"enhanced x{scale} by {TITLES[model.name]} (model {model.digest})"


def refuse_overwriting(source: Path, target: Path) -> None:
    """Raise UserError when `target` is the file `source`, by whatever name."""
    if target.exists() and target.samefile(source):
        raise UserError(f"{source} would be overwritten; name another output")


def enhance_file(
    source: Path,
    target: Path,
    model: Model,
    scale: int = 2,
    done: Callable[[int, int], object] | None = None,
    bits: int | None = None,
    any_modality: bool = False,
    deidentify: Deidentification | None = None,
    now: datetime | None = None,
) -> Enhanced:
    """Write the radiograph `source`, enlarged by `scale`, to `target`, whole or not at all; of the same kind and depth.

    JPEG, PNG, TIFF and BMP of 8 and 16 bits, and DICOM, of which the result is a derived image; read by content, written by
    suffix. Values keep their range, such as 0 to 4,095. A note in the file says what was done, and that it is for research.
    `bits` overrides the depth that is found, `any_modality` takes DICOM images that are no radiographs. `done` is told the
    pixels of each finished tile, and of the whole. `now` is the time that a DICOM result says it was made at.
    With `deidentify`, a result of DICOM has a header without what can name the patient, and no time; where `target` is a
    folder, the result is named by its new UID, or of a picture by a hash, and `target` is a folder unless its suffix says else.
    Raises UserError when `target` is `source`, when the result would be of another kind or too large, when values exceed
    `bits`, or when `model` was not trained for `scale`;
    Unusable when `source` cannot be read, or may show the patient's name; OSError when a file cannot be opened or written.
    """
    refuse_overwriting(source, target)
    what = description(model, scale)
    note = f"{what[0].upper()}{what[1:]}, chest-xray-superres. {DISCLAIMER}"

    def tell(pixels: int) -> None:
        if done:
            done(pixels, total)

    if is_dicom(source):
        if kind_of(target) not in {"DICOM", ""}:
            raise UserError(f"{target}: {source} is DICOM and keeps its kind; name a result that ends in .dcm")
        radiograph = read_dicom(source, bits, any_modality)
        refuse_unknown(radiograph.data)
        total = _pixels(source, radiograph.stored.shape, scale)
        shown, actions = radiograph, None
        if deidentify:
            shown, actions = _without_names(radiograph, deidentify)
        values = radiograph.values(enhance_stored(model, radiograph.image(), scale, radiograph.display, tell))
        made = derived(shown, values, scale, note, f"{model.digest} x{scale}", None if deidentify else now)
        if deidentify and target.is_dir():
            target /= f"{made.SOPInstanceUID}.dcm"
        write(target, made)
        remarks = *radiograph.remarks, *few(radiograph.pixels())
        return Enhanced(model, scale, radiograph.levels(), radiograph.levels(values), 1, target, remarks, actions)
    found = measured(opened(source), source, bits)
    if kind_of(target) == "DICOM":
        kind = source.suffix.lower() if source.suffix.lower() in FORMATS else ".png"
        raise UserError(f"{target}: {source} is no DICOM and keeps its kind; name a result that ends in {kind}")
    if deidentify and not deidentify.pixels_checked:
        raise Unusable("no radiograph", "a picture may show the patient's name; look at it, and give --pixels-checked if not")
    if deidentify and target.is_dir():
        target /= f"{deidentify.key.name(source.read_bytes())}{source.suffix.lower()}"
    refuse(target)
    total = _pixels(source, found.levels.shape, scale)
    depth = found.bits + found.shift
    levels: Any = found.levels  # of either dtype
    result: Grey = enhance(model, levels, scale, tell, depth)
    encode(target, result, note, depth)
    return Enhanced(model, scale, found.levels, result, (1 << depth) - 1, target, found.remarks)


def _without_names(radiograph: Radiograph, wanted: Deidentification) -> tuple[Radiograph, Counter[str]]:
    with as_unusable():
        if not wanted.pixels_checked:
            refuse_unchecked(radiograph.data)
        data, actions = deidentified(radiograph.data, wanted.key)
    return replace(radiograph, data=data), actions


def _pixels(source: Path, shape: tuple[int, ...], scale: int) -> int:
    """Return how many pixels the result of an image (H, W) has. Raises UserError when they are too many."""
    pixels = shape[0] * shape[1] * scale**2
    if pixels > MOST_PIXELS:
        raise UserError(f"{source}: would have {pixels:,} pixels, more than {MOST_PIXELS:,}; use a smaller scale")
    return pixels


def _shown(image: npt.NDArray[Any], white: int) -> npt.NDArray[np.float32]:
    """Return `image` as float32 in [0, 1], without what is darker than black or brighter than white."""
    return (image.astype(np.float32) / np.float32(white)).clip(0, 1)


def _levels(image: npt.NDArray[Any], white: int = 1) -> Grey8:
    """Return `image` in 8 bits, as a reader sees it."""
    return (_shown(image, white) * 255).round().astype(np.uint8)
