"""Whose radiograph a file is, told from its name alone."""

import re
from pathlib import PurePosixPath

# The names of Kermany et al. 2018 in the Kaggle edition (person..., IM-..., NORMAL2-IM-...) and in the later Mendeley
# edition (CLASS-PATIENT-IMAGE). One patient's radiographs differ in the parts after the number.
_PERSON = re.compile(r"person(\d+)_(?:bacteria|virus)_\d+", re.IGNORECASE)
_IM = re.compile(r"(?:NORMAL\d*-)?IM-(\d+)-\d+(?:-\d+)?", re.IGNORECASE)
_MENDELEY = re.compile(r"(?:NORMAL|BACTERIA|VIRUS)-(\d+)-\d+", re.IGNORECASE)


def patient(name: str) -> str:
    """Return a name for the patient whom the file `name` (with or without folders and suffix) shows.

    Equal numbers count as one patient, though the numbering of the Kaggle set may restart between its folders: to keep two
    people together costs nothing, to tear one apart leaks the test set into training. A name of no known pattern is a
    patient of its own.

    >>> patient("person100_bacteria_477.jpeg"), patient("NORMAL2-IM-0374-0001-0002.jpeg"), patient("scan 7.png")
    ('person100', 'IM-0374', 'scan 7')
    """
    stem = PurePosixPath(name).stem
    if match := _PERSON.fullmatch(stem):
        return f"person{int(match[1])}"
    if match := _IM.fullmatch(stem):
        return f"IM-{int(match[1]):04d}"
    if match := _MENDELEY.fullmatch(stem):
        return f"ID-{int(match[1])}"
    return stem
