"""One radiograph's file in, one enhanced file out."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from cxr.figures.layout import Grey8
from cxr.formats.container import container
from cxr.formats.decode import MAX_PIXELS, Grey, Unusable, as_unusable, opened
from cxr.formats.depth import few, measured
from cxr.formats.dicom.compressed.lossy import loss
from cxr.formats.dicom.deidentify.header import deidentified, refuse_unchecked
from cxr.formats.dicom.deidentify.key import Key
from cxr.formats.dicom.deidentify.look import refuse_other_look
from cxr.formats.dicom.derived import derived, write
from cxr.formats.dicom.geometry import refuse_unknown
from cxr.formats.dicom.header import is_dicom
from cxr.formats.dicom.radiograph import Radiograph
from cxr.formats.dicom.radiograph import read as read_dicom
from cxr.formats.encode import FORMATS, SUFFIXES, encode, format_of
from cxr.formats.read import read
from cxr.foundation.errors import RefusedError, UserError
from cxr.foundation.files import naming, refuse_special
from cxr.result import (
    Enhanced,
    comparison_of,
    description,
    in_8_bits,
    interpolated_name,
    kind_of,
    note_of,
    origin_of,
    refuse_overwriting,
    replaceable,
    shown,
)
from cxr.superres.enhance import enhance, enhance_stored
from cxr.superres.estimation.arrival import Arrival, arrived
from cxr.superres.limits import limit
from cxr.superres.methods import TITLES
from cxr.superres.model import Model

UNTOLD = "without --anonymise, the reason is told"
"""What is said instead of a reason that may quote the header."""
MOST_ROWS = 65_535  # and columns: what DICOM and JPEG can say
MOST_PIXELS = 4 * MAX_PIXELS  # of a result, which takes some 10 bytes a pixel on its way, of DICOM some 14


@dataclass(frozen=True)
class Deidentification:
    """That a result shall not name its patient in header or file name. The picture itself is left as it is."""

    key: Key
    pixels_checked: bool = False
    """Whether somebody has looked that no picture shows a name; else those that may are refused."""


@dataclass(frozen=True)
class _Job:
    """What is to be made of a radiograph's file."""

    source: Path
    target: Path
    model: Model
    scale: int
    bits: int | None
    any_modality: bool
    overwrite: bool
    reference: Path | None
    truth: Grey8 | None
    deidentify: Deidentification | None
    now: datetime | None
    compare: bool
    strength: float
    or_bicubic: bool
    origin: str
    done: Callable[[int, int], object] | None

    def total(self, shape: tuple[int, ...]) -> int:
        """Return how many pixels the result of an image (H, W) has. Raises UserError when there would be too many.

        Also when the reference is of another size.
        """
        total = _pixels(self.source, shape, self.scale)
        _compare_sizes(shape, self.scale, self.truth, self.reference)
        return total

    def telling(self, total: int) -> Callable[[int], object]:
        """Return what is told the pixels of each finished tile."""
        return lambda finished: self.done(finished, total) if self.done else None

    def allowed(self, arrival: Arrival) -> tuple[float, str]:
        """Return how strongly the model may be used on what came in, at most as asked for, and what to say of it.

        Raises RefusedError when it may not be used, unless it may be interpolated instead.
        """
        if not self.strength:
            return 0.0, f"{arrival.told}; interpolated, not enhanced"
        found = limit(self.model, self.scale, arrival)
        unknown = found.unknown(arrival, TITLES[self.model.name])
        if found.cap >= self.strength:
            return self.strength, arrival.told + unknown
        if found.cap:
            return found.cap, f"{arrival.told}; strength {found.cap:g}, for at more {found.why}{unknown}"
        if self.or_bicubic:
            return 0.0, f"{arrival.told}; {found.why}; interpolated, not enhanced"
        older = f"; {self.target} is of an earlier run" if self.target.is_file() and not self.deidentify else ""
        raise RefusedError(f"{self.source}: {arrival.told}; {found.why}; not enhanced (--or-bicubic interpolates it){older}")

    def settled(self, target: Path, allowed: float = 1.0) -> Path:
        """Return where a result goes that was to go to `target`. Raises UserError when something would be lost there."""
        target = target if allowed or not self.strength else interpolated_name(target)
        for written in (target, comparison_of(target)) if self.compare else (target,):
            _refuse_loss(written, (self.source, self.reference, self.model.path), self.overwrite, self.origin)
        return target

    def note(self, allowed: float) -> str:
        """Return what the result says of itself."""
        return note_of(description(self.model, self.scale, allowed), self.origin)


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
    strength: float = 1.0,
    or_bicubic: bool = False,
) -> Enhanced:
    """Write the radiograph `source`, enlarged by `scale`, to `target`, whole or not at all; of the same kind and depth.

    JPEG, PNG, TIFF and BMP of 8 and 16 bits, and DICOM, of which the result is a derived image; read by content, written by
    suffix, or, where that is of no picture, as the source is. Values keep their range, such as 0 to 4,095, and the picture its
    printed size. A note in the file says what was done, that it is for research, and from what it is (`origin_of`).
    Of what `model` would change, the share `strength` is changed, from 0 to 1, and no more than was measured to do no harm to
    what came in (`cxr.superres.limits`). Where nothing may be changed, nothing is written; with `or_bicubic` it is enlarged by
    bicubic interpolation, which its note and its name say (`interpolated_name`).
    `bits` overrides the depth that is found, `any_modality` takes DICOM images that are no radiographs. `done` is told the
    pixels of each finished tile, and of the whole. `overwrite` allows to replace a file other than such a result of the same
    origin. `reference` is what the result should be; it is read, and its size compared, before anything is written. `now` is
    the time that a DICOM result says it was made at. `compare` minds the place of a comparison (`comparison_of`), too.
    With `deidentify`, the header of a DICOM result holds nothing that can name the patient, and no time. Where `target` is then
    a folder that is there, the result in it is named by its new UID, or that of a picture by a hash.
    Raises UserError when `target` is what is read, or is there already, when the result would be of another kind or too large,
    when values exceed `bits`, when `model` was not trained for `scale`, when `strength` is none, or when `reference` cannot be
    read or is of another size; RefusedError when nothing may be changed; Unusable when `source` cannot be read, or may show a
    name; OSError when a file cannot be opened or written.
    """
    if not 0 <= strength <= 1:
        raise UserError(f"the strength is {strength:g}; give one from 0 to 1")
    origin = origin_of(source, model, scale, bits, deidentify.key if deidentify else None, strength)
    truth = None if reference is None else _read_reference(reference, hidden=bool(deidentify))
    job = _Job(
        *(source, target, model, scale, bits, any_modality, overwrite, reference, truth),
        *(deidentify, now, compare, strength, or_bicubic, origin, done),
    )
    if not (deidentify and target.is_dir()):
        job.settled(target)
    with naming(source):
        dicom = is_dicom(source)
    return _of_dicom(job) if dicom else _of_picture(job)


