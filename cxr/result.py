"""What has been made of a radiograph: the result, what it says of itself, and where it may be written."""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cxr.figures.layout import DISCLAIMER, Grey8, pixels
from cxr.figures.panels import comparison
from cxr.formats.dicom.deidentify.key import Key
from cxr.formats.dicom.derived import DICOM_SUFFIXES
from cxr.formats.encode import FORMATS, encode
from cxr.formats.note import note_in
from cxr.foundation.errors import UserError
from cxr.foundation.files import naming, refuse_special
from cxr.measures.quality import psnr, ssim
from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.estimation.arrival import Arrival
from cxr.superres.methods import BICUBIC, TITLES
from cxr.superres.model import Model

INTERPOLATED = "_interpolated"
"""Ends the name of a result that is asked to be enhanced, and is not."""


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
    note: str
    """What that file says of itself."""
    remarks: tuple[str, ...] = ()
    """What the user should know of the file, a line each."""
    truth: Grey8 | None = None
    """What the result should be, if that was given."""
    actions: Counter[str] | None = None
    """How many elements of a de-identified header met which action."""
    arrival: Arrival | None = None
    """What was known of the radiograph before."""
    strength: float = 1.0
    """How much of what the network would change is changed: 0 for bicubic interpolation, 1 for all."""

    def both(self) -> dict[str, Grey8]:
        """Return by method what a reader sees of bicubic interpolation and of the result: (H * scale, W * scale)."""
        low = torch.from_numpy(shown(self.image, self.white))[None, None]
        return {BICUBIC: in_8_bits(enlarge(low, self.scale)[0, 0].numpy()), self.model.name: in_8_bits(self.result, self.white)}

    def compare(self, path: Path, title: str) -> None:
        """Draw both side by side, and where they differ, into the PNG `path`, with the note of the result."""
        bicubic, enhanced = self.both().values()
        method = self.model.name if self.strength else BICUBIC
        encode(path, pixels(comparison(bicubic, enhanced, method, title.replace("$", r"\$"))), self.note, kind="PNG")

    def quality(self) -> dict[str, tuple[float, float]]:
        """Return by method the PSNR in dB and the SSIM against the reference, or nothing where none was given."""
        if self.truth is None:
            return {}
        truth = torch.from_numpy(self.truth)[None, None]
        found = {}
        for name, image in self.both().items():
            if name != BICUBIC and not self.strength:  # the result is the other one
                continue
            first = torch.from_numpy(image)[None, None]
            found[name] = psnr(first, truth, self.scale).item(), ssim(first, truth, self.scale).item()
        return found


def kind_of(path: Path) -> str:
    """Return what the suffix of `path` says that it is: DICOM, JPEG, PNG, TIFF, or nothing."""
    return "DICOM" if path.suffix.lower() in DICOM_SUFFIXES else FORMATS.get(path.suffix.lower(), "")


def description(model: Model, scale: int, strength: float = 1.0) -> str:
    """Return what is done to a radiograph, in words."""
    if not strength:
        return f"interpolated x{scale}, not enhanced"
    by = f"enhanced x{scale} by {TITLES[model.name]} (model {model.digest})"
    return by if strength == 1 else f"{by} at strength {strength:g}"


def origin_of(
    source: Path, model: Model, scale: int, bits: int | None = None, key: Key | None = None, strength: float = 1.0
) -> str:
    """Return what a result says of where it is from: by a hash from which file and settings it is.

    The hash is of the bytes of `source`, the model and the settings: equal ones give equal hashes, which tell nothing of them.
    With a `key`, whoever has `source` and not the key cannot tell that the result is of it.
    Raises UserError when `source` is a pipe, a socket or a device; OSError when it cannot be read.
    """
    refuse_special(source)
    with naming(source), source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(f"{model.digest} x{scale} {bits}{'' if strength == 1 else f' {strength:g}'}".encode())
    return f"Made from {(key.name(digest.digest()) if key else digest.hexdigest())[:16]}."


def note_of(what: str, origin: str) -> str:
    """Return what a result says of itself: what was done, what it is for, and where it is from."""
    return f"{what[0].upper()}{what[1:]}, chest-xray-superres. {DISCLAIMER} {origin}"


def interpolated_name(target: Path) -> Path:
    """Return what a result is called that was to be `target`, and is interpolated instead."""
    return target.with_name(f"{target.stem}{INTERPOLATED}{target.suffix}")


def comparison_of(target: Path) -> Path:
    """Return where the picture goes that compares the result in `target` with bicubic interpolation."""
    return target.with_name(f"{target.name}.compare.png")


def refuse_overwriting(source: Path, target: Path) -> None:
    """Raise UserError when `target` is the file `source`, by whatever name, or no place for a file."""
    refuse_special(target)
    if target.is_dir():
        raise UserError(f"{target} is a folder; name another output")
    if target.exists() and target.samefile(source):
        raise UserError(f"{source} would be overwritten; name another output")


def replaceable(target: Path, origin: str) -> bool:
    """Tell whether nothing is lost when `target` is written anew: it is missing, or a result of this `origin`."""
    if not os.path.lexists(target):
        return True
    try:
        return origin in note_in(target)
    except OSError:  # such as of a link that leads nowhere
        return False


def shown(image: npt.NDArray[Any], white: int) -> npt.NDArray[np.float32]:
    """Return `image` as float32 in [0, 1], without what is darker than black or brighter than white."""
    return (image.astype(np.float32) / np.float32(white)).clip(0, 1)


def in_8_bits(image: npt.NDArray[Any], white: int = 1) -> Grey8:
    """Return `image` in 8 bits, as a reader sees it."""
    return (shown(image, white) * 255).round().astype(np.uint8)
