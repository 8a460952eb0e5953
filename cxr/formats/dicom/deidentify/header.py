"""A DICOM header without what can name a patient (DICOM PS3.15, annex E, Basic Application Level Confidentiality Profile).

Stricter than the profile in what it keeps: of elements that table E.1-1 does not list, numbers, UIDs that DICOM defines,
known codes, defined terms, and the lookup tables through which the image is seen. No other text of the source stays.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VM
from pydicom.sr._concepts_dict import concepts as CONCEPTS
from pydicom.sr._snomed_dict import mapping as SNOMED
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag

from cxr.formats.decode import Unusable
from cxr.formats.dicom.deidentify.key import DEFINED, Key
from cxr.formats.dicom.deidentify.table import action, terms
from cxr.formats.dicom.derived import coded
from cxr.formats.dicom.stored import CAPTURES

METHOD = "Basic Application Confidentiality Profile, PS3.15 2026c E.1-1"
REMOVED, EMPTIED, REPLACED, UIDS, KEPT = "removed", "emptied", "replaced by a dummy", "UIDs replaced", "kept"

_BINARY = frozenset(("US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"))
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TABLES = "ModalityLUTSequence", "VOILUTSequence"
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
        *("Laterality", "Manufacturer", "PatientBirthDate", "PatientOrientation", "PatientPosition", "PatientSex"),
        *("PositionReferenceIndicator", "ReferringPhysicianName", "SeriesNumber", "StudyDate", "StudyID", "StudyTime"),
        *("ViewPosition",),
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
_KINDS = ("ORIGINAL", "DERIVED"), ("PRIMARY", "SECONDARY")  # of Image Type; further values are of a few modalities


def refuse_unchecked(data: Dataset) -> None:
    """Raise Unusable when the picture itself may name the patient, which nobody has said that they looked for."""
    kind = str(data.get("ConversionType") or "")
    if data.get("SOPClassUID") in CAPTURES or kind or str(data.get("Modality")) == "SC":
        reason = "it is a secondary capture, which may show the patient's name"
    elif (burned := str(data.get("BurnedInAnnotation") or "").strip().upper()) != "NO":
        reason = f"BurnedInAnnotation is {'YES' if burned == 'YES' else 'not said'}, so the picture may show the patient's name"
    else:
        return
    raise Unusable("no radiograph", f"{reason}; look at it, and give --pixels-checked if it does not")


def deidentified(data: Dataset, key: Key) -> tuple[Dataset, Counter[str]]:
    """Return the header of `data` without what can name a patient, with its pixels, and how many elements met which action.

    UIDs and the patient's number are those that `key` gives, so that images of one study, made with one key, stay together.
    """
    counts: Counter[str] = Counter()
    result = _cleaned(data, key, counts)
    result.PatientIdentityRemoved = "YES"
    result.DeidentificationMethod = METHOD
    result.DeidentificationMethodCodeSequence = [coded(codes.DCM.BasicApplicationConfidentialityProfile)]
    result.LongitudinalTemporalInformationModified = "REMOVED"
    result.BurnedInAnnotation = "NO"  # as it says, or as whoever gave --pixels-checked has seen
    if "PixelData" in data:
        result["PixelData"] = data["PixelData"]
    result.file_meta = data.file_meta
    result.set_original_encoding(data.original_encoding[0], data.original_encoding[1])
    return result, counts


def _cleaned(data: Dataset, key: Key, counts: Counter[str]) -> Dataset:
    result = Dataset()
    for tag in list(data.keys()):
        if tag.group == 0x7FE0:
            continue
        try:
            element = data[tag]
            kept = _element(element, data, key, counts) if _may_be_kept(tag) else None
        except Exception:  # broken bytes lead pydicom anywhere
            kept = None
        if kept is None:
            counts[REMOVED] += 1
        else:
            result.add(kept)
    return result


def _may_be_kept(tag: BaseTag) -> bool:
    return not tag.is_private and tag.element != 0 and tag.group not in {0, 2} and dictionary_has_tag(tag)


def _element(element: DataElement, data: Dataset, key: Key, counts: Counter[str]) -> DataElement | None:
    """Return what stays of `element`, or None, and count what was done to it unless it is removed."""
    if element.keyword in {"PatientID", "PatientName"}:
        return _with(element, key.patient(str(data.get("PatientID") or "")), counts, REPLACED)
    match action(element.tag):
        case "X" | "X/D":
            return None
        case "Z" | "Z/D":
            return _with(element, None, counts, EMPTIED)
        case "X/Z" | "X/Z/D":
            return _without_value(element, counts)
        case "D" if element.VR != "UI":
            dummy = _DUMMIES.get(element.VR)
            return None if dummy is None else _with(element, dummy, counts, REPLACED)
    return _by_kind(element, key, counts)  # U, a choice that holds it, or no row of the table


def _by_kind(element: DataElement, key: Key, counts: Counter[str]) -> DataElement | None:
    if element.VR == "UI":
        return _uid(element, key, counts)
    if element.VR == "SQ":
        return _sequence(element, key, counts)
    value = None if element.is_empty else _value(element)
    return _without_value(element, counts) if value is None else _with(element, value, counts, KEPT)


def _without_value(element: DataElement, counts: Counter[str]) -> DataElement | None:
    if element.keyword in _FALLBACKS and not element.is_empty:
        return _with(element, _FALLBACKS[element.keyword], counts, REPLACED)
    return _with(element, None, counts, EMPTIED) if element.is_empty or element.keyword in _MAY_BE_EMPTY else None


def _with(element: DataElement, value: Any, counts: Counter[str], what: str) -> DataElement:
    counts[KEPT if what == EMPTIED and element.is_empty else what] += 1
    return DataElement(element.tag, element.VR, value)


def _uid(element: DataElement, key: Key, counts: Counter[str]) -> DataElement:
    values = [str(value) for value in ([element.value] if element.VM < 2 else element.value) if value]
    known = all(value in DEFINED for value in values)
    return _with(element, [key.uid(value) for value in values], counts, KEPT if known else UIDS)


def _value(element: DataElement) -> Any:
    """Return the value of `element` if it is made of numbers, or of terms that the standard defines for it, else None."""
    if element.VR in _BINARY:
        return element.value if _as_many_as_allowed(element) else None
    values = [str(value).strip() for value in ([element.value] if element.VM < 2 else element.value)]
    if element.VR in {"DS", "IS"}:
        fits = all(_NUMBER.fullmatch(value) for value in values) and _as_many_as_allowed(element)
        return values if fits else None
    if element.keyword == "ImageType":
        kind = [value if value in allowed else allowed[0] for value, allowed in zip(values, _KINDS, strict=False)]
        return kind + [value for value in values[2:3] if value in {"AXIAL", "LOCALIZER"}]
    known = terms().get(element.keyword, frozenset())
    return values if all(value in known for value in values) else None


def _as_many_as_allowed(element: DataElement) -> bool:
    allowed = dictionary_VM(element.tag)
    most = allowed.partition("-")[2] or allowed
    return not most.isdigit() or int(most) >= element.VM


def _sequence(element: DataElement, key: Key, counts: Counter[str]) -> DataElement | None:
    items = list(_items(element, key, counts))
    if not items and element.value and element.keyword in _GENERAL:
        items = [coded(_GENERAL[element.keyword])]
    return _with(element, items, counts, KEPT) if items else _without_value(element, counts)


def _items(element: DataElement, key: Key, counts: Counter[str]) -> Iterator[Dataset]:
    """Yield what stays of the items: lookup tables, known codes, and others without what can name the patient."""
    for item in element.value:
        if element.keyword in _TABLES:
            yield _lookup_table(item, counts)
        elif "CodeValue" in item or "CodeMeaning" in item:
            if code := _known(item):
                yield _with_modifiers(code, item, key, counts)
        elif len(kept := _cleaned(item, key, counts)):
            yield kept


def _with_modifiers(code: Code, item: Dataset, key: Key, counts: Counter[str]) -> Dataset:
    """Return an item for `code`, with the sequences of `item` that modify it, such as of a view."""
    kept = coded(code)
    for element in [element for element in item if element.VR == "SQ" and not action(element.tag)]:
        if modifier := _sequence(element, key, counts):
            kept.add(modifier)
    return kept


def _lookup_table(item: Dataset, counts: Counter[str]) -> Dataset:
    """Return the descriptor and the entries of a modality or VOI LUT (PS3.3, C.11.1 and C.11.2), and its defined type."""
    kept = Dataset()
    kept["LUTDescriptor"] = item["LUTDescriptor"]
    data, count = item["LUTData"], int(item.LUTDescriptor[0]) % (1 << 16) or 1 << 16
    if isinstance(data.value, bytes):
        words = len(data.value) >= 2 * count
        data = DataElement(data.tag, data.VR, data.value[: count * (1 + words)])
    elif len(data.value) > count:
        data = DataElement(data.tag, data.VR, list(data.value)[:count])
    kept["LUTData"] = data
    if "ModalityLUTType" in item:
        kind = str(item.ModalityLUTType)
        kept.ModalityLUTType = kind if kind in terms()["ModalityLUTType"] else "US"  # unspecified
    counts[KEPT] += len(kept)
    counts[REMOVED] += len(item) - len(kept)
    return kept


def _known(item: Dataset) -> Code | None:
    """Return the code of `item`, with the meaning that the dictionary gives it, if it is in there."""
    scheme, value = str(item.get("CodingSchemeDesignator") or ""), str(item.get("CodeValue") or "")
    if scheme in {"SRT", "SNM3", "99SDM"}:  # older names, by which SNOMED's codes begin with a letter (PS3.16, 8.1)
        scheme, value = "SCT", SNOMED["SRT"].get(value, "")
    meaning = _meanings(scheme).get(value)
    return Code(value, scheme, meaning) if meaning else None


@lru_cache
def _meanings(scheme: str) -> dict[str, str]:
    """Return by code value what each code of the coding scheme `scheme` means, as far as PS3.16 knows it."""
    found: Any = CONCEPTS.get(scheme, {})
    return {value: str(meaning) for codes_of in found.values() for value, (meaning, _) in codes_of.items()}
