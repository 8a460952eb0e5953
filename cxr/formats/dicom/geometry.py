"""Lengths and places in pixels of a DICOM image, when it gets `scale` times as many rows and columns."""

from typing import Any

import numpy as np
from pydicom import DataElement, Dataset
from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.tag import Tag
from pydicom.uid import UID
from pydicom.valuerep import DSfloat

from cxr.formats.decode import Unusable
from cxr.formats.dicom.nested import ICON, items

# Distances between pixels, which shrink.
SPACINGS = "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "ReconstructionPixelSpacing"

# Places counted in pixels, which grow (PS3.3, C.7.6.11 and C.8.7.3).
PLACES = (
    *(f"{kind}{edge}Edge" for kind in ("Shutter", "Collimator") for edge in ("LeftVertical", "RightVertical")),
    *(f"{kind}{edge}Edge" for kind in ("Shutter", "Collimator") for edge in ("UpperHorizontal", "LowerHorizontal")),
    *("CenterOfCircularShutter", "RadiusOfCircularShutter", "VerticesOfThePolygonalShutter"),
    *("CenterOfCircularCollimator", "RadiusOfCircularCollimator", "VerticesOfThePolygonalCollimator"),
    *(f"ExposureControlSensingRegion{edge}Edge" for edge in ("LeftVertical", "RightVertical")),
    *(f"ExposureControlSensingRegion{edge}Edge" for edge in ("UpperHorizontal", "LowerHorizontal")),
    *("CenterOfCircularExposureControlSensingRegion", "RadiusOfCircularExposureControlSensingRegion"),
    "VerticesOfThePolygonalExposureControlSensingRegion",
)

# Of the regions of an ultrasound image (PS3.3, C.8.5.5): lengths a pixel, and places.
REGIONS = "SequenceOfUltrasoundRegions"
REGION_LENGTHS = "PhysicalDeltaX", "PhysicalDeltaY"
REGION_PLACES = (
    *("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1"),
    *("ReferencePixelX0", "ReferencePixelY0", "TMLinePositionX0", "TMLinePositionY0", "TMLinePositionX1", "TMLinePositionY1"),
    *("DopplerSampleVolumeXPosition", "DopplerSampleVolumeYPosition"),
    *("DopplerSampleVolumeXPositionRetired", "DopplerSampleVolumeYPositionRetired"),
    *("TMLinePositionX0Retired", "TMLinePositionY0Retired", "TMLinePositionX1Retired", "TMLinePositionY1Retired"),
)

MODALITIES = frozenset(("CR", "DX", "DR", "SC", "MG", "IO", "PX", "RG", "OT", "CT", "MR", "US"))
"""Those whose lengths and places are known here. Others hold some in elements of their own, and are refused."""

CLASSES = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{kind}"
    for kind in (
        *("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1"),  # computed, digital, mammography and intra-oral radiographs
        *("2", "3", "3.1", "4", "6", "6.1", "7", "7.2", "7.3"),  # CT, ultrasound, MR, and grey secondary captures
    )
)
"""Of all classes that DICOM defines, those of these modalities."""

# What places other than those above are in: they would be wrong, and a program would draw or measure by them.
REFUSED = (
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DisplayedAreaSelectionSequence"),
    *("ImagePlanePixelSpacing", "ObjectPixelSpacingInCenterOfBeam", "MaskSubtractionSequence", "GraphicAnnotationSequence"),
)

NESTED = frozenset((*REFUSED, *SPACINGS, *PLACES, REGIONS, "ImagePositionPatient"))
"""What is not known to be of this image, or of which of its frames, where a sequence holds it."""
BEFORE = frozenset(("OriginalAttributesSequence", ICON))
"""Sequences of what an image was before, or of what a result does not have."""


