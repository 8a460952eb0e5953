"""What a reader sees of stored values: modality LUT, VOI LUT and presentation LUT (DICOM PS3.3, C.11.1, C.11.2, C.11.6)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.formats.decode import Unusable
from cxr.formats.depth import DEPTHS, holding

Curve = npt.NDArray[np.float64]
Levels = npt.NDArray[np.float32]

STEEPEST = 4
"""How many times the stored values of an average grey level one grey level may be: where a curve is nearly flat, as a sigmoid
is towards black and white, what the eye cannot tell apart would move stored values far."""

ABSURD = 1e30
"""No scanner's number is as large, and products of such are beyond float64."""


@dataclass(frozen=True)
class Display:
    """What is seen of each stored value."""

    least: int
    """The stored value of the curve's first entry."""
    curve: Curve
    """By stored value, what is shown: 0 black to 1 white."""
    remarks: tuple[str, ...] = ()

    def shown(self, values: npt.NDArray[Any]) -> Levels:
        """Return what is seen of `values` (H, W), between whole ones interpolated: float32 in [0, 1]."""
        levels = np.empty(values.shape, np.float32)
        stored = np.arange(self.least, self.least + len(self.curve), dtype=np.float64)
        for found, row in zip(levels, values, strict=True):  # one by one, since float64 takes more memory than is there
            found[:] = np.interp(row, stored, self.curve)
        return levels

    def moved(self, values: Levels, before: Levels, after: Levels) -> Levels:
        """Return `values` (H, W), which are shown as `before`, changed in place to be shown as `after`.

        What lies beyond black and white stays beyond it, and what is not changed stays as it is.
        """
        levels, stored = self._inverse()
        sign = -1 if levels[0] > levels[-1] else 1
        span = np.ptp(np.interp([0.1, 0.9], levels[::sign], stored[::sign])) / 0.8
        for row, old, new in zip(values, before, after, strict=True):  # in place, since another takes memory
            start, end = (np.interp(each, levels[::sign], stored[::sign]) for each in (old, new))
            most = STEEPEST * span * np.abs(new - old)
            np.add(row, (end - start).clip(-most, most), out=row)
        return values

    def _inverse(self) -> tuple[Curve, Curve]:
        """Return grey levels in the curve's own direction, all different, and the stored values that they are shown for.

        Of all black and all white stored values those next to the others, of other equal ones the middle.
        """
        sign = 1 if self.curve[-1] >= self.curve[0] else -1
        levels, first, counts = np.unique(np.maximum.accumulate(sign * self.curve), return_index=True, return_counts=True)
        stored = first + (counts - 1) / 2
        stored[0] = first[0] + counts[0] - 1
        stored[-1] = first[-1]
        return sign * levels, stored + self.least


def display(data: Any, seen: tuple[int, int], bits: int | None = None) -> Display:
    """Return how the image of the data set `data` is shown, by the first of its VOI transformations.

    A VOI LUT comes before windows (PS3.3, C.11.2: either may be applied). Where there is neither, or it shows nothing, black
    to white are all values of BitsStored, or of `bits`, whatever the image holds: so the exposures of one detector compare.
    `seen` are the least and the greatest stored value of the image.
    """
    signed, stored_bits = bool(data.PixelRepresentation), int(data.BitsStored)
    least = -(1 << stored_bits - 1) if signed else 0
    stored = np.arange(least, least + (1 << stored_bits), dtype=np.float64)
    place = slice(seen[0] - least, seen[1] - least + 1)
    values, (low, high), unused = _modality(data, stored, seen, bits)
    curve: Curve | None = None
    remarks: tuple[str, ...] = ()
    voi = _voi(data, values)
    if voi is not None:
        curve = voi(values).clip(0, 1)
        if len(np.unique(curve[place])) < min(3, seen[1] - seen[0] + 1):
            curve, remarks = None, ("its window or VOI LUT shows black and white alone, and is left out",)
    if curve is None:
        curve = (values - low) / (high - low)
        remarks += unused
    curve = curve.clip(0, 1)
    # Where both are there, the presentation counts, as dcmtk has it; the standard lets them say the same alone (C.8.11.3).
    shape = _word(data, "PresentationLUTShape")
    if shape == "INVERSE" or (shape != "IDENTITY" and data.PhotometricInterpretation == "MONOCHROME1"):
        curve = 1 - curve
    return Display(least, curve, remarks)


