"""Whose radiograph each file of a source is, by all that is known of it."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from cxr.sources import patients

Way = Literal["table", "expression", "header", "name", "none"]
WAYS: tuple[Way, ...] = ("table", "expression", "header", "name", "none")
"""How a patient is known, the surest first."""


class File(NamedTuple):
    """A file, and what may tell whose it is; `patient` is the table's, `header` the identifying key in a DICOM header."""

    path: str
    patient: str = ""
    header: str = ""
    dicom: bool = False


class Whose(NamedTuple):
    """The patient of a file, empty where nothing tells, the way that told, and what tables and pictures call the file."""

    patient: str
    way: Way
    name: str


def resolve(files: Sequence[File], expression: str = "") -> list[Whose]:
    """Return whose each of `files` is; `path` is the one below the source.

    The table comes first, then `expression`, searched for in the path (its first group, or the whole match), then the header,
    then the schemes of `patients`. What a surer way says of one file holds for the others of the same header or scheme.
    Patients of headers are numbered from p00001 in the order of their first file. A DICOM file is called by its patient and
    its number among his files, since its own name could tell whom it shows.
    """
    said = [_said(file, expression) for file in files]
    of_names = _names(files)
    known: dict[str, tuple[str, Way]] = {}
    for (patient, way), keys in zip(said, map(_keys, files, of_names), strict=True):
        if patient:
            for key in keys:
                known.setdefault(key, (patient, way))
    taken = {patient for patient, _ in said}
    numbers = (number for number in map("p{:05d}".format, range(1, 10**9)) if number not in taken)
    counts: Counter[str] = Counter()
    result = []
    for file, told, of_name in zip(files, said, of_names, strict=True):
        keys = _keys(file, of_name)
        patient, way = told if told[0] else next((known[key] for key in keys if key in known), ("", "none"))
        if not patient and keys:
            by_header = bool(file.header)
            # The stem of a DICOM file's copies could tell whom they show as well as the header.
            patient = next(numbers) if by_header or (file.dicom and not patients.patient(file.path)) else of_name
            way = "header" if by_header else "name"
        for key in keys:
            known.setdefault(key, (patient, way))
        counts[patient or "unknown"] += file.dicom
        name = f"{patient or 'unknown'}-{counts[patient or 'unknown']:04d}" if file.dicom else file.path
        result.append(Whose(patient, way, name))
    return result


def _said(file: File, expression: str) -> tuple[str, Way]:
    """Return the patient whom the user names, by table or expression."""
    if file.patient:
        return file.patient, "table"
    if expression and (match := re.search(expression, file.path)):
        found = (match[1] if match.re.groups else match[0]) or ""
        return (found, "expression") if found else ("", "none")
    return "", "none"


def _names(files: Sequence[File]) -> list[str]:
    """Return the patient whom each file's name tells: by a scheme, or as a copy of another file."""
    of_schemes = [patients.patient(file.path) for file in files]
    unknown = [file.path for file, patient in zip(files, of_schemes, strict=True) if not patient]
    copies = patients.copies(unknown)
    return [patient or copies.get(file.path, "") for file, patient in zip(files, of_schemes, strict=True)]


def _keys(file: File, of_name: str) -> list[str]:
    """Return what files of one patient have in common."""
    keys = [f"header {file.header}"] if file.header else []
    return [*keys, f"name {of_name}"] if of_name else keys
