"""Radiographs of the user's own: a zip in Kaggle's layout, or a folder with a sub-folder per class.

In both, an image's class is the name of the folder it lies in, however deep. Each image is taken once, though Kaggle's zip
holds its tree twice.
"""

import errno
import hashlib
import os
import shutil
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from cxr.foundation.errors import UserError, of_the_disk
from cxr.sources import zips

# A zip can claim to unpack to anything. No radiograph is larger than this many bytes, and no large set of them, which compress
# poorly if at all, so many times the size of its zip.
MAX_ENTRY, MAX_TOTAL, MAX_RATIO = 2**30, 2**30, 100

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Download:
    """Section `download` of params.yaml: where the radiographs come from."""

    source: Literal["phantom", "local", "kaggle"]
    path: str

    def __post_init__(self) -> None:
        """Raise ValueError when the source needs a path and has none."""
        if self.source == "local" and not self.path.strip():
            raise ValueError("path is empty; with the source local it names a zip or a folder")


class Fetched(NamedTuple):
    """What a source held."""

    images: dict[str, int]
    """Images taken, by class."""
    copies: int
    """Further copies, with identical bytes, of images taken."""
    ignored: int
    """Files that are no images, macOS litter included."""
    sha256: str
    """Of the zip; of a folder, of what `sha256sum` prints for its images in the order of their paths."""


def fetch(source: Path, folder: Path) -> Fetched:
    """Copy each image of `source`, a zip or a folder, once to `folder`/CLASS/NAME, bytes and names unchanged.

    Images are files that end in one of SUFFIXES. Raises UserError when `source` is missing, damaged, encrypted, unsafe to
    unpack or without images; when an image lies in no class's folder; and when two different images have the same class and
    name (upper and lower case count as equal, since some file systems cannot hold both).
    """
    if source.is_dir():
        return _fetch_folder(source, folder)
    if source.is_file():
        return _fetch_zip(source, folder)
    raise UserError(f"download.path is {source}: no such file or folder; give a zip or a folder with one sub-folder per class")


def survey(folder: Path) -> Fetched:
    """Return what `folder`/CLASS/NAME holds. Its fingerprint equals that of a source with the same paths and bytes."""
    names, ignored = _list(folder)
    digest = hashlib.sha256()
    for name in names:
        with (folder / name).open("rb") as file:
            digest.update(_line(name, hashlib.file_digest(file, "sha256").hexdigest()))
    counts = Counter(PurePosixPath(name).parent.name for name in names)
    return Fetched(dict(sorted(counts.items())), 0, ignored, digest.hexdigest())


def _fetch_folder(source: Path, folder: Path) -> Fetched:
    if folder.resolve().is_relative_to(source.resolve()):
        raise UserError(f"download.path is {source}, which holds this workspace's own data; give the folder of images alone")
    names, ignored = _list(source)
    _refuse_classless(source, names)
    shelf = _Shelf(source, folder)
    digest = hashlib.sha256()
    total = sum((source / name).stat().st_size for name in names)
    with zips.bytes_bar("copying", total) as bar:
        for name in names:
            try:
                with (source / name).open("rb") as file:
                    digest.update(_line(name, shelf.put(name, zips.chunks(file, bar))))
            except PermissionError as error:
                raise UserError(f"{source}: cannot read {name}: {error.strerror}") from None
    return shelf.fetched(ignored, digest.hexdigest())


def _fetch_zip(source: Path, folder: Path) -> Fetched:
    try:
        archive = zipfile.ZipFile(source)
    except PermissionError as error:
        raise UserError(f"{source}: {error.strerror}") from None
    except zips.BROKEN as error:
        if of_the_disk(error):
            raise
        raise UserError(f"{source}: not a whole zip ({zips.message_of(error)}); download it again, or give a folder") from None
    with archive:
        shelf = _Shelf(source, folder)
        members = [entry for entry in archive.infolist() if not entry.is_dir()]
        images = [(_safe(source, entry), entry) for entry in members if _is_image(_slashes(entry.filename))]
        _refuse_classless(source, [name for name, _ in images])
        _refuse_bomb(source, folder, [entry for _, entry in images])
        with zips.bytes_bar("unpacking", sum(entry.file_size for _, entry in images)) as bar:
            for name, entry in images:
                shelf.put(name, _unpacked(source, archive, entry, bar))
    return shelf.fetched(len(members) - len(images), zips.sha256(source))


