"""Outputs that appear whole or not at all, and that equal inputs fill with equal bytes."""

import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from cxr.foundation.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


LONGEST = 16
"""Bytes of a suffix at most that a half-made file has as well, since no name has more than 255."""


@contextmanager
def replacing(path: Path, ours: bool = False) -> Iterator[Path]:
    """Yield a hidden path beside `path`, with its suffix, for a file that takes the place of `path` when the block ends well.

    Folders on the way are made. When the block raises, the half-made file is removed and `path` stays as it was. After a power
    cut, too, `path` holds all of the old or all of the new. The hidden file has a name that no file had, so a killed run leaves
    one behind. With `ours`, for what is large or written often in folders that are the pipeline's own, its name is always the
    same, and the next run replaces what a killed one has left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path) if ours else _unused(path)
    with naming(path, partial):
        if ours:
            partial.unlink(missing_ok=True)
        partial.touch(exist_ok=False)
        try:
            yield partial
            _to_disk(partial)
            partial.replace(path)
            _to_disk(path.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` that takes the place of the folder `path`, if there is one, when the block ends well.

    When the block raises, the half-made folder is removed and `path` stays as it was. For folders of the pipeline alone: a
    half-made one has always the same name, and what lies there, such as gigabytes that a killed run has left, is removed.
    """
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with naming(path, partial):
            yield partial
            if path.exists():
                shutil.rmtree(path)
            partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 with newlines as they are, in one step."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as JSON: indented by two, keys in the order given. Raises ValueError for NaN and infinity."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_table(path: Path, table: "pd.DataFrame | Sequence[Mapping[str, Any]]") -> None:
    """Write `table`, a frame or a list of rows, to `path` as CSV with a header, in one step; floats with twelve digits."""
    import pandas as pd  # noqa: PLC0415 - only where tables are written

    write_text(path, pd.DataFrame(table).to_csv(index=False, lineterminator="\n", float_format="%.12g"))


SPECIAL = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
"""By kind of file, what is never opened: to open it can hang, or start something."""


def refuse_special(path: Path, called: str = "") -> None:
    """Raise UserError when `path`, links followed, is one of SPECIAL. What is missing or closed is let through.

    The message calls it `called`, or by its name if that is empty.
    """
    try:
        kind = SPECIAL.get(stat.S_IFMT(path.stat().st_mode))
    except OSError:  # which whoever opens it tells
        return
    if kind:
        raise UserError(f"{called or path} is {kind}; name a file")


@contextmanager
def naming(path: Path, partial: Path | None = None) -> Iterator[None]:
    """Let what the system says of the block, or of `partial`, name `path`: of a full or broken disk it names nothing."""
    try:
        yield
    except OSError as error:
        if error.filename is None or error.filename == str(partial):
            error.filename, error.filename2 = str(path), None
        raise


def _to_disk(path: Path) -> None:
    """Wait until the file, or the names in the folder, `path` would survive a power cut."""
    with suppress(PermissionError):  # Windows opens no folders
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.stem}.partial{path.suffix}")


def _unused(path: Path) -> Path:
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= LONGEST else ""
    return path.with_name(f".{secrets.token_hex(8)}.partial{suffix}")


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Raise UserError when the block finds that `path` is missing or is not what the stages write."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run dvc repro, which makes it") from None
    except (ValueError, KeyError, OverflowError, EOFError, BadZipFile) as error:
        raise UserError(f"{path} is damaged ({' '.join(str(error).split())}); remove it and run dvc repro") from None
