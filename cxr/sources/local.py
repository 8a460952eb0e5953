"""Radiographs of the user's own: a zip or a folder, as hospitals and public sets have them."""

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cxr.formats.dicom.header import begins_dicom
from cxr.foundation.errors import UserError
from cxr.sources import columns, findings, layout, places, whose, zips
from cxr.sources import table as listing
from cxr.sources.describe import Described, Taken, describe, without_external
from cxr.sources.matching import match
from cxr.sources.settings import Download

UNKNOWN = "unknown"
LEFT_OUT = ("copies", "no_image", "masks", "not_in_table", "external")


class Fetched(NamedTuple):
    """What a source held."""

    images: dict[str, int]
    """Images taken, by their findings as one text; UNKNOWN where nothing says."""
    left_out: dict[str, int]
    """Files not taken, by LEFT_OUT: further copies, with identical bytes, of images taken; files that are no images, macOS
    litter included; masks; images that the table does not list; images of patients whose external image is missing."""
    patients: dict[str, int]
    """Patients by the way they are known (`whose.WAYS`); under `none`, images that are each a patient of their own."""
    sha256: str
    """Of the zip; of a folder, of what `sha256sum` prints for its images in the order of their paths."""
    notes: list[str]
    """Lines for the user."""


class _Chosen(NamedTuple):
    """Images that are taken, and masks of them, by their indices in the source; and rows whose images are not there."""

    taken: dict[int, Taken]
    masks: dict[int, Taken]
    missing: list[columns.Row]


def fetch(source: Path, folder: Path, settings: Download) -> Fetched:
    """Copy each image of `source`, a zip or a folder, once to `folder`, bytes unchanged, and write the table of `folder`.

    An image whose nearest folder is a class (`layout.classes`) goes to CLASS/NAME, unless it is DICOM or a table lists it:
    those keep their path, below the folders that all images have in common. Raises UserError when `source` is missing,
    damaged, encrypted, unsafe to unpack or without images; when its table cannot be read or lists none of them; and when two
    different images would have the same path (upper and lower case count as equal, as some file systems cannot hold both);
    and when `settings.external` is found in the path of no image, since what it is to keep apart would be learnt from.
    """
    notes: list[str] = []
    with places.opened(source, folder) as place:
        if not place.images:
            raise UserError(f"{source}: no images in it (DICOM, {', '.join(places.IMAGE_SUFFIXES)}); give radiographs")
        by = _by_table if settings.table else _by_folders
        taken, masks, missing = by(place, settings, notes)
        settings.refuse_unfound([each.origin for each in taken.values()])
        everything = dict(sorted({**taken, **masks}.items()))
        place.check(list(everything), folder)
        shelf = _Shelf(source, folder)
        digest = hashlib.sha256()
        kept = []
        with zips.bytes_bar("copying", sum(map(place.size, everything))) as bar:
            for index, each in everything.items():
                sha256, new = shelf.put(each, place.chunks(index, bar))
                digest.update(_line(each.origin, sha256))
                if new and index in taken:
                    kept.append(each)
        aside = len(place.images) - len(everything)
        left_out = {
            "copies": len(taken) - len(kept),
            "no_image": len(place.others) - bool(settings.table),
            "masks": 0 if settings.table else aside,
            "not_in_table": aside if settings.table else 0,
        }
    external = [row for row in missing if row.split == listing.EXTERNAL or settings.is_outside(row.file)]
    described, torn = without_external(describe(folder, kept, settings, notes, external))
    left_out["external"] = len(torn)
    for listed in torn:
        (folder / listed.file).unlink()
    if not described:
        raise UserError(f"{source}: all images are of patients whose external image is missing; see download.columns.split")
    listing.write(folder, [each.listed for each in described])
    return _fetched(described, left_out, digest.hexdigest() if source.is_dir() else zips.sha256(source), notes)


