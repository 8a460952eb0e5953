"""What viewers write into the corners of a radiograph: whose it is, and how it was taken."""

import re
from typing import Any, NamedTuple

LONGEST = 64
"""Characters of a text, as many as most elements may have (PS3.5, table 6.2-1)."""
UNIT = "mm"


class Spacing(NamedTuple):
    """How far pixels are from each other."""

    down: float
    across: float
    """Between rows, and between columns, in mm."""
    kind: str
    """Where these millimetres are: those of a detector are longer than what they show of a patient."""


CORNERS = {
    "patient": ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
    "study": ("StudyDate", "StudyTime", "AccessionNumber", "StudyDescription", "InstitutionName"),
    "image": ("ViewPosition", "ImageLaterality", "BodyPartExamined", "SeriesDescription"),
}
"""Elements by corner. Where there is no date of the study, there may be one of the exposure."""


def corners(data: Any) -> dict[str, tuple[str, ...]]:
    """Return what the data set `data` says for each of CORNERS, in one line a text; nothing for what is not said."""
    found = {corner: [_text(data, name) for name in names] for corner, names in CORNERS.items()}
    return {corner: tuple(text for text in texts if text) for corner, texts in found.items()}


def _text(data: Any, name: str) -> str:
    said = text_of(data, name)
    if name == "StudyDate":
        return said or text_of(data, "AcquisitionDate") or text_of(data, "ContentDate")
    return f"Acc. {said}" if said and name == "AccessionNumber" else said


def text_of(data: Any, name: str) -> str:
    """Return the element `name` as one short line, "" where there is none or it cannot be understood."""
    try:
        value = data.get(name)
        said = "\\".join(map(str, value)) if isinstance(value, (list, tuple)) or hasattr(value, "append") else str(value or "")
    except Exception:  # broken values lead pydicom anywhere
        return ""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in said).split())[:LONGEST]


def orientation(data: Any) -> tuple[str, str] | None:
    """Return the sides of the patient towards which rows and columns go, such as L and F (PS3.3, C.7.6.1.1.1)."""
    said = text_of(data, "PatientOrientation").upper().split("\\")
    if len(said) != 2 or not all(re.fullmatch("[LRAPHF]{1,3}", each) for each in said):
        return None
    return said[0], said[1]


def spacing(data: Any) -> Spacing | None:
    """Return how far pixels are from each other, and where: PS3.3, 10.7.1.3 and C.8.11.7.1.

    PixelSpacing is calibrated where its type says so, or where it differs from ImagerPixelSpacing. Where both are equal it is
    of the detector's plane, in which all is larger; the header may estimate by how much. PixelSpacing alone tells no plane.
    """
    pixel = _lengths(data, "PixelSpacing")
    detector = _lengths(data, "ImagerPixelSpacing") or _lengths(data, "NominalScannedPixelSpacing")
    if pixel and (text_of(data, "PixelSpacingCalibrationType") or (detector and pixel != detector)):
        return Spacing(*pixel, kind=f"{UNIT} (calibrated by the header)")
    if pixel and not detector:
        return Spacing(*pixel, kind=f"{UNIT} (the header tells not in which plane)")
    if not detector:
        return None
    if factor := _positive(text_of(data, "EstimatedRadiographicMagnificationFactor")):
        return Spacing(detector[0] / factor, detector[1] / factor, f"{UNIT} (at the patient, as the header estimates)")
    return Spacing(*detector, kind=f"{UNIT} at the detector (longer than in the patient)")


def _lengths(data: Any, name: str) -> tuple[float, float] | None:
    numbers = [_positive(part) for part in text_of(data, name).split("\\")]
    lengths = [number for number in numbers if number]
    if len(lengths) != len(numbers) or not 1 <= len(lengths) <= 2:
        return None
    return lengths[0], lengths[-1]


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < 1e6 else None
