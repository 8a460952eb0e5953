"""The files of a zip or of a folder, alike."""

import os
import shutil
import stat
import zipfile
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from cxr.formats.dicom.header import BEGINNING, begins_dicom
from cxr.foundation.errors import UserError, of_the_disk
from cxr.sources import zips

# A zip can claim to unpack to anything. No radiograph is larger than this many bytes, and no large set of them, which compress
# poorly if at all, so many times the size of its zip.
MAX_ENTRY, MAX_TOTAL, MAX_RATIO = 2**30, 2**30, 100

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".tif", ".tiff", ".bmp")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


class Place(ABC):
    """The files of a source: paths of the images in it, and of all others, with forward slashes."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.images: list[str] = []
        self.others: list[str] = []

    @abstractmethod
    def size(self, image: int) -> int:
        """Return the bytes of the image of this index."""

    @abstractmethod
    def head(self, image: int) -> bytes:
        """Return the first BEGINNING bytes of the image of this index. Raises UserError when they cannot be read."""

    @abstractmethod
    def chunks(self, image: int, bar: Any) -> Iterator[bytes]:
        """Yield the bytes of the image of this index and move `bar` on. Raises UserError when they cannot be read."""

    @abstractmethod
    def content(self, other: str) -> bytes:
        """Return the bytes of one of the other files. Raises UserError when they cannot be read."""

    @abstractmethod
    def check(self, images: Sequence[int], folder: Path) -> None:
        """Raise UserError when the images of these indices are unsafe to take, or more than fits around `folder`."""


@contextmanager
def opened(source: Path, folder: Path) -> Iterator[Place]:
    """Yield the files of `source`, from which images go to `folder`.

    Images are JPEG, PNG, TIFF and BMP by suffix and DICOM by content; DICOMDIR, and what macOS leaves behind, are none.
    Raises UserError when `source` is missing, cannot be read, is no whole zip, or holds `folder`.
    """
    if source.is_dir():
        if folder.resolve().is_relative_to(source.resolve()):
            raise UserError(
                f"download.path is {source}, which holds this workspace's own data; give the folder of images alone"
            )
        yield _Folder(source)
    elif source.is_file():
        with _archive(source) as archive:
            yield _Zip(source, archive)
    else:
        raise UserError(f"download.path is {source}: no such file or folder; give a zip or a folder of radiographs")


class _Folder(Place):
    def __init__(self, source: Path) -> None:
        super().__init__(source)
        for path in sorted(_walk(source)):
            if (source / path).is_file() and is_image(path, partial(self._head, path)):
                self.images.append(path)
            else:
                self.others.append(path)

    def _head(self, path: str) -> bytes:
        with self._reading(path), (self.source / path).open("rb") as file:
            return file.read(BEGINNING)

    def head(self, image: int) -> bytes:
        return self._head(self.images[image])

    def size(self, image: int) -> int:
        return (self.source / self.images[image]).stat().st_size

    def chunks(self, image: int, bar: Any) -> Iterator[bytes]:
        with self._reading(self.images[image]), (self.source / self.images[image]).open("rb") as file:
            yield from zips.chunks(file, bar)

    def content(self, other: str) -> bytes:
        with self._reading(other):
            return (self.source / other).read_bytes()

    def check(self, images: Sequence[int], folder: Path) -> None:
        pass

    @contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise UserError(f"{self.source}: cannot read {path}: {error.strerror}") from None


class _Zip(Place):
    def __init__(self, source: Path, archive: zipfile.ZipFile) -> None:
        super().__init__(source)
        self.archive = archive
        self.entries: list[zipfile.ZipInfo] = []
        self.rest: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            path = PurePosixPath(_slashes(entry.filename)).as_posix()
            if is_image(path, partial(self._head, entry)):
                self.images.append(path)
                self.entries.append(entry)
            else:
                self.others.append(path)
                self.rest[path] = entry

    def _head(self, entry: zipfile.ZipInfo) -> bytes:
        self._refuse_encrypted(entry)
        with self._reading(entry), self.archive.open(entry) as file:
            return file.read(BEGINNING)

    def head(self, image: int) -> bytes:
        return self._head(self.entries[image])

    def size(self, image: int) -> int:
        return self.entries[image].file_size

    def chunks(self, image: int, bar: Any) -> Iterator[bytes]:
        with self._reading(self.entries[image]), self.archive.open(self.entries[image]) as file:
            yield from zips.chunks(file, bar)

    def content(self, other: str) -> bytes:
        entry = self.rest[other]
        self._refuse_unsafe(entry)
        self._refuse_large(entry)
        with self._reading(entry):
            return self.archive.read(entry)

    def check(self, images: Sequence[int], folder: Path) -> None:
        entries = [self.entries[image] for image in images]
        for entry in entries:
            self._refuse_unsafe(entry)
        for entry in entries:
            self._refuse_large(entry)
        total, packed = sum(entry.file_size for entry in entries), self.source.stat().st_size
        if total > max(MAX_TOTAL, MAX_RATIO * packed):
            raise UserError(
                f"{self.source}: {packed:,} bytes claim to unpack to {total:,}, as no radiographs do; do not trust it"
            )
        # Copies, of which Kaggle's zip is half, are not unpacked.
        needed = sum({_slashes(entry.filename).rpartition("/")[2]: entry.file_size for entry in entries}.values())
        free = shutil.disk_usage(next(each for each in (folder, *folder.resolve().parents) if each.exists())).free
        if needed > free:
            raise UserError(
                f"{self.source}: unpacks to at least {needed:,} bytes, and {free:,} are free; make room and run it again"
            )

    def _refuse_unsafe(self, entry: zipfile.ZipInfo) -> None:
        path = PurePosixPath(_slashes(entry.filename))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise UserError(f"{self.source}: the entry {entry.filename!r} points outside the zip; do not trust it")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"{self.source}: the entry {entry.filename!r} is a link, not an image; pack the files themselves")
        self._refuse_encrypted(entry)

    def _refuse_encrypted(self, entry: zipfile.ZipInfo) -> None:
        if entry.flag_bits & 0x1:
            raise UserError(f"{self.source}: the entry {entry.filename!r} is encrypted; unpack it yourself and give the folder")

    def _refuse_large(self, entry: zipfile.ZipInfo) -> None:
        if entry.file_size > MAX_ENTRY:
            raise UserError(
                f"{self.source}: the entry {entry.filename!r} claims {entry.file_size:,} bytes, as no radiograph has"
            )

    @contextmanager
    def _reading(self, entry: zipfile.ZipInfo) -> Iterator[None]:
        try:
            yield
        except zips.BROKEN as error:
            if of_the_disk(error):
                raise
            reason = zips.message_of(error)
            raise UserError(
                f"{self.source}: the entry {entry.filename!r} is damaged ({reason}); download the zip again"
            ) from None


def is_image(path: str, head: Callable[[], bytes]) -> bool:
    """Tell whether the file `path`, whose first BEGINNING bytes `head()` gives, is a radiograph, or calls itself one."""
    parts, suffix = PurePosixPath(path).parts, PurePosixPath(path).suffix.lower()
    litter = "__MACOSX" in parts or any(part.startswith(".") and part != ".." for part in parts)
    if litter or parts[-1].upper() == "DICOMDIR":
        return False
    return suffix in IMAGE_SUFFIXES + DICOM_SUFFIXES or begins_dicom(head())


def _archive(source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except PermissionError as error:
        raise UserError(f"{source}: {error.strerror}") from None
    except zips.BROKEN as error:
        if of_the_disk(error):
            raise
        raise UserError(f"{source}: not a whole zip ({zips.message_of(error)}); download it again, or give a folder") from None


def _walk(folder: Path) -> Iterator[str]:
    """Yield the paths of all files below `folder`."""

    def stop(error: OSError) -> None:
        raise UserError(f"{error.filename}: {error.strerror}")

    # Links are followed, since data sets are often links to a larger disk, but each folder is walked once, by its own name
    # rather than a link's, and what holds the source not at all. What lies in hidden folders counts only by a link.
    seen: set[tuple[bool, Path]] = set()
    tops = deque([folder])
    while tops:
        for root, folders, names in os.walk(tops.popleft(), onerror=stop):
            here = Path(root)
            place = any(part.startswith(".") for part in here.relative_to(folder).parts), here.resolve()
            folders[:] = sorted(folders)
            if place in seen:
                folders.clear()
                continue
            seen.add(place)
            links = [here / name for name in folders if (here / name).is_symlink()]
            tops.extend(link for link in links if not here.resolve().is_relative_to(link.resolve()))
            yield from _named(folder, here, names)


def _named(folder: Path, here: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield the paths, below `folder`, of the files `names` in `here`."""
    for name in names:
        path = (here / name).relative_to(folder).as_posix()
        try:
            path.encode()
        except UnicodeEncodeError:  # no table can hold it
            raise UserError(f"{folder}: the name {path!r} is not UTF-8; rename it") from None
        yield path


def _slashes(name: str) -> str:
    return name.replace("\\", "/")  # some packers on Windows write their own separator
