"""Which file of a source a table means, though it may leave out folders or the suffix."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from cxr.foundation.errors import UserError
from cxr.sources import patients


class Index:
    """The paths of a source's files, found by what a table writes of them."""

    def __init__(self, paths: Iterable[str], where: str) -> None:
        self.where = where
        self.paths = {_composed(path): path for path in paths}
        self.tails: dict[str, list[str]] = defaultdict(list)
        for name, path in sorted(self.paths.items()):
            parts = PurePosixPath(name).parts
            bare = patients.stem(name)
            for i in range(len(parts)):
                self.tails["/".join(parts[i:])].append(path)
                if bare != parts[-1]:
                    self.tails["/".join((*parts[i:-1], bare))].append(path)

    def find(self, text: str) -> str | None:
        """Return the path that `text` means, None when there is none.

        In turn: the path itself; the one that ends with `text`, with or without a suffix; the one that ends with the end of
        `text`, whose own leading folders and, last, own suffix are left out. Raises UserError, beginning with `where`, when
        that fits several files.
        """
        text = _composed(text.strip().replace("\\", "/"))
        parts = PurePosixPath(text).parts
        if not parts or text in self.paths:
            return self.paths.get(text)
        for last in dict.fromkeys((parts[-1], patients.stem(text))):
            for i in range(len(parts)):
                found = self.tails.get("/".join((*parts[i:-1], last)), [])
                if len(found) > 1:
                    raise UserError(f"{self.where}: {text!r} may be {found[0]} or {found[1]}; name its folders as well")
                if found:
                    return found[0]
        return None


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)  # macOS writes an umlaut in two characters where a table has one
