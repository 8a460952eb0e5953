"""One radiograph's file in, one enhanced file out."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cxr.figures.layout import DISCLAIMER, Grey8, pixels
from cxr.figures.panels import comparison
from cxr.formats.container import container
from cxr.formats.decode import MAX_PIXELS, Grey, Unusable, as_unusable, opened
from cxr.formats.depth import few, measured
from cxr.formats.dicom.deidentify.header import deidentified, refuse_unchecked
from cxr.formats.dicom.deidentify.key import Key
from cxr.formats.dicom.deidentify.look import refuse_other_look
from cxr.formats.dicom.derived import DICOM_SUFFIXES, derived, write
from cxr.formats.dicom.geometry import refuse_unknown
from cxr.formats.dicom.header import is_dicom
from cxr.formats.dicom.radiograph import Radiograph
from cxr.formats.dicom.radiograph import read as read_dicom
from cxr.formats.encode import FORMATS, SUFFIXES, encode, format_of
from cxr.formats.note import note_in
from cxr.formats.read import read
from cxr.foundation.errors import UserError
from cxr.foundation.files import naming, refuse_special
from cxr.measures.quality import psnr, ssim
from cxr.superres.degradation import enlarge
from cxr.superres.enhance import enhance, enhance_stored
from cxr.superres.methods import BICUBIC, TITLES
from cxr.superres.model import Model

MOST_ROWS = 65_535  # and columns: what DICOM and JPEG can say
MOST_PIXELS = 4 * MAX_PIXELS  # of a result, which takes some 10 bytes a pixel on its way, of DICOM some 14


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
    note: str
    """What that file says of itself."""
    remarks: tuple[str, ...] = ()
    """What the user should know of the file, a line each."""
    truth: Grey8 | None = None
    """What the result should be, if that was given."""
    actions: Counter[str] | None = None
    """How many elements of a de-identified header met which action."""

    def in_8_bits(self) -> dict[str, Grey8]:
        """Return by method what a reader sees of bicubic interpolation and of the result: (H * scale, W * scale)."""
        low = torch.from_numpy(_shown(self.image, self.white))[None, None]
        return {BICUBIC: _levels(enlarge(low, self.scale)[0, 0].numpy()), self.model.name: _levels(self.result, self.white)}

    def compare(self, path: Path, title: str) -> None:
        """Draw both side by side, and where they differ, into the PNG `path`, with the note of the result."""
        bicubic, enhanced = self.in_8_bits().values()
        encode(path, pixels(comparison(bicubic, enhanced, self.model.name, title.replace("$", r"\$"))), self.note, kind="PNG")

    def quality(self) -> dict[str, tuple[float, float]]:
        """Return by method the PSNR in dB and the SSIM against the reference, or nothing where none was given."""
        if self.truth is None:
            return {}
        truth = torch.from_numpy(self.truth)[None, None]
        found = {}
        for name, image in self.in_8_bits().items():
            first = torch.from_numpy(image)[None, None]
            found[name] = psnr(first, truth, self.scale).item(), ssim(first, truth, self.scale).item()
        return found


def kind_of(path: Path) -> str:
    """Return what the suffix of `path` says that it is: DICOM, JPEG, PNG, TIFF, or nothing."""
    return "DICOM" if path.suffix.lower() in DICOM_SUFFIXES else FORMATS.get(path.suffix.lower(), "")


def description(model: Model, scale: int) -> str:
    """Return what is done to a radiograph, in words."""
    return f"enhanced x{scale} by {TITLES[model.name]} (model {model.digest})"


def note_for(source: Path, model: Model, scale: int, bits: int | None = None, key: Key | None = None) -> str:
    """Return what a result says of itself: what was done, what it is for, and by a hash from which file and settings it is.

    The hash is of the bytes of `source`, the model and the settings: equal ones give equal notes, and it tells nothing of them.
    With a `key`, whoever has `source` and not the key cannot tell that the result is of it.
    Raises UserError when `source` is a pipe, a socket or a device; OSError when it cannot be read.
    """
    refuse_special(source)
    with naming(source), source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(f"{model.digest} x{scale} {bits}".encode())
    what = description(model, scale)
    origin = f"Made from {(key.name(digest.digest()) if key else digest.hexdigest())[:16]}."
    return f"{what[0].upper()}{what[1:]}, chest-xray-superres. {DISCLAIMER} {origin}"


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


def replaceable(target: Path, note: str) -> bool:
    """Tell whether nothing is lost when `target` is written anew: it is missing, or a result with this `note`."""
    if not os.path.lexists(target):
        return True
    try:
        return note in note_in(target)
    except OSError:  # such as of a link that leads nowhere
        return False


def _refuse_loss(target: Path, read: Sequence[Path | None], overwrite: bool, note: str) -> None:
    """Raise UserError when something is lost as `target` is written, and, if it is none of what is `read`, not `overwrite`."""
    for path in read:
        if path is not None:
            refuse_overwriting(path, target)
    if not (overwrite or replaceable(target, note)):
        raise UserError(f"{target} is there already, and not the result of this; name another output, or allow to overwrite it")


def enhance_file(
    source: Path,
    target: Path,
    model: Model,
    scale: int = 2,
    done: Callable[[int, int], object] | None = None,
    bits: int | None = None,
    any_modality: bool = False,
    overwrite: bool = False,
    reference: Path | None = None,
    deidentify: Deidentification | None = None,
    now: datetime | None = None,
    compare: bool = False,
) -> Enhanced:
    """Write the radiograph `source`, enlarged by `scale`, to `target`, whole or not at all; of the same kind and depth.

    JPEG, PNG, TIFF and BMP of 8 and 16 bits, and DICOM, of which the result is a derived image; read by content, written by
    suffix, or, where that is of no picture, as the source is. Values keep their range, such as 0 to 4,095, and the picture its
    printed size. A note in the file says what was done, and that it is for research (`note_for`).
    `bits` overrides the depth that is found, `any_modality` takes DICOM images that are no radiographs. `done` is told the
    pixels of each finished tile, and of the whole. `overwrite` allows to replace a file other than such a result with the same
    note. `reference` is what the result should be; it is read, and its size compared, before anything is written. `now` is the
    time that a DICOM result says it was made at. `compare` looks at the place of a comparison (`comparison_of`) as at `target`.
    With `deidentify`, the header of a DICOM result holds nothing that can name the patient, and no time. Where `target` is then
    a folder that is there, the result in it is named by its new UID, or that of a picture by a hash.
    Raises UserError when `target` is `source` or `reference`, or is there already, when the result would be of another kind or
    too large, when values exceed `bits`, when `model` was not trained for `scale`, or when `reference` cannot be read or is of
    another size; Unusable when `source` cannot be read, or may show the patient's name; OSError when a file cannot be opened or
    written.
    """
    note = note_for(source, model, scale, bits, deidentify.key if deidentify else None)
    truth = None if reference is None else _read_reference(reference)

    def settled(target: Path) -> Path:
        for written in (target, comparison_of(target)) if compare else (target,):
            _refuse_loss(written, (source, reference), overwrite, note)
        return target

    if not (deidentify and target.is_dir()):
        settled(target)

    def tell(finished: int) -> None:
        if done:
            done(finished, total)

    with naming(source):
        dicom = is_dicom(source)
    if dicom:
        if kind_of(target) not in {"DICOM", ""}:
            raise UserError(f"{target}: the source is DICOM and keeps its kind; name a result that ends in .dcm")
        with naming(source):
            radiograph = read_dicom(source, bits, any_modality)
        with as_unusable():
            refuse_unknown(radiograph.data)
        total = _pixels(source, radiograph.stored.shape, scale)
        _compare_sizes(radiograph.stored.shape, scale, truth, reference)
        shown, actions = radiograph, None
        if deidentify:
            shown, actions = _without_names(radiograph, deidentify)
        values = radiograph.values(enhance_stored(model, radiograph.image(), scale, radiograph.display, tell))
        made = derived(shown, values, scale, note, f"{model.digest} x{scale}", None if deidentify else now)
        if deidentify and target.is_dir():
            target = settled(target / f"{made.SOPInstanceUID}.dcm")
        write(target, made)
        remarks = *radiograph.remarks, *few(radiograph.pixels())
        return Enhanced(
            *(model, scale, radiograph.levels(), radiograph.levels(values), 1, target),
            *(note, remarks, truth, actions),
        )
    with naming(source):
        stored, file, content = opened(source), container(source), source.read_bytes() if deidentify else b""
    if kind_of(target) == "DICOM":
        name = source.suffix.lower() if source.suffix.lower() in FORMATS else ".png"
        raise UserError(f"{target}: the source is no DICOM and keeps its kind; name a result that ends in {name}")
    if deidentify and not deidentify.pixels_checked:
        raise Unusable("no radiograph", "a picture may show the patient's name; look at it, and give --pixels-checked if not")
    if deidentify and target.is_dir():
        target = settled(target / f"{deidentify.key.name(content)}{SUFFIXES.get(file.kind, '')}")
    kind = format_of(target, file.kind)
    found = measured(stored, source, bits)
    total = _pixels(source, found.levels.shape, scale)
    _compare_sizes(found.levels.shape, scale, truth, reference)
    depth = found.bits + found.shift
    levels: Any = found.levels  # of either dtype
    result: Grey = enhance(model, levels, scale, tell, depth)
    encode(target, result, note, depth, kind, file.density and file.density.times(scale))
    return Enhanced(model, scale, found.levels, result, (1 << depth) - 1, target, note, found.remarks, truth)


def _without_names(radiograph: Radiograph, wanted: Deidentification) -> tuple[Radiograph, Counter[str]]:
    with as_unusable():
        if not wanted.pixels_checked:
            refuse_unchecked(radiograph.data)
        data, actions = deidentified(radiograph.data, wanted.key)
        refuse_other_look(radiograph, data)
    return replace(radiograph, data=data), actions


def _read_reference(path: Path) -> Grey8:
    """Return the radiograph `path` in 8 bits. Raises UserError, by its name, when it cannot be read."""
    refuse_special(path)
    try:
        with naming(path):
            found, bits, _ = read(path, any_modality=True)
    except Unusable as error:
        raise UserError(f"{path}: {error}") from None
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path} is no file; name a reference") from None
    return _levels(found, (1 << bits) - 1)


def _compare_sizes(shape: tuple[int, ...], scale: int, truth: Grey8 | None, reference: Path | None) -> None:
    """Raise UserError when the result of an image (H, W) is not of the size of `truth`, which `reference` holds."""
    size = tuple(length * scale for length in shape)
    if truth is not None and truth.shape != size:
        raise UserError(f"{reference} has {truth.shape} rows and columns, the result {size}; give one of equal size")


def _pixels(source: Path, shape: tuple[int, ...], scale: int) -> int:
    """Return how many pixels the result of an image (H, W) has. Raises UserError when they are too many."""
    count = shape[0] * shape[1] * scale**2
    if max(shape) * scale > MOST_ROWS:
        most = f"{max(shape) * scale:,} rows or columns, more than {MOST_ROWS:,}"
        raise UserError(f"{source}: would have {most}; use a smaller scale")
    if count > MOST_PIXELS:
        raise UserError(f"{source}: would have {count:,} pixels, more than {MOST_PIXELS:,}; use a smaller scale")
    return count


def _shown(image: npt.NDArray[Any], white: int) -> npt.NDArray[np.float32]:
    """Return `image` as float32 in [0, 1], without what is darker than black or brighter than white."""
    return (image.astype(np.float32) / np.float32(white)).clip(0, 1)


def _levels(image: npt.NDArray[Any], white: int = 1) -> Grey8:
    """Return `image` in 8 bits, as a reader sees it."""
    return (_shown(image, white) * 255).round().astype(np.uint8)
