"""Which files of a source a table means, though it may leave out folders or the suffix, or name more folders."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from cxr.sources import patients


class Matches(NamedTuple):
    """The paths that texts of a table mean, and the texts that may mean several; all other texts mean none."""

    found: dict[str, str]
    ambiguous: list[str]


class _Way(NamedTuple):
    """How texts are shortened: by how many leading folders, and whether by the suffix."""

    cut: int
    bare: bool


def match(paths: Iterable[str], texts: Iterable[str]) -> Matches:
    """Return which of `paths` each of `texts` means, which are all that a table writes.

    A text means the path that equals it. A text with folders means the path that is, or ends with, what is left of it when
    some leading folders are cut off: the same number in the whole table, the least with which any text means a path of its
    own, since a longer match is a surer one; one folder at least is left unless the path has none. Where that fits more, no
    suffix counts. A text without folders means the one file of that name, or of that name without suffix. Two texts never
    mean one path but by equality, and none a path of another patient by `patients.patient`. Umlauts count as equal in one
    character or in two.
    """
    written = {text: _plain(text) for text in dict.fromkeys(texts)}
    index = _Index(paths)
    exact = {text: index.paths[plain] for text, plain in written.items() if plain in index.paths}
    rest = {text: plain for text, plain in written.items() if text not in exact and plain}
    with_folders = {text: plain for text, plain in rest.items() if "/" in plain}
    way = _best(index, {plain for text, plain in written.items() if "/" in plain}, set(exact.values()))
    several = {text: _of_one(plain, index.find(plain, way)) for text, plain in with_folders.items()}
    for text, plain in rest.items():
        if text not in with_folders:
            several[text] = index.named(plain)
    wanted = Counter(found[0] for found in several.values() if len(found) == 1)
    wanted.update(set(exact.values()))
    found = {text: paths[0] for text, paths in several.items() if len(paths) == 1 and wanted[paths[0]] == 1}
    return Matches(exact | found, [text for text, paths in several.items() if paths and text not in found])


class _Index:
    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = {_plain(path): path for path in paths}
        self.tails: dict[bool, Mapping[str, list[str]]] = {False: defaultdict(list), True: defaultdict(list)}
        for name, path in sorted(self.paths.items()):
            for bare, tails in self.tails.items():
                tail = "/".join(_parts(name, bare))
                while tail:
                    tails[tail].append(path)
                    tail = tail.partition("/")[2]

    def find(self, plain: str, way: _Way) -> list[str]:
        """Return the paths that may be meant by `plain`, a text with folders that equals none."""
        parts = _parts(plain, way.bare)[way.cut :]
        found = self.tails[way.bare].get("/".join(parts), [])
        if len(parts) == 1:  # a name alone, of which other folders may hold one as well, so only a path without folders
            found = [path for path in found if "/" not in path]
        return found

    def named(self, plain: str) -> list[str]:
        """Return the paths that may be meant by `plain`, a text without folders."""
        return next((found for bare in (False, True) if (found := self.tails[bare].get(_name(plain, bare), []))), [])


def _best(index: _Index, plains: Iterable[str], taken: set[str]) -> _Way:
    """Return the way that cuts least of those by which any of `plains` means a path, with or without suffix as fits more."""
    plains = list(plains)
    if any(plain in index.paths for plain in plains):
        return _Way(0, False)

    def fits(way: _Way) -> int:
        found = [index.find(plain, way) for plain in plains]
        wanted = Counter(paths[0] for paths in found if len(paths) == 1)
        return sum(count == 1 and path not in taken for path, count in wanted.items())

    for cut in range(max((plain.count("/") for plain in plains), default=0) + 1):
        way = max((_Way(cut, False), _Way(cut, True)), key=fits)
        if fits(way):
            return way
    return _Way(0, False)


def _of_one(plain: str, paths: list[str]) -> list[str]:
    """Return those of `paths` that may be of the same patient as `plain`."""
    if not paths or not (who := patients.patient(plain)):
        return paths
    return [path for path in paths if patients.patient(path) in {"", who}]


def _parts(plain: str, bare: bool) -> list[str]:
    *folders, name = plain.split("/")
    return [*folders, _name(name, bare)]


def _name(name: str, bare: bool) -> str:
    return patients.stem(name) if bare else name


def _plain(text: str) -> str:
    """Return `text` as a path, composed: macOS writes an umlaut in two characters where a table has one."""
    path = PurePosixPath(unicodedata.normalize("NFC", text.strip().replace("\\", "/"))).as_posix()
    return "" if path == "." else path
