"""A DICOM header without what can name a patient (DICOM PS3.15, annex E, Basic Application Level Confidentiality Profile).

Stricter than the profile in what it keeps: of elements that table E.1-1 does not list, numbers, codes that PS3.16 knows,
defined terms, UIDs that DICOM defines, and the lookup tables through which the image is seen. No other text stays.
"""

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, MRImageStorage

from cxr.formats.decode import Unusable
from cxr.formats.dicom.compressed.lossy import said_lossy
from cxr.formats.dicom.deidentify.codes import known_code
from cxr.formats.dicom.deidentify.key import DEFINED, Key
from cxr.formats.dicom.deidentify.table import action
from cxr.formats.dicom.deidentify.values import IMAGE, as_declared, kept_value, lookup_table
from cxr.formats.dicom.derived import coded

METHOD = "Basic Application Confidentiality Profile, PS3.15 2026c E.1-1"
REMOVED, EMPTIED, REPLACED, UIDS, KEPT = "removed", "emptied", "replaced by a dummy", "UIDs replaced", "kept"

DETECTED = "X-Ray", "Computed Radiography", "CT Image", "MR Image", "Ultrasound"
"""In the names of classes whose objects come from a detector, and so are not captured from a screen or a film."""

_PATIENT = Tag("PatientName"), Tag("PatientID")
_TABLES = "ModalityLUTSequence", "VOILUTSequence", "PresentationLUTSequence"
_INSTANCE = "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"
_DEEPEST = 16  # sequences within sequences; a radiograph has four or so
# What every DX image must name: where its own code is unknown, the most general one.
_GENERAL = {"AnatomicRegionSequence": Code("123037004", "SCT", "Body structure")}
# Where an unknown term cannot be left out: unspecified, and as a workstation makes it.
_FALLBACKS = {
    "ConversionType": "WSD",
    "Modality": "OT",
    "PixelSpacingCalibrationDescription": "REMOVED",
    "RescaleType": "US",
}
# What images must have, though it may be empty (types 2 and 2C of PS3.3 for CR, DX and SC). Other elements go with their value.
_MAY_BE_EMPTY = frozenset(
    (
        *("AccessionNumber", "AcquisitionContextSequence", "AnatomicRegionSequence", "BodyPartExamined", "ContentDate"),
        *("ContentTime", "ContrastBolusAgent", "DetectorType", "FieldOfViewShape", "FilterType", "InstanceNumber"),
        *(
            "Laterality",
            "MRAcquisitionType",
            "Manufacturer",
            "PatientBirthDate",
            "PatientOrientation",
            "PatientPosition",
            "PatientSex",
        ),
        *("PositionReferenceIndicator", "PositionerType", "ReferringPhysicianName", "ScanOptions", "SeriesNumber"),
        *("StudyDate", "StudyID", "StudyTime", "ViewPosition"),
    )
)
_DUMMIES = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), "REMOVED"),
    "DA": "19000101",
    "TM": "000000",
    "DT": "19000101000000",
    "AS": "000Y",
    **dict.fromkeys(("DS", "IS", "US", "SS", "UL", "SL", "FL", "FD"), 0),
}
"""By value representation. What has none is removed."""


def refuse_unchecked(data: Dataset) -> None:
    """Raise Unusable when the picture itself may name the patient, which nobody has said that they looked for."""
    kind = UID(str(data.get("SOPClassUID") or "")).name
    captured = any(str(tag.keyword).startswith(("SecondaryCapture", "DateOfSecondary", "ConversionType")) for tag in data)
    if captured or str(data.get("Modality")).strip().upper() == "SC" or not any(name in kind for name in DETECTED):
        reason = "it is a secondary capture or of no detector, and may show the patient's name"
    elif (burned := str(data.get("BurnedInAnnotation") or "").strip().upper()) != "NO":
        reason = f"BurnedInAnnotation is {'YES' if burned == 'YES' else 'not said'}, so the picture may show the patient's name"
    else:
        return
    raise Unusable("no radiograph", f"{reason}; look at it, and give --pixels-checked if it does not")


