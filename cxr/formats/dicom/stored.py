"""What a DICOM data set stores: whether that is a radiograph, and its values (DICOM PS3.3, C.7.6.3, and PS3.5, 8)."""

from math import ceil, floor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from cxr.formats.decode import MAX_PIXELS, Kind, Unusable
from cxr.formats.dicom.compressed.codestream import refuse_other_sizes
from cxr.formats.dicom.compressed.decoder import decoded
from cxr.formats.dicom.compressed.decoding import words
from cxr.formats.dicom.compressed.lossy import MAYBE, coded_with_loss, said_lossy
from cxr.formats.dicom.display import number

Values = npt.NDArray[np.int32]

MODALITIES = "CR", "DX", "DR", "SC"
"""Of radiographs. DR is none of the standard's terms, but in use."""
UNSAID = "", "OT", "RG"
"""Modalities of a captured image that may be a radiograph: none, other, and conventional film."""
RADIOGRAPHS = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)
COLOURS = "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"
CAPTURES = (
    SecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)


def limits(data: Dataset) -> tuple[int, int]:
    """Return the least and the greatest value that can be stored."""
    least = -(1 << int(data.BitsStored) - 1) if data.PixelRepresentation else 0
    return least, least + (1 << int(data.BitsStored)) - 1


def found_syntax(data: Dataset) -> UID:
    """Return the transfer syntax that a data set without file meta header was found to have (PS3.5, section 10.1)."""
    implicit, little = data.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def refuse_other_modalities(data: Dataset) -> None:
    """Raise Unusable when `data` is no radiograph by its modality, nor, where that says little, by its SOP class."""
    modality, kind = str(data.get("Modality") or "").strip().upper(), data.get("SOPClassUID")
    if data.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise Unusable("no radiograph", "a DICOMDIR, which lists files and holds no image")
    if modality in MODALITIES or kind in RADIOGRAPHS or (kind in CAPTURES and modality in UNSAID):
        return
    if not modality and "PixelData" not in data:
        raise Unusable("damaged", "no DICOM image")
    found = f"of modality {modality[:16]}" if modality else "of no modality"
    found += f", not {', '.join(MODALITIES)}; cxr enhance --any-modality may take it"
    raise Unusable("no radiograph", found, quotes=True)


def check(data: Dataset) -> None:
    """Raise Unusable when `data` holds no image that can be read; by the element's name, when one is not what it must be."""
    if "PixelData" not in data or not whole(data, "Rows", 0) or not whole(data, "Columns", 0):
        raise Unusable("damaged", "no DICOM image")
    if data.Rows * data.Columns > MAX_PIXELS:
        raise Unusable("damaged", f"more than {MAX_PIXELS:,} pixels")
    photometric = data.get("PhotometricInterpretation", "missing")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        kind: Kind = "no radiograph" if photometric in COLOURS else "damaged"
        raise Unusable(kind, f"PhotometricInterpretation is {photometric}, not MONOCHROME1 or 2", quotes=True)
    if (frames := whole(data, "NumberOfFrames", 1) or 1) != 1:
        raise Unusable("damaged", f"{frames} frames; save each by itself", quotes=True)
    allocated, bits = whole(data, "BitsAllocated"), whole(data, "BitsStored")
    if not 8 <= bits <= 16:
        raise Unusable("damaged", f"{bits} bits a pixel, not 8 to 16", quotes=True)
    if not bits <= _high_bit(data) + 1 <= allocated:
        raise Unusable("damaged", f"HighBit {_high_bit(data)} with {bits} of {allocated} bits stored", quotes=True)
    data.PixelRepresentation, data.SamplesPerPixel = whole(data, "PixelRepresentation", 0), whole(data, "SamplesPerPixel", 1)
    if data.PixelRepresentation not in {0, 1}:
        raise Unusable("damaged", f"PixelRepresentation is {data.PixelRepresentation}, not 0 or 1", quotes=True)


def whole(data: Dataset, name: str, missing: int | None = None) -> int:
    """Return the one whole number that an element holds, or `missing` where it is missing or empty.

    Raises Unusable, by the element's name, for anything else, and where it is missing without such a number.
    """
    try:
        found = data.get(name)
    except Exception:  # broken bytes lead pydicom anywhere
        raise Unusable("damaged", f"{name} is not one whole number") from None
    if found is None or found == "":
        if missing is None:
            raise Unusable("damaged", f"no {name}")
        return missing
    if not isinstance(found, (int, float)) or found % 1 != 0:
        raise Unusable("damaged", f"{name} is {str(found)[:32]}, not one whole number", quotes=True)
    return int(found)


def _high_bit(data: Dataset) -> int:
    return whole(data, "HighBit", int(data.BitsStored) - 1)


def stored_values(data: Dataset, path: Path) -> Values:
    """Return the stored values (H, W): the BitsStored bits from HighBit down, with their sign (PS3.5, section 8.1.1)."""
    syntax, bits, shift = data.file_meta.TransferSyntaxUID, int(data.BitsStored), _high_bit(data) + 1 - int(data.BitsStored)
    least, most = limits(data)
    if syntax.is_encapsulated and shift and syntax != RLELossless:
        raise Unusable("damaged", f"HighBit {_high_bit(data)} of {bits} bits stored, and compressed; decompress it first")
    if syntax.is_encapsulated:
        refuse_other_sizes(data)
        found = decoded(path, (int(data.Rows), int(data.Columns)))
    else:
        found = words(data)
    if found.shape != (data.Rows, data.Columns):
        raise Unusable("damaged", f"pixels of shape {found.shape}, not of {data.Rows} rows and {data.Columns} columns")
    if coded_with_loss(data) or (syntax in MAYBE and said_lossy(data)):
        return found.clip(least, most)  # an error of compression beyond the range is no small value
    # Without what lies in the bits above, and with its sign.
    values: Values = (((found >> shift) - least) & (1 << bits) - 1) + least
    return values


def padding(data: Dataset, stored: Values) -> npt.NDArray[np.bool_]:
    """Return where `stored` is padding (PS3.3, C.7.5.1.1.2)."""
    ends = padding_ends(data)
    return np.zeros(stored.shape, bool) if ends is None else (stored >= ends[0]) & (stored <= ends[1])


def padding_ends(data: Dataset) -> tuple[int, int] | None:
    """Return the least and the greatest value that is padding, whichever sign they were written with, or None for none."""
    ends = [number(data, name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    least, most = limits(data)
    if ends[0] is None:
        return None
    allocated = 1 << int(data.BitsAllocated)
    signed = [
        end if least <= end <= most else (end + allocated / 2) % allocated - allocated / 2 for end in ends if end is not None
    ]
    if not least:
        signed = [end % allocated for end in signed]
    return ceil(min(signed)), floor(max(signed))
