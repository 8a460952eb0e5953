"""One radiograph's file in, one enhanced file out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cxr.figures.layout import DISCLAIMER, Grey8, save
from cxr.figures.panels import comparison
from cxr.formats import dicom
from cxr.formats.decode import MAX_PIXELS, decode
from cxr.formats.encode import FORMATS, encode
from cxr.foundation.errors import UserError
from cxr.measures.quality import psnr, ssim
from cxr.superres.degradation import enlarge
from cxr.superres.methods import BICUBIC, TITLES
from cxr.superres.model import Model, enhance, enhance_unclipped

MOST_PIXELS = 4 * MAX_PIXELS  # of a result, which takes some twelve bytes a pixel on its way


@dataclass(frozen=True)
class Enhanced:
    """A radiograph and what has been made of it."""

    model: Model
    scale: int
    image: npt.NDArray[Any]
    """The grey levels (H, W) that were read, as `read` returns them."""
    result: npt.NDArray[Any]
    """(H * scale, W * scale), of the same kind."""

    def in_8_bits(self) -> dict[str, Grey8]:
        """Return by method what a reader sees of bicubic interpolation and of the result: (H * scale, W * scale)."""
        low = torch.from_numpy(_shown(self.image))[None, None]
        return {BICUBIC: _levels(enlarge(low, self.scale)[0, 0].numpy()), self.model.name: _levels(self.result)}

    def compare(self, path: Path, title: str) -> None:
        """Draw both side by side, and where they differ, into the PNG `path`."""
        bicubic, enhanced = self.in_8_bits().values()
        save(comparison(bicubic, enhanced, self.model.name, title), path)

    def quality(self, reference: Path) -> dict[str, tuple[float, float]]:
        """Return by method the PSNR in dB and the SSIM against the radiograph `reference`.

        Raises UserError when that is of another size; Unusable when it cannot be read.
        """
        truth = _levels(read(reference)[0])
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
    return "DICOM" if path.suffix.lower() in dicom.DICOM_SUFFIXES else FORMATS.get(path.suffix.lower(), "")


def read(path: Path) -> tuple[npt.NDArray[Any], dicom.Radiograph | None]:
    """Return the grey levels (H, W) of a radiograph, and, of a DICOM file, all that it holds.

    Of DICOM float32, 0 shown as black and 1 as white, with what lies beyond; else uint8 or uint16.
    Raises Unusable when it cannot be read; OSError when it cannot be opened.
    """
    radiograph = dicom.read(path) if dicom.looks_like_dicom(path) else None
    return (radiograph.levels() if radiograph else decode(path)), radiograph


def description(model: Model, scale: int) -> str:
    """Return what is done to a radiograph, in words."""
    return f"enhanced x{scale} by {TITLES[model.name]} (model {model.digest})"


def refuse_overwriting(source: Path, target: Path) -> None:
    """Raise UserError when `target` is the file `source`, by whatever name."""
    if target.exists() and target.samefile(source):
        raise UserError(f"{source} would be overwritten; name another output")


def enhance_file(
    source: Path, target: Path, model: Model, scale: int = 2, done: Callable[[int, int], object] | None = None
) -> Enhanced:
    """Write the radiograph `source`, enlarged by `scale`, to `target`, whole or not at all; of the same kind and depth.

    JPEG, PNG and TIFF of 8 and 16 bits, and DICOM, of which the result is a derived image. A note in the file says what was
    done, and that it is for research. `done` is told the pixels of each finished tile, and of the whole.
    Raises UserError when `target` is `source`, when the result would be of another kind or too large, or when `model` was not
    trained for `scale`;
    Unusable when `source` cannot be read; OSError when a file cannot be opened or written.
    """
    refuse_overwriting(source, target)
    image, radiograph = read(source)
    height, width = (int(length) * scale for length in image.shape)
    if height * width > MOST_PIXELS:
        raise UserError(f"{source}: would have {height * width:,} pixels, more than {MOST_PIXELS:,}; use a smaller scale")
    if bool(radiograph) != (kind_of(target) in {"DICOM", ""}):
        raise UserError(f"{target}: {source} keeps its kind; name the result {source.name}")
    what = description(model, scale)
    note = f"{what[0].upper()}{what[1:]}, chest-xray-superres. {DISCLAIMER}"
    tell = (lambda pixels: done(pixels, height * width)) if done else None
    result: npt.NDArray[Any]
    if radiograph:
        result = enhance_unclipped(model, image, scale, tell)
        values = radiograph.values(result)
        dicom.write(target, dicom.derived(radiograph, values, scale, note, f"{model.digest} x{scale}"))
    else:
        result = enhance(model, image, scale, tell)
        encode(target, result, note)
    return Enhanced(model, scale, image, result)


def _shown(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return `image` as float32 in [0, 1], without what is darker than black or brighter than white."""
    white = 1 if image.dtype == np.float32 else np.iinfo(image.dtype).max
    return (image.astype(np.float32) / np.float32(white)).clip(0, 1)


def _levels(image: npt.NDArray[Any]) -> Grey8:
    """Return `image` in 8 bits, as a reader sees it."""
    return (_shown(image) * 255).round().astype(np.uint8)
