"""Whose radiograph a file is, and whether it shows tuberculosis, told from its name: the schemes of public data sets."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".dcm", ".dicom", ".ima")
"""What ends the name of a radiograph; anything else after a dot belongs to the name, as in a UID."""

Name = Callable[[re.Match[str]], str]

_START, _END = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"


def _scheme(pattern: str, name: Name) -> tuple[re.Pattern[str], Name]:
    return re.compile(pattern, re.IGNORECASE), name


# Schemes that write the patient somewhere into the path: as a folder, or, in a set laid flat, as a part of the name.
_ANYWHERE = (
    _scheme(rf"{_START}patient[ _-]?(\d+)", lambda match: f"patient{int(match[1]):05d}"),  # CheXpert
    _scheme(rf"{_START}p(1\d{{7}}){_END}", lambda match: f"MIMIC-{match[1]}"),  # MIMIC-CXR
    _scheme(rf"{_START}LIDC-IDRI-(\d+){_END}", lambda match: f"LIDC-IDRI-{int(match[1]):04d}"),
    _scheme(rf"{_START}sub-(?=[a-z]*\d)([a-z0-9]+)", lambda match: f"sub-{match[1].upper()}"),  # BIDS, and so BIMCV
    _scheme(rf"{_START}phantom-(\d+){_END}", lambda match: f"phantom-{int(match[1]):04d}"),  # the project's own
)

# Shenzhen and Montgomery (Jaeger et al., Quant. Imaging Med. Surg. 4(6), 2014); the last digit is 1 where it is tuberculosis.
_OF_TWO_CLINICS = rf"{_START}(CHN|MCU)CXR_(\d+)_([01])(?:_mask)?$"

# Schemes of the file's name, which in a set laid flat may stand behind the names of its folders. The first that fits counts.
_NAME = (
    # Open-i, as published (CXR1_1_IM-0001-3001) and in the Kaggle edition (1_IM-0001-4001.dcm.png)
    _scheme(rf"{_START}(?:CXR)?(\d+)_(?:\d+_)?IM-\d+(?:-\d+)*$", lambda match: f"CXR{int(match[1])}"),
    # Kermany et al. 2018, Kaggle edition; the parts after the number differ between the radiographs of a patient.
    _scheme(rf"{_START}person(\d+)_(?:bacteria|virus)_\d+$", lambda match: f"person{int(match[1])}"),
    _scheme(rf"{_START}(?:NORMAL\d*-)?IM-(\d+)-\d+(?:-\d+)?$", lambda match: f"IM-{int(match[1]):04d}"),
    # Kermany et al. 2018, later Mendeley edition: CLASS-PATIENT-IMAGE
    _scheme(rf"{_START}(?:NORMAL|BACTERIA|VIRUS)-(\d+)-\d+$", lambda match: f"ID-{int(match[1])}"),
    # NIH ChestX-ray14: patients up to 00030805. Eight digits of another kind are often a date.
    _scheme(rf"{_START}(000\d{{5}})_\d{{3}}$", lambda match: f"NIH-{int(match[1])}"),
    _scheme(_OF_TWO_CLINICS, lambda match: f"{match[1].upper()}CXR-{int(match[2])}"),
    _scheme(rf"{_START}(JPC[LN]N\d{{3}})(?:\.IMG)?$", lambda match: match[1].upper()),  # JSRT
    # One file a patient: VinDr (32 hex digits) and RSNA (a UUID). Behind other words they are hashes of files.
    _scheme(r"^(?=\d*[a-f])([0-9a-f]{32})$", lambda match: match[1].lower()),
    _scheme(r"^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$", lambda match: match[1].lower()),
)

_NUMBERED = re.compile(r"\s*\(\d+\)$")  # a further download or copy, but also what Windows calls many files renamed at once
_COPY_WORDS = r"aug(?:mented)?|copy|copie|copia|kopie|[hv]?flip(?:ped)?|resized?|rot(?:ated)?|zoom(?:ed)?"
_ROBOFLOW = r"_(?:jpe?g|png|bmp|tiff?|webp)\.rf\.[0-9a-z]+"
_MARKED = re.compile(rf"(?:(?:\s+-\s+|[\s_-])(?:{_COPY_WORDS})[\s_-]?\d*(?:x\d+)?|{_ROBOFLOW})$", re.IGNORECASE)
_FURTHER = re.compile(r"[\s_]\d+(?:x\d+)?$")  # of copies in another size, or by macOS; but many names end so
_BY_MACOS = re.compile(r"(?<=\S) \d+$")
_COPY_OF = re.compile(r"^copy of ", re.IGNORECASE)


def patient(path: str) -> str:
    """Return a name for the patient whom the file `path` (with or without folders and suffix) shows, empty when no scheme fits.

    Marks of copies, such as ` (1)`, `_aug0` or ` - Copy`, do not count. Two schemes never give the same name. Equal numbers of
    one scheme count as one patient, though the numbering of the Kaggle set may restart between its folders: to keep two people
    together costs nothing, to tear one apart leaks the test set into training.

    >>> patient("person100_bacteria_477.jpeg"), patient("NORMAL2-IM-0374-0001-0002 (1).jpeg"), patient("scan 7.png")
    ('person100', 'IM-0374', '')
    >>> patient("train/patient00001/study1/view1_frontal.jpg"), patient("00000013_005.png")
    ('patient00001', 'NIH-13')
    """
    for pattern, named in _ANYWHERE:
        if match := pattern.search(path):
            return named(match)
    for name in _shorter(path):
        for pattern, named in _NAME:
            if match := pattern.search(name):
                return named(match)
    return ""


def tuberculosis(path: str) -> bool | None:
    """Return whether the file `path` (with or without folders and suffix) shows tuberculosis; None where its name does not say.

    A name that tells the patient by this scheme tells this, too, whatever marks of copies it has.

    >>> tuberculosis("a/CHNCXR_0327_1.png"), tuberculosis("MCUCXR_0001_0 (1).png"), tuberculosis("scan_1.png")
    (True, False, None)
    """
    for name in _shorter(path):
        if match := re.search(_OF_TWO_CLINICS, name, re.IGNORECASE):
            return match[3] == "1"
    return None


def stem(path: str) -> str:
    """Return the last part of `path` without what ends the name of a radiograph.

    >>> stem("a/1.2.840.113619"), stem("1_IM-0001-4001.dcm.png")
    ('1.2.840.113619', '1_IM-0001-4001')
    """
    name = path.rstrip("/").rpartition("/")[2]
    while (parts := name.rpartition("."))[0] and f".{parts[2].lower()}" in SUFFIXES:
        name = parts[0]
    return name


def original(path: str) -> str:
    """Return the stem of the radiograph of which `path` is a copy, or its own.

    >>> original("scan 7 (1).png"), original("scan 7_aug0_resized.png"), original("scan 7 - Copy (2).png")
    ('scan 7', 'scan 7', 'scan 7')
    """
    return _unmarked(_NUMBERED, path)


def copies(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return names for the patient, `file` and the original's stem, for each of `paths` that is a copy, and for the original.

    A number in brackets alone makes a copy only where the file without it is there as well: `chest (1)` to `chest (500)` are
    what Windows makes of files that are renamed at once. So does a number behind a blank, as macOS writes it, where the file
    without it is there in the same folder. Otherwise folders do not count, since
    copies are often kept apart; but files of one folder and one name, such as a DICOM file and its preview, show one patient.

    >>> copies(["a/x.png", "b/x (1).png", "y (1).png", "y (2).png", "z_aug0.png", "z_aug1.png"])
    {'a/x.png': ['file x'], 'b/x (1).png': ['file x'], 'z_aug0.png': ['file z'], 'z_aug1.png': ['file z']}
    >>> copies(["a/y.dcm", "a/y.jpg", "b/y.jpg"])
    {'a/y.dcm': ['file a/y'], 'a/y.jpg': ['file a/y']}
    """
    groups: dict[str, list[str]] = defaultdict(list)
    twins: dict[str, list[str]] = defaultdict(list)
    paths = list(dict.fromkeys(paths))
    whole = {stem(path) for path in paths}
    bare = {path: (PurePosixPath(path).parent / stem(path)).as_posix() for path in paths}
    there = set(bare.values())
    for path in paths:
        group = original(path)
        if (first := _BY_MACOS.sub("", bare[path])) != bare[path] and first in there:
            group = original(first)
        groups[group if group in whole else _unmarked(None, path)].append(path)
        twins[bare[path]].append(path)
    several = [(group, members) for group, members in groups.items() if len({stem(path) for path in members}) > 1]
    several += [(twin, members) for twin, members in twins.items() if len(members) > 1]
    names: dict[str, list[str]] = defaultdict(list)
    for group, members in several:
        for path in members:
            names[path].append(f"file {group}")
    return dict(names)


def _shorter(path: str) -> Iterator[str]:
    """Yield the stem of the radiograph of which `path` is a copy, then without each further number that may mark one."""
    name, longer = original(path), ""
    while name != longer:
        yield name
        name, longer = _FURTHER.sub("", name), name


def _unmarked(numbered: re.Pattern[str] | None, path: str) -> str:
    """Return the stem of `path` without the marks of a copy, `numbered` among them."""
    name = _COPY_OF.sub("", stem(path))
    while True:
        shorter = stem(_MARKED.sub("", numbered.sub("", name) if numbered else name))
        if shorter in {name, ""}:
            return name
        name = shorter