def deidentified(data: Dataset, key: Key) -> tuple[Dataset, Counter[str]]:
    """Return the header of `data` without what can name a patient, with its pixels, and how many elements met which action.

    Elements in sequences are counted, too. UIDs and the patient's number are those that `key` gives, so that images of one
    study, made with one key, stay together.
    Raises Unusable for a SOP class that DICOM does not define, and for sequences nested deeper than any radiograph's.
    """
    if str(data.get("SOPClassUID") or "") not in DEFINED:
        raise Unusable("damaged", "its SOP class is none of DICOM's, so what it holds is not known")
    counts: Counter[str] = Counter()
    result = _cleaned(data, key, counts)
    counts[REMOVED] = _elements(data) - ("PixelData" in data) - counts.total()
    pixels = sha256(bytes(data.get("PixelData") or b"")).hexdigest()
    for name in (name for name in _INSTANCE if not result.get(name)):
        setattr(result, name, key.uid(f"{name} {pixels}"))
    if "PixelSpacingCalibrationType" not in result and "PixelSpacingCalibrationDescription" in result:
        del result.PixelSpacingCalibrationDescription
    if result.get("SOPClassUID") == MRImageStorage and len(result.get("ImageType") or ()) == 2:
        result.ImageType = [*result.ImageType, "OTHER"]  # which must have three values (PS3.3, C.8.3.1.1.1)
    if said_lossy(data):
        result.LossyImageCompression = "01"
    if not (result.get("LossyImageCompressionMethod") and result.get("LossyImageCompressionRatio")):
        for name in ("LossyImageCompressionMethod", "LossyImageCompressionRatio"):
            result.pop(name, None)
    result.PatientIdentityRemoved = "YES"
    result.DeidentificationMethod = METHOD
    result.DeidentificationMethodCodeSequence = [coded(codes.DCM.BasicApplicationConfidentialityProfile)]
    result.LongitudinalTemporalInformationModified = "REMOVED"
    result.BurnedInAnnotation = "NO"  # as it says, or as whoever gave --pixels-checked has seen
    if "PixelData" in data:
        result["PixelData"] = data["PixelData"]
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
    result.set_original_encoding(data.original_encoding[0], data.original_encoding[1])
    return result, counts


def _cleaned(data: Dataset, key: Key, counts: Counter[str], depth: int = 0) -> Dataset:
    if depth > _DEEPEST:
        raise Unusable("damaged", f"sequences nested more than {_DEEPEST} deep")
    result = Dataset()
    for tag in [tag for tag in data.keys() if tag.group != 0x7FE0]:  # noqa: SIM118 - elements are understood one by one
        before = counts.copy()
        try:
            kept = _element(tag, data, key, counts, depth) if _may_be_kept(tag) else None
        except Unusable:
            raise
        except Exception:  # broken bytes lead pydicom anywhere
            kept = None
            counts.clear()
            counts.update(before)  # without what was done before they broke
        if kept is not None:
            result.add(kept)
    return result


def _may_be_kept(tag: BaseTag) -> bool:
    return not tag.is_private and tag.element != 0 and tag.group not in {0, 2, 4} and dictionary_has_tag(tag)


def _element(tag: BaseTag, data: Dataset, key: Key, counts: Counter[str], depth: int) -> DataElement | None:
    """Return what stays of the element `tag`, or None, and count what was done to it unless it is removed."""
    if tag in _PATIENT:
        number = _patient(data)  # before it is decoded
        return _with(as_declared(data[tag]), key.patient(number), counts, REPLACED)
    element = as_declared(data[tag])
    told = action(tag)
    if told in {"X", "X/D"} or (not told and tag.group == 0x28 and element.keyword not in IMAGE):
        return None
    if told in {"Z", "Z/D"}:
        return _with(element, None, counts, EMPTIED)
    if told in {"X/Z", "X/Z/D"}:
        return _without_value(element, counts)
    if told == "D" and element.VR != "UI":
        return _with(element, _DUMMIES[element.VR], counts, REPLACED) if element.VR in _DUMMIES else None
    return _by_kind(element, data, key, counts, depth)  # U, a choice that holds it, or no row of the table


