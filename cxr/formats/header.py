"""What the header of a DICOM file says of patient and picture (DICOM PS3.3, C.7 and C.8), without its pixels."""

import math
import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from cxr.formats.decode import Unusable, as_unusable

PREAMBLE = 128
"""Bytes, after which a DICOM file says so (PS3.10, section 7.1)."""
BEGINNING = 4096
"""Bytes, of which the first elements of a data set take no more."""

_SHORT = b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()
_LONG = b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()
_MOST = 1 << 20  # bytes: no element before the patient's is longer

_DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}
_OLDEST = 150  # years
_DATES = "StudyDate", "AcquisitionDate", "SeriesDate", "ContentDate"
_SPACINGS = "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"
_ELEMENTS = (
    *("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientAge", "PatientSex"),
    *("ViewPosition", "Modality", "EstimatedRadiographicMagnificationFactor", "SpecificCharacterSet"),
    *(*_DATES, *_SPACINGS),
)


class Header(NamedTuple):
    """What a DICOM file says of its patient and its picture."""

    patient: str
    """What tells patients apart within an archive, or "". It can identify a person: compared, and never written anywhere."""
    view: str
    """Such as PA, AP or LL, or ""."""
    age: float | None
    """In years."""
    sex: str
    """M, F, O or ""."""
    spacing: float | None
    """mm between pixels in the plane of the detector or, where magnification is given, of the patient."""
    modality: str
    """Such as CR or DX, or ""."""


def is_dicom(path: Path) -> bool:
    """Tell by its first bytes whether the file `path` is DICOM, with preamble and file meta header or without."""
    with path.open("rb") as file:
        return begins_dicom(file.read(BEGINNING))


def begins_dicom(beginning: bytes) -> bool:
    """Tell whether `beginning`, the first BEGINNING bytes of a file or all of it, begins DICOM.

    A data set by itself begins with two elements or more of ascending tags in one of the three encodings (PS3.5, 7.1 and A).
    """
    if beginning[PREAMBLE : PREAMBLE + 4] == b"DICM":
        return True
    if beginning[:2] not in {b"\x02\0", b"\x08\0", b"\0\x08"}:  # groups of file meta information, and of identification
        return False
    order = ">" if beginning[0] == 0 else "<"
    tags = list(_tags(beginning, order))
    return len(tags) > 1 and tags == sorted(set(tags))


def _tags(beginning: bytes, order: str) -> Iterator[tuple[int, int]]:
    """Yield group and element of what can be elements at the beginning of a data set, up to what cannot be one."""
    place = 0
    while place + 8 <= len(beginning):
        tag, kind = struct.unpack_from(f"{order}HH", beginning, place), beginning[place + 4 : place + 6]
        if kind in _LONG:
            if place + 12 > len(beginning):
                return
            (length,), head = struct.unpack_from(f"{order}I", beginning, place + 8), 12
        elif kind in _SHORT:
            (length,), head = struct.unpack_from(f"{order}H", beginning, place + 6), 8
        else:
            (length,), head = struct.unpack_from(f"{order}I", beginning, place + 4), 8
        if tag[0] > 0x7FE0 or length % 2 or length > _MOST:
            return
        yield tag[0], tag[1]
        place += head + length


def header(path: Path) -> Header:
    """Return what the header of the DICOM file `path` says; what cannot be understood counts as not said.

    Raises Unusable("damaged") for what is no DICOM; OSError when the file cannot be opened.
    """
    from pydicom import dcmread  # noqa: PLC0415 - `is_dicom` is asked of every file, and needs none of it

    if not is_dicom(path):
        raise Unusable("damaged", "no DICOM file")
    with path.open("rb") as file, as_unusable():
        data = dcmread(file, force=True, stop_before_pixels=True, specific_tags=list(_ELEMENTS))
        sex = _text(data, "PatientSex").upper()[:1]
        return Header(
            patient=_patient(data),
            view=_text(data, "ViewPosition").upper(),
            age=_age(data),
            sex=sex if sex in {"M", "F", "O"} else "",
            spacing=_spacing(data),
            modality=_text(data, "Modality").upper(),
        )


def _patient(data: Any) -> str:
    """Return number and issuer, between which stands what neither can hold; else name and date of birth."""
    if number := _text(data, "PatientID"):
        return "\\".join(filter(None, [number, _text(data, "IssuerOfPatientID")]))
    name = "^".join(part.strip() for part in _text(data, "PatientName").upper().split("^")).rstrip("^=")
    return "\\".join([name, _text(data, "PatientBirthDate")]) if name else ""


def _age(data: Any) -> float | None:
    """Return PatientAge, such as 045Y or 011M (PS3.5, table 6.2-1), or else the time from birth to study, in years."""
    said = _text(data, "PatientAge").upper()
    if said[:-1].isdecimal() and said[-1] in _DAYS:
        return round(int(said[:-1]) * _DAYS[said[-1]] / _DAYS["Y"], 2)
    born = _date(data, "PatientBirthDate")
    seen = next((date for name in _DATES if (date := _date(data, name))), None)
    if born is None or seen is None:
        return None
    years = round((seen - born).days / _DAYS["Y"], 2)
    return years if 0 <= years <= _OLDEST else None


def _date(data: Any, name: str) -> datetime | None:
    try:
        return datetime.strptime(_text(data, name).replace(".", "")[:8], "%Y%m%d")
    except ValueError:
        return None


def _spacing(data: Any) -> float | None:
    """Return the first distance that is given, between rows: in the patient, at the detector, on the film."""
    for name in _SPACINGS:
        length = _number(data, name)
        if length and name == "ImagerPixelSpacing":
            length /= _number(data, "EstimatedRadiographicMagnificationFactor") or 1
        if length:
            return length
    return None


def _number(data: Any, name: str) -> float | None:
    """Return the first number of an element, if it is one above zero."""
    try:
        number = float(_text(data, name))
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def _text(data: Any, name: str) -> str:
    """Return the first value of an element as text, "" where there is none or it cannot be understood."""
    try:
        value = data.get(name)
        if value is not None and not isinstance(value, str) and data[name].VM > 1:
            value = value[0]
        return "" if value is None else " ".join(str(value).replace("\0", "").split())
    except Exception:  # broken values lead pydicom anywhere
        return ""
