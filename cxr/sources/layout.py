"""What the folders of a source say of the radiographs in them, and which of its images are no radiographs."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from cxr.sources import patients
from cxr.sources.findings import is_known
from cxr.sources.places import IMAGE_SUFFIXES

MOST_CLASSES = 20
"""Folders of unknown names that may be classes; public sets tell up to fifteen findings apart."""

# A folder with a name of such words alone, numbers aside, only holds things together: images_001, CXR_png, train.
_CONTAINER = re.compile(
    "all|ap|batch|bmp|chest|cxrs?|data|database|dataset|dcm|dicoms?|export|files?|folders?|fold|frontal|full|images?|imgs?|jpe?g"
    "|lateral|nlmcxr|normalized|originals?|pa|part|pngs?|radiographs?|raw|rays?|scans|small|split|test|testing|tiff?|train"
    "|training|val|valid|validation|version|x|xrays?"
)
# Hospitals' archives and public sets name folders by these and a number or code: ST000001, s50414267, ses-E06064, patient_7.
_NUMBERED = re.compile(
    r"(?:patient|pat|pt|pa|p|study|stud|stu|st|s|series|ser|se|subject|subj|sub|case|visit|exam|session|ses|acc|accession|id"
    r"|view|run|im|scan|anon\w*?)[\s_.#-]*[a-z]?\d[\w.-]*",
    re.IGNORECASE,
)
_BIDS = frozenset(("anat", "mod-rx", "mod-dx", "mod-cr"))
_MASK = re.compile(r"(?:manual|left|right|lung|lungs)?[\s_-]?masks?", re.IGNORECASE)


def is_mask(path: str) -> bool:
    """Tell whether the image `path` is named as a mask of a radiograph, as sets with segmented lungs hold them."""
    *folders, _ = PurePosixPath(path).parts
    return any(_MASK.fullmatch(folder) for folder in folders) or patients.stem(path).lower().endswith("_mask")


def common(paths: Sequence[str]) -> int:
    """Return how many folders, from the top, all `paths` lie in."""
    if not paths:
        return 0
    first, last = (PurePosixPath(path).parts[:-1] for path in (min(paths, key=_parts), max(paths, key=_parts)))
    return next(
        (i for i, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), min(len(first), len(last))
    )


def classes(paths: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """Return `class_of` each of the images `paths`.

    Of DICOM files only names of known findings count, and so with more than MOST_CLASSES others: archives often have a folder
    for each patient, by name.
    """
    shared = common(paths)
    of_folder = {folder: class_of(path, shared) for folder, path in {_folder(path): path for path in paths}.items()}
    found = {path: of_folder[_folder(path)] for path in paths}
    others = {klass for klass, _ in found.values() if klass and not is_known(klass)}
    return {
        path: (klass, nearest)
        if is_known(klass) or (len(others) <= MOST_CLASSES and path.lower().endswith(IMAGE_SUFFIXES))
        else ("", False)
        for path, (klass, nearest) in found.items()
    }


def class_of(path: str, shared: int) -> tuple[str, bool]:
    """Return the folder that is the class of the image `path`, empty when there is none, and whether it is the nearest one.

    From the image upwards, past folders that only hold things together (`images`, `train`), the first folder is its class,
    unless its name is that of a patient, a study, a series or a view, a date, a number or a UID, or it is one of the `shared`
    topmost folders, which all images lie in: of those and of what lies above a patient, only names of known findings count.

    >>> class_of("chest_xray/train/NORMAL/IM-0115-0001.jpeg", 1), class_of("COVID/images/a.png", 0)
    (('NORMAL', True), ('COVID', False))
    >>> class_of("train/patient00001/study1/view1_frontal.jpg", 0), class_of("set/images_001/00000001_000.png", 1)
    (('', False), ('', False))
    """
    folders = PurePosixPath(path).parts[:-1]
    above_patient = False
    for depth in reversed(range(len(folders))):
        name = folders[depth]
        if is_known(name):
            return name, depth == len(folders) - 1
        if above_patient or depth < shared or _is_container(name):
            continue
        if not _names_one(name):
            return name, depth == len(folders) - 1
        above_patient = True
    return "", False


def _is_container(name: str) -> bool:
    words = re.findall(r"[a-z]+", name.lower())
    return bool(words) and all(_CONTAINER.fullmatch(word) for word in words)


def _names_one(name: str) -> bool:
    """Tell whether the folder `name` is one patient, study, series or view."""
    numbers_alone = not re.search(r"[^\W\d_]", name)
    hexadecimal = re.fullmatch(r"(?=.*\d)[0-9a-f-]{16,}", name, re.IGNORECASE)
    return bool(numbers_alone or hexadecimal or _NUMBERED.fullmatch(name) or name.lower() in _BIDS or patients.patient(name))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(path).parts[:-1]