def _of_dicom(job: _Job) -> Enhanced:
    source, target, model, scale = job.source, job.target, job.model, job.scale
    if kind_of(target) not in {"DICOM", ""}:
        raise UserError(f"{target}: the source is DICOM and keeps its kind; name a result that ends in .dcm")
    with naming(source):
        radiograph = read_dicom(source, job.bits, job.any_modality)
    with as_unusable():
        refuse_unknown(radiograph.data)
    tell = job.telling(job.total(radiograph.stored.shape))
    named, actions = radiograph, None
    if job.deidentify:
        named, actions = _without_names(radiograph, job.deidentify)
    seen = radiograph.levels()
    arrival = arrived(seen, *loss(radiograph.data))
    allowed, told = job.allowed(arrival)
    note, maker = job.note(allowed), f"{model.digest} x{scale}" + ("" if allowed == 1 else f" {allowed:g}")
    seen_as = radiograph.image(), scale, radiograph.display
    values = radiograph.values(enhance_stored(model, *seen_as, tell, allowed, arrival.for_network))
    made = derived(named, values, scale, note, maker, None if job.deidentify else job.now)
    if job.deidentify and target.is_dir():
        target /= f"{made.SOPInstanceUID}.dcm"
    target = job.settled(target, allowed)
    write(target, made)
    remarks = *radiograph.remarks, *few(radiograph.pixels()), told
    result = radiograph.levels(values)
    return Enhanced(model, scale, seen, result, 1, target, note, remarks, job.truth, actions, arrival, allowed)


def _of_picture(job: _Job) -> Enhanced:
    source, target, model, scale, deidentify = job.source, job.target, job.model, job.scale, job.deidentify
    with naming(source):
        stored, file, content = opened(source), container(source), source.read_bytes() if deidentify else b""
    if kind_of(target) == "DICOM":
        name = source.suffix.lower() if source.suffix.lower() in FORMATS else ".png"
        raise UserError(f"{target}: the source is no DICOM and keeps its kind; name a result that ends in {name}")
    if deidentify and not deidentify.pixels_checked:
        raise Unusable("no radiograph", "a picture may show the patient's name; look at it, and give --pixels-checked if not")
    if deidentify and target.is_dir():
        target /= f"{deidentify.key.name(content)}{SUFFIXES.get(file.kind, '')}"
        job.settled(target)
    kind = format_of(target, file.kind)
    found = measured(stored, source, job.bits)
    tell = job.telling(job.total(found.levels.shape))
    depth = found.bits + found.shift
    levels: Any = found.levels  # of either dtype
    white = (1 << depth) - 1
    arrival = arrived(shown(levels, white), np.array(file.steps).reshape(8, 8) if file.steps else None)
    allowed, told = job.allowed(arrival)
    result: Grey = enhance(model, levels, scale, tell, depth, allowed, arrival.for_network)
    target, note = job.settled(target, allowed), job.note(allowed)
    encode(target, result, note, depth, kind, file.density and file.density.times(scale))
    remarks = *found.remarks, told
    return Enhanced(model, scale, levels, result, white, target, note, remarks, job.truth, None, arrival, allowed)


def _refuse_loss(target: Path, read: Sequence[Path | None], overwrite: bool, origin: str) -> None:
    """Raise UserError when something is lost as `target` is written, and, if it is none of what is `read`, not `overwrite`."""
    for path in read:
        if path is not None:
            refuse_overwriting(path, target)
    if not (overwrite or replaceable(target, origin)):
        raise UserError(f"{target} is there already, and not the result of this; name another output, or allow to overwrite it")


def _without_names(radiograph: Radiograph, wanted: Deidentification) -> tuple[Radiograph, Counter[str]]:
    with as_unusable():
        if not wanted.pixels_checked:
            refuse_unchecked(radiograph.data)
        data, actions = deidentified(radiograph.data, wanted.key)
        refuse_other_look(radiograph, data)
    return replace(radiograph, data=data), actions


def _read_reference(path: Path, hidden: bool) -> Grey8:
    """Return the radiograph `path` in 8 bits.

    Raises UserError, by its name, when it cannot be read, and, if `hidden`, without what the file itself says.
    """
    refuse_special(path)
    try:
        with naming(path):
            found, bits, _ = read(path, any_modality=True)
    except Unusable as error:
        reason = f"{error.kind}; {UNTOLD}" if hidden and error.quotes else str(error)
        raise UserError(f"{path}: {reason}") from None
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path} is no file; name a reference") from None
    return in_8_bits(found, (1 << bits) - 1)


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
