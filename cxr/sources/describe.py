"""Everything that is known of each image taken, as rows of the table that lies beside them."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cxr.formats.decode import Unusable
from cxr.formats.dicom.header import Header, header, is_dicom
from cxr.formats.shape import shape
from cxr.sources import columns, findings, whose
from cxr.sources.places import DICOM_SUFFIXES
from cxr.sources.settings import Download
from cxr.sources.table import BETWEEN, EXTERNAL, PARTS, Listed

_PARTS = frozenset((*PARTS, "valid", "validation", "training", "testing"))
_FEWEST = 10  # patients of a collection: a folder of fewer may be named after one
_SLACK = 0.02  # of the frame: boxes drawn by hand reach a little beyond it


class Taken(NamedTuple):
    """An image that is taken: its place in the source and in the folder, its class, and what a table says of it."""

    origin: str
    target: str
    klass: str = ""
    row: columns.Row | None = None
    mask: str = ""


class Described(NamedTuple):
    """A row of the table, how its patient is known, and whether one of the rows `missing` is of the same one."""

    listed: Listed
    way: whose.Way
    missed: bool = False


def describe(
    folder: Path, taken: Sequence[Taken], settings: Download, notes: list[str], missing: Sequence[columns.Row] = ()
) -> list[Described]:
    """Return the rows of the table for the images `taken`, which lie in `folder`, in the order of their targets.

    Of an image a table knows more than its header, and that more than its folders. `missing` are rows of a table whose images
    are not there. What is to be told goes to `notes`.
    """
    taken = sorted(taken, key=lambda each: each.target)
    headers = [_header(folder / each.target) for each in taken]
    files = [
        whose.File(each.origin, each.row.patient if each.row else "", head.patients if head else (), dicom)
        for each, (dicom, head) in zip(taken, headers, strict=True)
    ]
    files += [whose.File(row.file.replace("\\", "/"), row.patient) for row in missing]
    known = whose.resolve(files, settings.patient)
    missed = {patient for patient, _, _ in known[len(taken) :] if patient}
    if nobody := sum(bool(head and head.placeholder and not head.patients) for _, head in headers):
        notes.append(f"{nobody} of {len(taken)} images have a DICOM header with a word such as ANONYMOUS for a patient")
    if external := sum(settings.is_outside(each.origin) for each in taken):
        notes.append(f"{external} of {len(taken)} images are external by download.external")
    outside: list[str] = []
    boxes = [BETWEEN.join(_shares(folder / each.target, each.row, outside)) if each.row else "" for each in taken]
    if outside:
        notes.append(f"{len(outside)} boxes are left out, such as {outside[0]}; see download.columns.frame")
    collections = _collections([each.origin for each in taken], [patient for patient, _, _ in known[: len(taken)]], settings)
    return [
        Described(
            _listed(each, head, patient, name or each.target, settings)._replace(boxes=shares, collection=collection),
            way,
            patient in missed,
        )
        for each, (_, head), (patient, way, name), shares, collection in zip(
            taken, headers, known[: len(taken)], boxes, collections, strict=True
        )
    ]


def _collections(origins: Sequence[str], patients: Sequence[str], settings: Download) -> list[str]:
    """Return of which collection each image is: the outermost folder that names neither finding nor part, nor holds them all.

    "" where there is none, or one of fewer than _FEWEST patients; and of all, where there are not two collections.
    """

    def told(folder: str) -> bool:
        return folder not in settings.meanings and folder.casefold() not in _PARTS and not findings.is_known(folder)

    folders = [list(filter(told, PurePosixPath(origin).parts[:-1])) for origin in origins]
    common = set.intersection(*map(set, folders)) if folders else set()
    named = [next((folder for folder in each if folder not in common), "") for each in folders]
    of: dict[str, set[str]] = {}
    for name, patient, origin in zip(named, patients, origins, strict=True):
        of.setdefault(name, set()).add(patient or origin)
    large = {name for name, members in of.items() if name and len(members) >= _FEWEST}
    return [name if name in large and len(of) > 1 else "" for name in named]


def without_external(described: Sequence[Described]) -> tuple[list[Described], list[Listed]]:
    """Return `described` without what must not be used, which comes second.

    A patient is external as a whole. Where the image that makes him so is missing, his others, which are not external
    themselves, can neither be trained on nor stand for it.
    """
    torn = [each.listed for each in described if each.missed and each.listed.split != EXTERNAL]
    gone = {listed.file for listed in torn}
    return [each for each in described if each.listed.file not in gone], torn


def _listed(each: Taken, head: Header | None, patient: str, name: str, settings: Download) -> Listed:
    row = each.row or columns.Row(each.origin)
    found = row.findings if "findings" in settings.columns else _by_place(each, settings)
    return Listed(
        file=each.target,
        name=name,
        patient=patient,
        findings=findings.joined(found),
        split=EXTERNAL if settings.is_outside(each.origin) else row.split,
        view=row.view or (head.view if head else ""),
        age=row.age or (f"{head.age:.4g}" if head and head.age is not None else ""),
        sex=row.sex or (head.sex if head else ""),
        spacing=row.spacing or (f"{head.spacing:.6g}" if head and head.spacing is not None else ""),
        mask=each.mask,
    )


def _by_place(each: Taken, settings: Download) -> Iterable[str]:
    """Return the findings that the folder or the name of an image tells: the user's word counts most, then the name."""
    of_folder = findings.of_folder(each.klass, settings.meanings)
    return of_folder if each.klass in settings.meanings else findings.of_name(each.origin) or of_folder


def _header(path: Path) -> tuple[bool, Header | None]:
    """Return whether `path` is, or calls itself, DICOM, and what its header says where it can be read."""
    if not is_dicom(path):
        return path.suffix.lower() in DICOM_SUFFIXES, None
    try:
        return True, header(path)
    except Unusable:  # preprocess sets the file aside and says why
        return True, None


def _shares(path: Path, row: columns.Row, outside: list[str]) -> Iterable[str]:
    """Yield the boxes of `row` as the table writes them: the finding, then shares of the image's width and height.

    Add to `outside` a text on each box that leaves its frame.
    """
    for box in row.boxes:
        try:
            width, height = box.frame or shape(path)[::-1]
        except Unusable:  # preprocess sets the file aside and says why
            return
        left, right = box.left / width, (box.left + box.width) / width
        top, bottom = box.top / height, (box.top + box.height) / height
        if not (-_SLACK <= left < right <= 1 + _SLACK and -_SLACK <= top < bottom <= 1 + _SLACK):
            numbers = f"{box.left:g} {box.top:g} {box.width:g} {box.height:g}"
            outside.append(f"{numbers} of {row.file}, which is not in {width}x{height} pixels")
            continue
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, 1), min(bottom, 1)
        yield f"{box.finding} {left:.6f} {top:.6f} {right - left:.6f} {bottom - top:.6f}".lstrip()
