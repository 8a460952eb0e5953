"""What the header of a DICOM file says of patient and picture (DICOM PS3.3, C.7 and C.8), without its pixels."""

import math
import re
import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from cxr.formats.decode import Unusable, as_unusable
from cxr.formats.dicom.bounded import bounded

PREAMBLE = 128
"""Bytes, after which a DICOM file says so (PS3.10, section 7.1)."""
BEGINNING = 4096
"""Bytes, of which the first elements of a data set take no more."""

_SHORT = b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()
_LONG = b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()
_MOST = 1 << 20  # bytes: no element before the patient's is longer

VIEWS = frozenset(
    (
        *("AP", "PA", "LL", "RL", "LAT", "LATERAL", "LEFT LATERAL", "RIGHT LATERAL", "FRONTAL", "L", "R", "LD", "RD"),
        *("RLD", "LLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "AP AXIAL", "LORDOTIC", "XTABLE LATERAL"),
    )
)
"""Of View Position (PS3.3, C.8.1.1 and C.8.7.1), and what public sets write beside them."""
_POSITIONED = r"(?:AP|PA)(?: (?:SUPINE|ERECT|SEMI ERECT|SEMIERECT|UPRIGHT|SITTING|PORTABLE|HORIZONTAL|LLD|RLD))+"

# What stands for a patient whose number or name was taken away; numbers of zeros alone do, too.
_PLACEHOLDERS = frozenset(
    (
        *("ANON", "ANONYM", "ANONYMIZE", "ANONYMIZED", "ANONYMISE", "ANONYMISED", "ANONYMOUS", "DEIDENTIFIED"),
        *("NONE", "NULL", "PATIENT", "UNKNOWN"),
    )
)
_NO_BIRTHDAYS = frozenset(("19000101", "00010101", "99991231"))

_DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}
_OLDEST = 150  # years
_DATES = "StudyDate", "AcquisitionDate", "SeriesDate", "ContentDate"
_SPACINGS = "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"
_ELEMENTS = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientAge", "PatientSex"),
    *("ViewPosition", "Modality", "EstimatedRadiographicMagnificationFactor", "SpecificCharacterSet"),
    *(*_DATES, *_SPACINGS),
)


class Header(NamedTuple):
    """What a DICOM file says of its patient and its picture."""

    patients: tuple[str, ...]
    """Keys, of which headers of one patient share one or more. They can identify a person: compared, and never written."""
    placeholder: bool
    """Whether number or name is a word such as ANONYMOUS, which stands for many people and so is no key."""
    view: str
    """One of VIEWS, or ""."""
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
    if not is_dicom(path):
        raise Unusable("damaged", "no DICOM file")
    with path.open("rb") as file, as_unusable():
        data = bounded(file, stop_before_pixels=True, specific_tags=list(_ELEMENTS))
        sex = _text(data, "PatientSex").upper()[:1]
        patients, placeholder = _patients(data)
        return Header(
            patients=patients,
            placeholder=placeholder,
            view=known_view(_text(data, "ViewPosition")),
            age=_age(data),
            sex=sex if sex in {"M", "F", "O"} else "",
            spacing=_spacing(data),
            modality=_text(data, "Modality").upper(),
        )


def _patients(data: Any) -> tuple[tuple[str, ...], bool]:
    """Return the keys: the number, whoever issued it; name with date of birth; the name alone where nothing else is said.

    Also return whether a placeholder stands for number or name. Between name and date stands what neither can hold.
    """
    number = _text(data, "PatientID").upper()
    name = "^".join(part.strip() for part in _text(data, "PatientName").upper().split("^")).rstrip("^=")
    born = _text(data, "PatientBirthDate")
    born = "" if born in _NO_BIRTHDAYS or not born.strip("0") else born
    said = {"number": "" if _is_placeholder(number) else number, "name": "" if _is_placeholder(name) else name}
    keys = [f"number {said['number']}"] if said["number"] else []
    if said["name"] and (born or not keys):
        keys.append(f"name {said['name']}\\{born}")
    return tuple(keys), bool((number and not said["number"]) or (name and not said["name"]))


def _is_placeholder(text: str) -> bool:
    words = re.findall(r"[^\W_]+", text)
    return all(word in _PLACEHOLDERS or not word.strip("0") for word in words)


def known_view(text: str) -> str:
    """Return the view in `text`, upper-cased, if it is one of VIEWS or one with the position of the patient, else "".

    >>> known_view("pa"), known_view("AP_supine"), known_view("PA HR MUELLER")
    ('PA', 'AP SUPINE', '')
    """
    view = " ".join(re.split(r"[\s_-]+", text.strip().upper()))
    return view if view in VIEWS or re.fullmatch(_POSITIONED, view) else ""


def _age(data: Any) -> float | None:
    """Return PatientAge, such as 045Y or 011M (PS3.5, table 6.2-1), or else the time from birth to study, in years."""
    said = _text(data, "PatientAge").upper()
    if said[:-1].isdecimal() and said[-1] in _DAYS:
        years = round(int(said[:-1]) * _DAYS[said[-1]] / _DAYS["Y"], 2)
        return years if years <= _OLDEST else None
    born = _date(data, "PatientBirthDate")
    seen = next((date for name in _DATES if (date := _date(data, name))), None)
    if born is None or seen is None:
        return None
    years = round((seen - born).days / _DAYS["Y"])  # a date of birth could be reckoned from more digits
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
