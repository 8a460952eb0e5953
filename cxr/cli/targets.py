"""Where results go: checked for all of them before the first is written."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from cxr.cli.screen import shown
from cxr.foundation.errors import UserError
from cxr.foundation.files import refuse_special
from cxr.result import comparison_of, interpolated_name, replaceable

Job = tuple[Path, Path]
"""A radiograph, and where its result goes."""

NAMED = 10  # files that a message names at most


def refuse(
    jobs: Sequence[Job],
    compare: bool,
    others: Sequence[Path],
    overwrite: bool,
    origin_of: Callable[[Path], str],
    called: Mapping[Path, str],
    or_bicubic: bool = False,
) -> None:
    """Raise UserError unless every result of `jobs`, and every comparison, can be written without harm.

    Never over a radiograph or one of the `others`, which are read as well, by whatever name; never two into one file; never
    over a pipe or a folder. Over another file only with `overwrite`, or where its note holds what `origin_of` the radiograph
    returns: it is then the result of the same command on the same source. `called` has what messages call what is read.
    """
    written = list(_written(jobs, compare, or_bicubic))
    _refuse_meeting(written, called)
    read = {}
    for path in (*(source for source, _ in jobs), *others):
        with suppress(OSError):  # of what is missing or closed, which is told when it is opened
            read[_identity(path)] = path
    there = []
    for source, target in written:
        refuse_special(target)
        if target.is_dir():
            raise UserError(f"{shown(target)} is a folder; name another output")
        if target.exists() and (same := read.get(_identity(target))):
            raise UserError(f"{called.get(same, shown(same))} would be overwritten; name another output")
        if os.path.lexists(target):
            there.append((source, target))
    if overwrite:
        return
    kept = [target for source, target in there if not _same(source, target, origin_of)]
    if kept:
        named = ", ".join(map(shown, kept[:NAMED])) + (f" and {len(kept) - NAMED} more" if len(kept) > NAMED else "")
        be, those = ("are", "the results") if len(kept) > 1 else ("is", "the result")
        raise UserError(f"{named} {be} there already, and not {those} of this command; --overwrite replaces what is there")


def _same(source: Path, target: Path, origin_of: Callable[[Path], str]) -> bool:
    try:
        return replaceable(target, origin_of(source))
    except OSError:  # of the source: nothing is made of it
        return True


def _written(jobs: Sequence[Job], compare: bool, or_bicubic: bool) -> Iterator[Job]:
    """Yield each radiograph with every file that may be written of it."""
    for source, target in jobs:
        for result in (target, interpolated_name(target)) if or_bicubic else (target,):
            yield source, result
            if compare:
                yield source, comparison_of(result)


def _refuse_meeting(written: Sequence[Job], called: Mapping[Path, str]) -> None:
    """Raise UserError when two results would become one file: also by way of links, and of names that differ in case alone."""

    @cache
    def place(folder: Path) -> tuple[Path, bool]:
        return Path(os.path.realpath(folder)), ignores_case(folder)  # resolve() fails on links in a circle

    taken: dict[str, Path] = {}
    for source, target in written:
        folder, any_case = place(target.parent)
        name = str(folder / target.name)
        first = taken.setdefault(name.casefold() if any_case else name, source)
        if first is not source:
            both = f"{called[first]} and {called[source]}"
            raise UserError(f"{both} would both become {shown(target)}; give them one by one")


def ignores_case(folder: Path) -> bool:
    """Tell whether the disk that `folder` is on, or will be, takes names that differ in case alone for the same."""
    known = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    named = next((path for path in (known, *known.parents) if path.name.swapcase() != path.name), None)
    other = named and named.with_name(named.name.swapcase())
    return bool(named and other and other.exists() and other.samefile(named))


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