def refuse_unknown(data: Dataset) -> None:
    """Raise Unusable for an image whose lengths and places are in elements that `enlarge` does not know."""
    modality = str(data.get("Modality") or "").strip().upper()
    if modality and modality not in MODALITIES:
        raise _unknown(f"of modality {modality[:16]}")
    kind = UID(str(data.get("SOPClassUID") or ""))
    if kind in UID_dictionary and kind not in CLASSES:
        raise _unknown(f"of class {kind.name}")
    for name in REFUSED:
        if name in data:
            raise _unknown(f"with {name}")
    _refuse_nested(data)


def _refuse_nested(data: Dataset, depth: int = 1) -> None:
    for tag, found in items(data, depth, lenient=True):  # what is no sequence holds no geometry
        for item in found if keyword_for_tag(tag) not in BEFORE else ():
            for name in sorted(NESTED):
                if name in item:
                    raise _unknown(f"with a nested {name}")
            _refuse_nested(item, depth + 1)


def _unknown(what: str) -> Unusable:
    return Unusable("no radiograph", f"{what}, whose geometry cannot be told of an enlarged image", quotes=True)


def enlarge(data: Dataset, scale: int) -> None:
    """Let lengths and places be those of an image of `scale` times as many rows and columns."""
    _move_corner(data, scale)
    for name in (name for name in SPACINGS if name in data):
        if lengths := _numbers(data, name):  # of which some writers give one for both
            kind = dictionary_VR(Tag(name))
            shorter = [length / scale for length in (lengths * 2)[: max(2, len(lengths))]]
            data[name] = DataElement(Tag(name), kind, [_decimal(each) for each in shorter] if kind == "DS" else shorter)
    if "BITMAP" in str(data.get("ShutterShape") or "").upper():  # which is in an overlay, and overlays are left out
        kinds = [str(kind) for kind in np.atleast_1d(np.asarray(data.ShutterShape)) if str(kind).strip().upper() != "BITMAP"]
        for name in ("ShutterShape", "ShutterOverlayGroup"):
            data.pop(name, None)
        if kinds:
            data.ShutterShape = kinds
    for name in PLACES:
        _multiply(data, name, scale)
    for region in data.get(REGIONS) or ():
        for name in REGION_LENGTHS:
            _multiply(region, name, 1 / scale)
        for name in REGION_PLACES:
            _multiply(region, name, scale)


def _multiply(data: Dataset, name: str, factor: float) -> None:
    if name not in data or not (numbers := _numbers(data, name)):
        return
    whole = dictionary_VR(Tag(name)) in {"IS", "UL", "SL"}
    values = [round(number * factor) if whole else number * factor for number in numbers]
    data[name] = DataElement(Tag(name), dictionary_VR(Tag(name)), values if len(values) > 1 else values[0])


def _numbers(data: Dataset, name: str) -> list[float]:
    """Return the numbers in an element, whatever value representation it was written with.

    Raises Unusable, by the element's name, for what is no number.
    """
    try:
        value: Any = data[name].value
        texts = value.split("\\") if isinstance(value, str) else np.atleast_1d(np.asarray(value, object)).tolist()
        numbers = [float(each) for each in texts if each is not None and str(each).strip() != ""]
        broken = not np.isfinite(numbers).all()
    except Exception:  # broken bytes lead pydicom anywhere
        broken = True
    if broken:
        raise Unusable("damaged", f"{name} holds something other than numbers")
    return numbers


def _decimal(number: float) -> DSfloat:
    return DSfloat(number, auto_format=True)


def _move_corner(data: Dataset, scale: int) -> None:
    """Let ImagePositionPatient, the centre of the first pixel (PS3.3, C.7.6.2.1.1), be that of the first new one."""
    names = "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"
    if not all(name in data for name in names):
        return
    place, axes, spacing = (_numbers(data, name) for name in names)
    if not place or not axes or not spacing:
        return
    down, along = (spacing * 2)[:2]
    directions = np.asarray(axes, float).reshape(2, 3)  # along a row, down a column
    moved = np.asarray(place, float) - (1 - 1 / scale) / 2 * (along * directions[0] + down * directions[1])
    data.ImagePositionPatient = [_decimal(each) for each in moved]
