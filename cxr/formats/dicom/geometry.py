"""Lengths and places in pixels of a DICOM image, when it gets `scale` times as many rows and columns."""

from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.valuerep import DSfloat

from cxr.formats.decode import Unusable

# Distances between pixels, which shrink.
SPACINGS = "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"

# Places counted in pixels, which grow (PS3.3, C.7.6.11 and C.8.7.3).
PLACES = (
    *(f"{kind}{edge}Edge" for kind in ("Shutter", "Collimator") for edge in ("LeftVertical", "RightVertical")),
    *(f"{kind}{edge}Edge" for kind in ("Shutter", "Collimator") for edge in ("UpperHorizontal", "LowerHorizontal")),
    *("CenterOfCircularShutter", "RadiusOfCircularShutter", "VerticesOfThePolygonalShutter"),
    *("CenterOfCircularCollimator", "RadiusOfCircularCollimator", "VerticesOfThePolygonalCollimator"),
)

# Of the regions of an ultrasound image (PS3.3, C.8.5.5): lengths a pixel, and places.
REGIONS = "SequenceOfUltrasoundRegions"
REGION_LENGTHS = "PhysicalDeltaX", "PhysicalDeltaY"
REGION_PLACES = (
    *("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1"),
    *("ReferencePixelX0", "ReferencePixelY0"),
)

MODALITIES = frozenset(("CR", "DX", "DR", "SC", "MG", "IO", "PX", "RG", "RF", "XA", "OT", "CT", "MR", "US"))
"""Those whose lengths and places are known here. Others hold some in elements of their own, and are refused."""

# What places other than those above are in: they would be wrong, and a program would draw or measure by them.
REFUSED = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DisplayedAreaSelectionSequence"


def refuse_unknown(data: Dataset) -> None:
    """Raise Unusable for an image whose lengths and places are in elements that `enlarge` does not know."""
    modality = str(data.get("Modality") or "").strip().upper()
    if modality and modality not in MODALITIES:
        raise Unusable("no radiograph", f"of modality {modality[:16]}, whose geometry cannot be told of an enlarged image")
    for name in REFUSED:
        if name in data:
            raise Unusable("no radiograph", f"with {name}, whose geometry cannot be told of an enlarged image")


def enlarge(data: Dataset, scale: int) -> None:
    """Let lengths and places be those of an image of `scale` times as many rows and columns."""
    _move_corner(data, scale)
    for name in (name for name in SPACINGS if data.get(name)):
        lengths = np.atleast_1d(np.asarray(data[name].value, float))  # of which some writers give one for both
        data[name].value = [
            DSfloat(length / scale, auto_format=True) for length in np.broadcast_to(lengths, max(2, len(lengths)))
        ]
    for name in PLACES:
        _multiply(data, name, scale)
    for region in data.get(REGIONS) or ():
        for name in REGION_LENGTHS:
            _multiply(region, name, 1 / scale)
        for name in REGION_PLACES:
            _multiply(region, name, scale)


def _multiply(data: Dataset, name: str, factor: float) -> None:
    value: Any = data.get(name)
    if value is None or value == "":
        return
    data[name].value = value * factor if isinstance(value, (int, float)) else [place * factor for place in value]


def _move_corner(data: Dataset, scale: int) -> None:
    """Let ImagePositionPatient, the centre of the first pixel (PS3.3, C.7.6.2.1.1), be that of the first new one."""
    place, axes, spacing = (data.get(name) for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"))
    if not place or not axes or not spacing:
        return
    down, along = np.broadcast_to(np.atleast_1d(np.asarray(spacing, float)), 2)
    directions = np.asarray(axes, float).reshape(2, 3)  # along a row, down a column
    moved = np.asarray(place, float) - (1 - 1 / scale) / 2 * (along * directions[0] + down * directions[1])
    data.ImagePositionPatient = [DSfloat(each, auto_format=True) for each in moved]
