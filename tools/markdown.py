"""Markdown pages with tables that programs write.

A table stands between `<!-- table NAME WORDS -->` and `<!-- end -->`, each on a line of its own. The words, if there are any,
are handed to the function of that name.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature

from cxr.foundation.errors import UserError

Tables = Mapping[str, Callable[..., list[str]]]
"""By name, what returns the lines of a table."""

BEGIN = re.compile(r"^<!-- table (?P<words>\S[^\n]*?) -->[ \t]*$", re.MULTILINE)
_TABLE = re.compile(rf"(?P<begin>{BEGIN.pattern})(?:(?!<!-- table ).)*?(?P<end>^<!-- end -->[ \t]*$)", re.MULTILINE | re.DOTALL)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, the first cell of a row left out where it is that of the row above."""
    lines, above = [heads, ["---"] * len(heads)], ""
    for first, *others in rows:
        lines.append(["" if first == above else first, *others])
        above = first
    return [f"| {' | '.join(line)} |" for line in lines]


def written(page: str, tables: Tables) -> str:
    """Return the Markdown `page` with its tables as `tables` make them. Raises UserError for a marker that names none."""
    whole = {found.start() for found in _TABLE.finditer(page)}
    for found in BEGIN.finditer(page):
        if found.start() not in whole:
            raise UserError(f"table {found['words']} has no <!-- end --> on a line of its own; add it")
    return _TABLE.sub(lambda found: "\n".join([found["begin"], *_lines(found["words"], tables), found["end"]]), page)


def _lines(words: str, tables: Tables) -> list[str]:
    name, *further = words.split()
    if name not in tables:
        raise UserError(f"there is no table {name!r}; name one of {', '.join(tables)}")
    try:
        signature(tables[name]).bind(*further)
    except TypeError as error:
        raise UserError(f"table {words}: {error}; mend the words after {name}") from None
    return tables[name](*further)