def survey(folder: Path) -> Fetched:
    """Return what `folder` holds by its table. Its fingerprint equals that of a source with the same paths and bytes."""
    rows = listing.read(folder)
    digest = hashlib.sha256()
    for row in rows:
        with (folder / row.file).open("rb") as file:
            digest.update(_line(row.file, hashlib.file_digest(file, "sha256").hexdigest()))
    described = [Described(row, "table" if row.patient else "none") for row in rows]
    return _fetched(described, dict.fromkeys(LEFT_OUT, 0), digest.hexdigest(), [])


def _by_folders(place: places.Place, settings: Download, notes: list[str]) -> _Chosen:
    """Return the images of `place` that are no masks, with their classes."""
    chosen = [(index, path) for index, path in enumerate(place.images) if not layout.is_mask(path)]
    if not chosen:
        raise UserError(f"{place.source}: {len(place.images)} masks and no radiographs in it; give radiographs")
    shared = layout.common([path for _, path in chosen])
    classes = _classes([path for _, path in chosen], shared, settings, notes)
    taken = {}
    for index, path in chosen:
        klass, nearest = classes[path]
        named = nearest and PurePosixPath(path).suffix.lower() in places.IMAGE_SUFFIXES
        by_class = named and not begins_dicom(place.head(index))
        taken[index] = Taken(
            path, listing.plain(f"{klass}/{PurePosixPath(path).name}") if by_class else _below(path, shared), klass
        )
    return _Chosen(taken, {}, [])


def _classes(paths: Sequence[str], shared: int, settings: Download, notes: list[str]) -> dict[str, tuple[str, bool]]:
    """Return `layout.classes` of `paths`; a note tells of folders that may be classes, and are none."""
    classes = layout.classes(paths, settings.meanings)
    told = (bool(classes[path][0] or findings.of_name(path)) for path in paths)
    unknown = Counter("" if known else layout.unknown(path, shared) for path, known in zip(paths, told, strict=True))
    del unknown[""]
    if unknown and "findings" not in settings.columns:
        many = f"{sum(unknown.values())} images lie in {len(unknown)} folders whose names are no known findings"
        notes.append(f'{many}, such as {min(unknown)!r}; if they are, download.findings takes them: {{"FOLDER": FINDING}}')
    return classes


def _by_table(place: places.Place, settings: Download, notes: list[str]) -> _Chosen:
    """Return the images of `place` that its table lists, their masks, and rows of images that are not there."""
    name = _table_of(place, settings.table)
    where = f"{place.source}: {name}"
    read = columns.read(place.content(name), where, settings)
    notes += read.notes
    files = match(place.images, [row.file for row in read.rows])
    pictures = match(place.images, [row.mask for row in read.rows if row.mask])
    rows: dict[str, columns.Row] = {}
    missing = []
    for row in read.rows:
        if path := files.found.get(row.file):
            row = row._replace(mask=pictures.found.get(row.mask, ""))  # noqa: PLW2901
            rows[path] = columns.merged(rows[path], row, where) if path in rows else row
        else:
            missing.append(row)
    notes += _unmatched(where, "radiograph", [row.file for row in missing], files.ambiguous)
    masks_missing = [row.mask for row in read.rows if row.mask and row.mask not in pictures.found]
    notes += _unmatched(where, "mask", masks_missing, pictures.ambiguous)
    if not rows:
        raise UserError(f"{where}: none of {len(read.rows)} rows names a radiograph that is there; see download.columns.file")
    masks = {row.mask for row in rows.values() if row.mask} - set(rows)
    shared = layout.common([*rows, *masks])
    classes = _classes(list(rows), shared, settings, notes)
    numbers = {path: number for number, path in reversed(list(enumerate(place.images)))}
    taken = {
        numbers[path]: Taken(path, _below(path, shared), classes[path][0], row, _below(row.mask, shared) if row.mask else "")
        for path, row in rows.items()
    }
    return _Chosen(taken, {numbers[path]: Taken(path, _below(path, shared)) for path in masks}, missing)