def _modality(
    data: Any, stored: Curve, seen: tuple[int, int], bits: int | None
) -> tuple[Curve, tuple[float, float], tuple[str, ...]]:
    """Return the values of the modality (PS3.3, C.11.1) for the `stored` ones, the ends of their range, and what to say of it.

    The range is what comes of all stored values there can be, or of those that `bits` hold. Of a LUT it is what the bits in its
    descriptor hold, as dcmtk has it, or, of the stored values that `bits` hold, the depth that holds what comes of them.
    """
    most, signed = int(data.BitsStored), stored[0] < 0
    largest = max(2 * seen[1], -2 * seen[0] - 1, 0) if signed else seen[1]
    used, depth = min(holding(largest), most), bits or most
    least = int(stored[0]) >> most - depth
    table = _table(data, "ModalityLUTSequence", signed)
    if table:
        entries, first, white = table
        values = _looked_up(entries, first, stored)
        declared = max(DEPTHS[0], int(white).bit_length())
        reached = min(holding(int(values[least - int(stored[0]) :][: 1 << depth].max())), declared)
        if bits is not None:
            return values, (0.0, (1 << reached) - 1.0), ()
        told = f"its modality LUT uses only {reached} of {declared} bits; --bits {used} shows them so"
        return values, (0.0, (1 << declared) - 1.0), (told,) if reached < declared else ()
    slope, intercept = number(data, "RescaleSlope") or 1.0, number(data, "RescaleIntercept") or 0.0
    low, high = sorted(slope * end + intercept for end in (least, least + (1 << depth) - 1))
    told = f"only {used} of {depth} bits are in use; --bits {used} shows them so"
    values = slope * stored + intercept
    if not np.diff(values).all():
        reason = f"RescaleIntercept {intercept:g} beside RescaleSlope {slope:g}, in which the stored values are lost"
        raise Unusable("damaged", f"{reason}; correct either", quotes=True)
    return values, (low, high), (told,) if used < depth and bits is None else ()


def _voi(data: Any, values: Curve) -> Callable[[Curve], Curve] | None:
    """Return the first VOI transformation of `data`, which gives 0 for black and 1 for white, if it has one."""
    table = _table(data, "VOILUTSequence", values.min() < 0)
    if table:
        entries, first, white = table
        return lambda x: _looked_up(entries, first, x) / white
    centre, width = number(data, "WindowCenter"), number(data, "WindowWidth")
    if centre is None or width is None or width <= 0:
        return None
    match _word(data, "VOILUTFunction"):
        case "SIGMOID":  # C.11.2.1.3.1
            return lambda x: 1 / (1 + np.exp((-4 * (x - centre) / width).clip(-500, 500)))
        case "LINEAR_EXACT":  # C.11.2.1.3.2
            return lambda x: (x - centre) / width + 0.5
        case _:  # C.11.2.1.2.1
            return (
                (lambda x: (x - (centre - 0.5)) / (width - 1) + 0.5)
                if width > 1
                else lambda x: np.heaviside(x - (centre - 0.5), 0)
            )


def _table(data: Any, name: str, negative: bool) -> tuple[Curve, float, float] | None:
    """Return the entries of the first LUT in the sequence `name`, the value of the first, and the greatest it can hold.

    `negative` tells whether values below zero go into it (PS3.3, C.11.1.1 and C.11.2.1.1).
    """
    if not (items := data.get(name)) or not items[0].get("LUTDescriptor") or items[0].get("LUTData") is None:
        return None
    count, first, bits = (int(value) for value in items[0].LUTDescriptor)
    count, first = count % (1 << 16) or 1 << 16, first % (1 << 16)
    if negative and first >= 1 << 15:
        first -= 1 << 16
    found = items[0].LUTData
    if isinstance(found, bytes):
        order = "<" if data.file_meta.TransferSyntaxUID.is_little_endian else ">"
        words = len(found) >= 2 * count
        entries = np.frombuffer(found, f"{order}u2" if words else "u1")[:count].astype(np.float64)
    else:
        entries = np.atleast_1d(np.asarray(found, np.float64))[:count] % (1 << 16)
    if len(entries) < count:
        raise ValueError(f"{name} has {len(entries)} entries, not {count}")
    return entries, float(first), max((1 << min(bits, 16)) - 1.0, entries.max())


def _looked_up(entries: Curve, first: float, values: Curve) -> Curve:
    found: Curve = entries[(values - first).round().clip(0, len(entries) - 1).astype(np.int64)]
    return found


def _word(data: Any, name: str) -> str:
    return str(data.get(name) or "").strip().upper()


def number(data: Any, name: str) -> float | None:
    """Return the number, or the first of the numbers, that the element `name` holds, if it has one that can be meant.

    Raises Unusable, by the element's name, for what is no number.
    """
    try:
        value = data.get(name)
        if value is None or value == "":
            return None
        found = float(value if isinstance(value, (int, float, str)) else value[0])
    except Exception:  # broken bytes lead pydicom anywhere
        raise Unusable("damaged", f"{name} holds no number") from None
    return found if abs(found) < ABSURD else None
