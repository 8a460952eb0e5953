"""What the folders of a source say of the radiographs in them, and which of its images are no radiographs."""

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from cxr.sources import patients
from cxr.sources.findings import is_known

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


def classes(paths: Sequence[str], listed: Collection[str] = ()) -> dict[str, tuple[str, bool]]:
    """Return `class_of` each of the images `paths`."""
    of_folder = {_folder(path): class_of(path, listed) for path in paths}
    return {path: of_folder[_folder(path)] for path in paths}


def class_of(path: str, listed: Collection[str] = ()) -> tuple[str, bool]:
    """Return the folder that is the class of the image `path`, empty when there is none, and whether it is the nearest one.

    From the image upwards, the first folder is its class whose name is that of a known finding, or one of `listed`. No other
    name counts, since archives often have a folder for each patient, by name.

    >>> class_of("chest_xray/train/NORMAL/IM-0115-0001.jpeg"), class_of("COVID/images/a.png"), class_of("Doe Jane/a.png")
    (('NORMAL', True), ('COVID', False), ('', False))
    >>> class_of("ward/a.png", ["ward"])
    ('ward', True)
    """
    folders = PurePosixPath(path).parts[:-1]
    for name in reversed(folders):
        if name in listed or is_known(name):
            return name, name == folders[-1]
    return "", False


def unknown(path: str, shared: int) -> str:
    """Return the folder of the image `path` that may be a class of a name that is not known, empty when there is none.

    It is the first one upwards that does more than hold things together (`images`, `train`), unless its name is that of a
    patient, a study, a series or a view, a date, a number or a UID, or it is one of the `shared` topmost folders, which all
    images lie in.

    >>> unknown("odd/images/a.png", 0), unknown("train/patient00001/study1/view1_frontal.jpg", 0), unknown("set/a.png", 1)
    ('odd', '', '')
    """
    for name in reversed(PurePosixPath(path).parts[shared:-1]):
        if not _is_container(name):
            return "" if _names_one(name) else name
    return ""


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
