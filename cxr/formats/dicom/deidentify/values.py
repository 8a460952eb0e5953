"""What may stay of the values of elements that table E.1-1 does not list: numbers, terms, and lookup tables.

The data dictionary (PS3.6) decides what an element may hold, not the value representation that it is written with.
"""

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.valuerep import DSfloat

from cxr.formats.dicom.deidentify.table import terms

WRITTEN = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"))
KINDS = {"US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "UV": "u8", "SV": "i8", "FL": "f4", "FD": "f8"}
SHORT, LONG = 2, 8  # bytes
_CONTROLS = re.compile(rb"[\0-\x1f\x7f]")
FEW, MEASURED = 4, (1e-9, 1e5)
"""Characters that text has at least, and between which magnitudes a number is what was measured."""
LONGEST = {"DS": 16, "IS": 12}  # characters (PS3.5, 6.2)

# Of group 0028, whose other elements are of colour, of several frames, retired, or text.
IMAGE = frozenset(
    (
        *("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "PixelSpacing"),
        *("PixelAspectRatio", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue"),
        *("PixelPaddingRangeLimit", "QualityControlImage", "BurnedInAnnotation", "RecognizableVisualFeatures"),
        *("PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription", "PixelIntensityRelationship"),
        *("PixelIntensityRelationshipSign", "WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope", "RescaleType"),
        *("VOILUTFunction", "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
        *("ModalityLUTSequence", "VOILUTSequence"),
    )
)
# Image Type, value by value (PS3.3, C.7.6.1.1.2); the third is of CT, MR and others.
IMAGE_TYPE = (
    ("ORIGINAL", "DERIVED"),
    ("PRIMARY", "SECONDARY"),
    (
        *("AXIAL", "LOCALIZER", "OTHER", "SINGLE PLANE"),
        *("DENSITY MAP", "DIFFUSION MAP", "IMAGE ADDITION", "MODULUS SUBTRACT", "MPR", "PHASE MAP", "PHASE SUBTRACT"),
        *("PROJECTION IMAGE", "T1 MAP", "T2 MAP", "VELOCITY MAP"),  # of MR (C.8.3.1.1.1)
    ),
)


def as_declared(element: DataElement) -> DataElement:
    """Return `element` with the value representation of the dictionary, without its value where that cannot be one of it."""
    declared = dictionary_VR(element.tag).split(" or ")
    if element.VR in declared:
        return element
    readable = element.VR in WRITTEN and declared[0] in {"CS", "DS", "IS", "UI"}
    return DataElement(element.tag, declared[0], _texts(element) if readable and not element.is_empty else None)


def kept_value(element: DataElement) -> Any:
    """Return what stays of the value of `element`: numbers, written anew, or terms of the standard; else None."""
    if element.VR in KINDS:
        return element.value if _few_and_finite(element) and not _spells(element) else None
    if element.VR in LONGEST:
        return _numbers(_texts(element), element.VR, _most(element)) or None
    if element.VR != "CS" and element.keyword not in terms():
        return None
    values = [value.upper() for value in _texts(element)]
    if element.keyword == "ImageType":
        kinds = [value if value in allowed else allowed[0] for value, allowed in zip(values, IMAGE_TYPE[:2], strict=False)]
        return kinds + [value for value in values[2:3] if value in IMAGE_TYPE[2]]
    known = terms().get(element.keyword, frozenset())
    return values if all(value in known for value in values) else None


def lookup_table(item: Dataset, little_endian: bool) -> Dataset:
    """Return the modality or VOI LUT of `item` (PS3.3, C.11.1 and C.11.2): three numbers, as many entries, and a defined type.

    Entries are written in words of 16 bits. Raises ValueError, KeyError or TypeError where they are no table.
    """
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    entries, number = item.LUTData, count % (1 << 16) or 1 << 16
    order = "<" if little_endian else ">"
    if isinstance(entries, bytes):
        words = len(entries) >= 2 * number
        if bits <= 8 and len(entries) not in {number, number + number % 2, 2 * number}:
            raise ValueError("more entries than its descriptor says, of 8 bits or of 16")
        values = np.frombuffer(entries, f"{order}u2" if words else "u1")
    else:
        values = np.asarray(entries, np.int64) % (1 << 16)
    if values.size < number:
        raise ValueError("fewer entries than its descriptor says")
    kept = Dataset()
    kind, highest = ("SS", 1 << 15) if first < 0 else ("US", 1 << 16)
    kept.add_new("LUTDescriptor", kind, [number if number < highest else number - (1 << 16), first, bits])
    kept.add_new("LUTData", "OW", values[:number].astype(f"{order}u2").tobytes())
    if "ModalityLUTType" in item:
        kind = str(item.ModalityLUTType)
        kept.ModalityLUTType = kind if kind in terms()["ModalityLUTType"] else "US"  # unspecified
    return kept


def _texts(element: DataElement) -> list[str]:
    values = [element.value] if element.VM < 2 else list(element.value)
    return [str(value).strip(" \0") for value in values]


def _numbers(texts: list[str], kind: str, most: int) -> list[Any]:
    """Return the numbers at the beginning of `texts`, which viewers take the first of, as values of `kind`, DS or IS."""
    found: list[Any] = []
    for text in texts[:most]:
        try:
            number = float(text)
        except ValueError:
            break
        if not math.isfinite(number) or len(text) > LONGEST[kind] or (kind == "IS" and abs(number) >= 1 << 31):
            break
        found.append(DSfloat(number, auto_format=True) if kind == "DS" else int(number))
    return found


def _few_and_finite(element: DataElement) -> bool:
    """Tell whether there are as many numbers as the dictionary allows; where it allows any, text could be among them."""
    values = np.atleast_1d(np.asarray(element.value, np.float64))
    return values.size <= _most(element, without_end=0) and bool(np.isfinite(values).all())


def _spells(element: DataElement) -> bool:
    """Tell whether numbers are text that was written as some, from 8 bytes on: fewer would too often be numbers.

    So if all together are characters of ASCII, but for a single number that can have been measured; or if one of 8 bytes, or
    all together, are any characters, up to zeros at the end, and cannot have been. In either order of bytes.
    """
    numbers = np.atleast_1d(np.asarray(element.value, KINDS[element.VR]))
    odd = ~((np.abs(numbers) > MEASURED[0]) & (np.abs(numbers) < MEASURED[1])) | (numbers.itemsize == SHORT)
    parts = [(numbers, bool(odd.any()))]
    if numbers.itemsize == LONG:
        parts += [(numbers[i : i + 1], bool(odd[i])) for i in range(len(numbers))]
    return any(_is_text(part, strange) for part, strange in parts if part.nbytes >= LONG and (strange or part.size > 1))


def _is_text(numbers: npt.NDArray[Any], strange: bool) -> bool:
    little, big = (numbers.astype(f"{order}{numbers.dtype.str[1:]}").tobytes() for order in "<>")
    if _in_ascii(little) or _in_ascii(big):
        return True
    little, big = little.rstrip(b"\0"), big.rstrip(b"\0")
    characters = len(little) >= FEW and little.strip(b"\xff") and not _CONTROLS.search(little)
    return strange and bool(characters or (len(big) >= FEW and _in_ascii(big)))


def _in_ascii(text: bytes) -> bool:
    return text.isascii() and text.decode().isprintable()


def _most(element: DataElement, without_end: int = 1 << 10) -> int:
    allowed = dictionary_VM(element.tag)
    most = allowed.rpartition("-")[2]
    return int(most) if most.isdigit() else without_end