class _Shelf:
    """The folder that images are put on, each once."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source, self.folder = source, folder
        self.held: dict[str, tuple[str, str]] = {}  # "class/name" in lower case: SHA-256, and where it lay in the source
        self.counts: Counter[str] = Counter()
        self.copies = 0

    def put(self, origin: str, chunks: Iterable[bytes]) -> str:
        """Write `chunks`, the bytes of the image `origin`, unless they are there already; return their SHA-256 in hex."""
        path = PurePosixPath(origin)
        key = f"{path.parent.name}/{path.name}".casefold()
        digest = hashlib.sha256()
        if key in self.held:
            for chunk in chunks:
                digest.update(chunk)
            sha256, first = self.held[key]
            if sha256 != digest.hexdigest():
                raise UserError(f"{self.source}: {first} and {origin} are two images of one class and name; rename one")
            self.copies += 1
            return sha256
        target = self.folder / path.parent.name / path.name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("xb")
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise UserError(f"{self.source}: {origin[:80]}...: the name is too long for this disk; shorten it") from None
        with file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
        self.held[key] = digest.hexdigest(), origin
        self.counts[path.parent.name] += 1
        return digest.hexdigest()

    def fetched(self, ignored: int, sha256: str) -> Fetched:
        return Fetched(dict(sorted(self.counts.items())), self.copies, ignored, sha256)


def _list(folder: Path) -> tuple[list[str], int]:
    """Return the images below `folder`, as sorted posix paths relative to it, and how many other files there are."""
    images, others = [], 0

    def stop(error: OSError) -> None:
        raise UserError(f"{error.filename}: {error.strerror}")

    # Links are followed, since data sets are often links to a larger disk, but not up to a folder that holds them.
    for root, folders, names in os.walk(folder, onerror=stop, followlinks=True):
        here = Path(root)
        real = here.resolve()
        folders[:] = [name for name in folders if not real.is_relative_to((here / name).resolve())]
        for name in names:
            path = (here / name).relative_to(folder).as_posix()
            try:
                path.encode()
            except UnicodeEncodeError:  # no table can hold it
                raise UserError(f"{folder}: the name {path!r} is not UTF-8; rename it") from None
            if _is_image(path) and (here / name).is_file():
                images.append(path)
            else:
                others += 1
    return sorted(images), others


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    litter = "__MACOSX" in path.parts or any(part.startswith(".") and part != ".." for part in path.parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and not litter


def _refuse_classless(source: Path, names: list[str]) -> None:
    if not names:
        raise UserError(f"{source}: no images in it ({', '.join(IMAGE_SUFFIXES)}); expected them in one folder per class")
    for name in names:
        if "/" not in name:
            raise UserError(f"{source}: {name} lies in no class's folder; expected a path such as NORMAL/{name}")


def _refuse_bomb(source: Path, folder: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Raise UserError when `entries` would unpack to more than radiographs can, or than there is room for around `folder`."""
    for entry in entries:
        if entry.file_size > MAX_ENTRY:
            raise UserError(f"{source}: the entry {entry.filename!r} claims {entry.file_size:,} bytes, as no radiograph has")
    total, packed = sum(entry.file_size for entry in entries), source.stat().st_size
    if total > max(MAX_TOTAL, MAX_RATIO * packed):
        raise UserError(f"{source}: {packed:,} bytes claim to unpack to {total:,}, as no radiographs do; do not trust it")
    # Copies, of which Kaggle's zip is half, are not unpacked.
    needed = sum({_slashes(entry.filename).rpartition("/")[2]: entry.file_size for entry in entries}.values())
    free = shutil.disk_usage(next(each for each in (folder, *folder.resolve().parents) if each.exists())).free
    if needed > free:
        raise UserError(f"{source}: unpacks to at least {needed:,} bytes, and {free:,} are free; make room and run it again")


def _slashes(name: str) -> str:
    return name.replace("\\", "/")  # some packers on Windows write their own separator


def _safe(source: Path, entry: zipfile.ZipInfo) -> str:
    """Return the entry's path with forward slashes. Raises UserError when it is encrypted or points outside the zip."""
    name = _slashes(entry.filename)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise UserError(f"{source}: the entry {entry.filename!r} points outside the zip; do not trust it")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise UserError(f"{source}: the entry {entry.filename!r} is a link, not an image; pack the files themselves")
    if entry.flag_bits & 0x1:
        raise UserError(f"{source}: the entry {entry.filename!r} is encrypted; unpack it yourself and give the folder")
    return path.as_posix()


def _unpacked(source: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, bar: Any) -> Iterator[bytes]:
    try:
        with archive.open(entry) as file:
            yield from zips.chunks(file, bar)
    except zips.BROKEN as error:
        if of_the_disk(error):
            raise
        reason = zips.message_of(error)
        raise UserError(f"{source}: the entry {entry.filename!r} is damaged ({reason}); download the zip again") from None


def _line(name: str, sha256: str) -> bytes:
    return os.fsencode(f"{sha256}  {name}\n")