def _unmatched(where: str, kind: str, missing: Sequence[str], ambiguous: Collection[str]) -> Iterable[str]:
    """Yield lines on the texts `missing`, which mean no file, though some, `ambiguous`, may mean several."""
    ambiguous = set(ambiguous)
    several = [text for text in missing if text in ambiguous]
    none = [text for text in missing if text not in ambiguous]
    if none:
        yield f"{where}: {len(none)} rows name a {kind} that is not there, the first {none[0]!r}"
    if several:
        what = f"{len(several)} rows may each mean a {kind} that others may mean as well"
        yield f"{where}: {what}, the first {several[0]!r}, and are not taken; name folders as the source does"


def _table_of(place: places.Place, name: str) -> str:
    """Return the path of the table `name` in `place`, where it may lie in folders that `name` leaves out."""
    name = PurePosixPath(name.replace("\\", "/")).as_posix()
    found = [name] if name in place.others else [path for path in place.others if f"/{path}".endswith(f"/{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{place.source}: download.table is {name}: is it {found[0]} or {found[1]}? name its folders as well")
    present = ", ".join([path for path in place.others if path.lower().endswith((".csv", ".tsv", ".txt"))][:10])
    raise UserError(f"{place.source}: download.table is {name}, which is not in it; tables in it: {present or 'none'}")


class _Shelf:
    """The folder that images are put on, each once."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source, self.folder = source, folder
        self.held: dict[str, tuple[str, str]] = {}  # target in lower case: SHA-256, and where it lay in the source

    def put(self, image: Taken, chunks: Iterable[bytes]) -> tuple[str, bool]:
        """Write `chunks`, the bytes of `image`, unless they are there; return their SHA-256, and whether they were new."""
        digest = hashlib.sha256()
        if PurePosixPath(image.target.casefold()).parts[0] == listing.NAME:
            raise UserError(f"{self.source}: {image.origin} is called as the list of images is, {listing.NAME}; rename it")
        if image.target.casefold() in self.held:
            for chunk in chunks:
                digest.update(chunk)
            sha256, first = self.held[image.target.casefold()]
            if sha256 != digest.hexdigest():
                raise UserError(f"{self.source}: {first} and {image.origin} are two images of one class and name; rename one")
            return sha256, False
        path = self.folder / image.target
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("xb")
        except OSError as error:
            if error.errno in {errno.EEXIST, errno.ENOTDIR, errno.EISDIR}:
                raise UserError(f"{self.source}: {image.origin} has the name of a folder; rename one") from None
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise UserError(f"{self.source}: {image.origin[:80]}...: the name is too long for this disk; shorten it") from None
        with file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
        self.held[image.target.casefold()] = digest.hexdigest(), image.origin
        return digest.hexdigest(), True


def _fetched(described: Sequence[Described], left_out: dict[str, int], sha256: str, notes: list[str]) -> Fetched:
    images = Counter(listed.findings or UNKNOWN for listed, *_ in described)
    ways: dict[str, whose.Way] = {}
    for listed, way, _ in described:
        if listed.patient:
            ways[listed.patient] = min(way, ways.get(listed.patient, way), key=whose.WAYS.index)
    nobody = sum(not listed.patient for listed, *_ in described)
    counts = Counter(ways.values())
    if images[UNKNOWN]:
        notes = [*notes, f"{images[UNKNOWN]} of {len(described)} images have no finding: no folder and no table names one"]
    if nobody:
        remedy = "say which by download.patient or a table"
        notes = [*notes, f"{nobody} of {len(described)} images name no patient: each counts as a patient of its own; {remedy}"]
    patients: dict[str, int] = {**{way: counts[way] for way in whose.WAYS}, "none": nobody}
    return Fetched({name: images[name] for name in sorted(images) if images[name]}, left_out, patients, sha256, notes)


def _below(path: str, shared: int) -> str:
    return listing.plain("/".join(PurePosixPath(path).parts[shared:]))


def _line(name: str, sha256: str) -> bytes:
    return os.fsencode(f"{sha256}  {name}\n")
