"""What a command line names: the radiographs, and where the result of each goes."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cxr.cli.screen import shown
from cxr.cli.targets import Job
from cxr.formats.dicom.derived import DICOM_SUFFIXES
from cxr.formats.dicom.header import is_dicom
from cxr.formats.encode import FORMATS, format_of, is_picture
from cxr.foundation.errors import UserError
from cxr.foundation.files import refuse_special
from cxr.result import kind_of

IMAGES = b"\xff\xd8\xff", b"\x89PNG\r\n", b"II*\0", b"MM\0*", b"BM"
"""How JPEG, PNG, TIFF and BMP files begin."""


def jobs(inputs: Sequence[Path], output: Path, skipped: Counter[str], hidden: bool = False) -> Iterator[Job]:
    """Yield each radiograph and where its result goes, and count in `skipped`, by reason, what is none.

    With `hidden`, results in a folder are not named by their sources, and what they go to is the folder `output` itself; nor do
    messages name inputs, but count them.
    Raises UserError when one is missing or no file, or when `output` cannot take them.
    """
    to_file = names_file(output)
    if to_file and (len(inputs) > 1 or _is(Path.is_dir, inputs[0])):
        raise UserError(
            f"{output} names one file, but a folder or several radiographs are given; name a folder for the results"
        )
    for number, pattern in enumerate(inputs, 1):
        called = f"argument {number}" if hidden else ""
        for given in _named(pattern, called):
            found = sorted(_radiographs(given, output, skipped)) if _is(Path.is_dir, given) else [given]
            if not found:
                raise UserError(f"{called or shown(given)} holds no radiograph ({', '.join([*FORMATS, *DICOM_SUFFIXES])})")
            for source in found:
                refuse_special(source, called)
                if hidden or to_file:
                    yield source, output
                else:
                    yield source, output / (source.relative_to(given) if _is(Path.is_dir, given) else source.name)


def names_file(output: Path) -> bool:
    """Tell whether `output` names a file, not a folder. Raises UserError when it cannot be written."""
    refuse_special(output)
    if output.is_dir():
        return False
    if is_picture(output):
        format_of(output)
    elif os.path.lexists(output) and not kind_of(output):
        what = "a file" if output.exists() else "a link that leads nowhere"
        raise UserError(f"{output} is {what}; name a folder, or a file that ends in {', '.join([*FORMATS, *DICOM_SUFFIXES])}")
    return bool(kind_of(output))


def _named(pattern: Path, called: str) -> list[Path]:
    """Return `pattern` if it is there, else what it matches: not every shell expands a star."""
    try:
        found = [pattern] if pattern.exists() else sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
    except OSError as error:
        raise UserError(f"{called or shown(pattern)}: {error.strerror}; name a radiograph or a folder of them") from None
    except ValueError:  # two stars, which are no pattern here
        found = []
    if not found:
        raise UserError(f"{called or shown(pattern)} is missing; name a radiograph or a folder of them")
    return found


def _radiographs(folder: Path, output: Path, skipped: Counter[str]) -> Iterator[Path]:
    """Yield the files below `folder`, linked folders among them, that are radiographs by suffix or content.

    Each folder once, whatever links to it. `skipped` counts the others, but for results of before: what lies below `output`,
    unless `folder` does so itself.
    """
    root, results = folder.resolve(), output.resolve()
    seen: set[Path] = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        place = Path(name).resolve()
        if place in seen or (place.is_relative_to(results) and not root.is_relative_to(results)):
            folders.clear()
            continue
        seen.add(place)
        folders.sort()
        for path in (Path(name) / file for file in files):
            if _hidden(path.relative_to(folder)):
                skipped["hidden"] += 1
            elif not _is(Path.is_file, path, closed=True):
                skipped["broken links or no files"] += 1
            elif kind_of(path) or _is_image(path):
                yield path
            else:
                skipped["no radiographs"] += 1


def _is(kind: Callable[[Path], bool], path: Path, closed: bool = False) -> bool:
    """Tell whether `path` is of a `kind`; `closed` is the answer where this user may not know, which is told of later."""
    try:
        return kind(path)
    except OSError:
        return closed


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _is_image(path: Path) -> bool:
    """Tell by content whether the file `path` is an image; one that cannot be read counts as one, and is told of later."""
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(IMAGES) or (is_dicom(path) and path.name != "DICOMDIR")
    except OSError:
        return True
