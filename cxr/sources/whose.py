"""Whose radiograph each file of a source is, by all that is known of it."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from cxr.sources import patients

Way = Literal["table", "expression", "header", "name", "none"]
WAYS: tuple[Way, ...] = ("table", "expression", "header", "name", "none")
"""How a patient is known, the surest first."""


# Before what files of one patient share. Of the first, nothing may be written.
_HEADER, _NAME = "header ", "name "


class File(NamedTuple):
    """A file, and what may tell whose it is; `patient` is the table's, `headers` the identifying keys in a DICOM header."""

    path: str
    patient: str = ""
    headers: tuple[str, ...] = ()
    dicom: bool = False


class Whose(NamedTuple):
    """The patient of a file, empty where nothing tells, the way that told, and what to call the file instead of its path."""

    patient: str
    way: Way
    name: str


def resolve(files: Sequence[File], expression: str = "") -> list[Whose]:
    """Return whose each of `files` is; `path` is the one below the source.

    The table comes first, then `expression`, searched for in the path (its first group, or the whole match), then the header,
    then the schemes of `patients`. Files that share a key of their headers, or one scheme's name, are of one patient, however
    that is told of one of them. Patients of DICOM files are numbered from p00001 in the order of their first file, and their
    files are called by patient and number, since names of files and folders could tell whom they show.
    """
    said = [_said(file, expression) for file in files]
    keys = _keys(files)
    # The user's word stands against headers that all say ANONYMOUS: only files without it are joined by what they share.
    group_of = _groups([mine for mine, (patient, _) in zip(keys, said, strict=True) if not patient])
    of_groups: dict[str, tuple[str, Way]] = {}
    for mine, (patient, way) in zip(keys, said, strict=True):
        for key in mine if patient else ():
            of_groups.setdefault(group_of.get(key, key), (patient, way))
    taken = {patient for patient, _ in said}
    numbers = (number for number in map("p{:05d}".format, range(1, 10**9)) if number not in taken)
    private = {group_of.get(key, key) for file, mine in zip(files, keys, strict=True) if file.dicom for key in mine}
    by_header = {group_of.get(key, key) for mine in keys for key in mine if key.startswith(_HEADER)}
    counts: Counter[str] = Counter()
    result = []
    for file, told, mine in zip(files, said, keys, strict=True):
        patient, way = told
        if not patient and mine:
            group = group_of[mine[0]]
            if group not in of_groups:
                known: Way = "header" if group in by_header else "name"
                of_groups[group] = next(numbers) if group in private else group.removeprefix(_NAME), known
            patient, way = of_groups[group]
        called = patient or "unknown"
        hidden = file.dicom or any(group_of.get(key, key) in private for key in mine)
        counts[called] += hidden
        result.append(Whose(patient, way, f"{called}-{counts[called]:04d}" if hidden else ""))
    return result


def _said(file: File, expression: str) -> tuple[str, Way]:
    """Return the patient whom the user names, by table or expression."""
    if file.patient:
        return file.patient, "table"
    if expression and (match := re.search(expression, file.path)):
        found = (match[1] if match.re.groups else match[0]) or ""
        return (found, "expression") if found else ("", "none")
    return "", "none"


def _keys(files: Sequence[File]) -> list[list[str]]:
    """Return what each file has in common with others of its patient: the header, a scheme's name, the original of copies."""
    of_schemes = [patients.patient(file.path) for file in files]
    copies = patients.copies(file.path for file, patient in zip(files, of_schemes, strict=True) if not patient)
    keys = []
    for file, patient in zip(files, of_schemes, strict=True):
        mine = [_HEADER + header for header in file.headers]
        if patient:
            mine.append(_NAME + patient)
        else:
            mine += [_NAME + name for name in copies.get(file.path, [])]
        keys.append(mine)
    return keys


def _groups(keys: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return for each key one of those that files join with it, always the same: a name where there is one."""
    parent: dict[str, str] = {}

    def first(key: str) -> str:
        while (above := parent.setdefault(key, key)) != key:
            key = above
        return key

    for mine in keys:
        for key in mine:
            one, other = sorted((first(mine[0]), first(key)), reverse=True)
            parent[other] = one
    return {key: first(key) for key in parent}