def _patient(data: Dataset) -> bytes:
    """Return the bytes of the patient's number, and of who has issued it: text that is not what it says may not be decoded."""
    found = []
    for name in ("PatientID", "IssuerOfPatientID"):
        element: Any = data.get_item(name) if name in data else None
        value = element.value if element is not None else None
        found.append((value if isinstance(value, bytes) else str(value or "").encode("utf-8", "surrogateescape")).strip(b" \0"))
    return b"\\".join(found) if found[0] else b""


def _by_kind(element: DataElement, data: Dataset, key: Key, counts: Counter[str], depth: int) -> DataElement | None:
    if element.VR == "UI":
        return _uid(element, key, counts)
    if element.VR == "SQ":
        return _sequence(element, data, key, counts, depth)
    value = None if element.is_empty else kept_value(element)
    return _without_value(element, counts) if value is None else _with(element, value, counts, KEPT)


def _without_value(element: DataElement, counts: Counter[str]) -> DataElement | None:
    if element.keyword in _FALLBACKS and not element.is_empty:
        return _with(element, _FALLBACKS[element.keyword], counts, REPLACED)
    return _with(element, None, counts, EMPTIED) if element.is_empty or element.keyword in _MAY_BE_EMPTY else None


def _with(element: DataElement, value: Any, counts: Counter[str], what: str) -> DataElement:
    counts[KEPT if what == EMPTIED and element.is_empty else what] += 1
    return DataElement(element.tag, element.VR, value)


def _uid(element: DataElement, key: Key, counts: Counter[str]) -> DataElement | None:
    if element.is_empty:
        return _without_value(element, counts)
    values = [str(value) for value in ([element.value] if element.VM < 2 else element.value) if value]
    known = all(value in DEFINED for value in values)
    return _with(element, [key.uid(value) for value in values], counts, KEPT if known else UIDS)


def _sequence(element: DataElement, data: Dataset, key: Key, counts: Counter[str], depth: int) -> DataElement | None:
    if element.keyword in _TABLES:
        # The first is the one that is seen; another may be anything.
        items = [lookup_table(element.value[0], data.original_encoding[1] is not False)] if element.value else []
        counts[KEPT] += sum(map(len, items))
    else:
        items = list(_items(element, key, counts, depth))
    if not items and element.value and element.keyword in _GENERAL:
        items = [coded(_GENERAL[element.keyword])]
    return _with(element, items, counts, KEPT) if items else _without_value(element, counts)


def _items(element: DataElement, key: Key, counts: Counter[str], depth: int) -> Iterator[Dataset]:
    """Yield what stays of the items: known codes with what modifies them, and others without what can name the patient."""
    for item in element.value:
        if "CodeValue" not in item and "CodeMeaning" not in item:
            if len(kept := _cleaned(item, key, counts, depth + 1)):
                yield kept
        elif code := known_code(item):
            kept = coded(code)
            for each in (each for each in kept if each.tag in item):
                counts[KEPT if item.get(each.tag) == each else REPLACED] += 1
            modifiers = [each.tag for each in item if each.VR == "SQ" and not action(each.tag)]
            for found in (_element(tag, item, key, counts, depth + 1) for tag in modifiers):
                if found:
                    kept.add(found)
            yield kept


def _elements(data: Dataset, depth: int = 0) -> int:
    """Return how many elements `data` holds, those in its sequences, too, as deep as radiographs have any."""
    found = len(data)
    for tag in data.keys() if depth < _DEEPEST else ():  # not the elements: they are understood one by one
        try:
            value = data[tag].value
        except Exception:  # broken bytes lead pydicom anywhere
            value = None
        if isinstance(value, Sequence):
            found += sum(_elements(item, depth + 1) for item in value)
    return found
