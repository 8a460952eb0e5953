"""Strict, typed reading of one section of params.yaml.

A section is a frozen dataclass that stands beside the code that uses it. Its annotations are the schema: `int`,
`float`, `bool`, `str`, `Literal`, `tuple[T, ...]` and `tuple[T, T]`, each optionally wrapped in `Annotated[T, Must(...)]`. Of a
`dict[...]` the keys and values are for the dataclass to check.
"""

import dataclasses
import difflib
import reprlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cxr.foundation.errors import UserError

Section = TypeVar("Section")


class Must(NamedTuple):
    """What a value must be beyond its type, for ``Annotated``: said in words, and as a test."""

    be: str
    test: Callable[[Any], bool]


def at_least(low: float) -> Must:
    """Require a number of at least `low`."""
    return Must(f"at least {low:g}", lambda value: value >= low)


def between(low: float, high: float) -> Must:
    """Require a number from `low` to `high`, both included."""
    return Must(f"from {low:g} to {high:g}", lambda value: low <= value <= high)


SEED = Must("from 0 to 4294967295", lambda value: 0 <= value < 2**32)  # what every generator of random numbers takes
MAX_BYTES = 100_000  # of a file: what its author wrote takes a few thousand, and reading takes long


class _Short(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        # Python itself refuses to write numbers of more than 4,300 digits.
        return super().repr_int(x, level) if x.bit_length() < 1000 else f"a whole number of {x.bit_length():,} bits"


_SHORT = _Short()  # a few lines of YAML can stand for a value that fills the memory when it is printed
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 80, 80


def read(path: Path, section: str, schema: type[Section]) -> Section:
    """Read `section` of the YAML 1.2 file `path` as the dataclass `schema`.

    Raises UserError, naming file, key, value and what is expected, for a missing, unknown, ill-typed or ill-valued key.
    """
    document = load(path)
    if section not in document:
        raise UserError(f"{path}: the section {section} is missing{_suggestion(section, document)}")
    return convert(document[section], schema, f"{path}: {section}")


def load(path: Path) -> dict[str, Any]:
    """Return the sections of the YAML 1.2 file `path` by name.

    YAML 1.2, as DVC reads it: there `1e-4` is a number, which readers of YAML 1.1 take for a string.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES:,} bytes; expected a short file of sections and keys")
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path}: no such file; run from the root of the workspace") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or not all(isinstance(name, str) for name in document):
        raise UserError(f"{path}: expected sections with a name each, such as 'split:'")
    return document


def refuse_unknown(document: Mapping[str, Any], known: Mapping[str, Any], path: Path) -> None:
    """Raise UserError when `document` has a section that is not in `known`."""
    for name in document:
        if name not in known:
            raise UserError(f"{path}: the section {_quoted(name)} is unknown{_suggestion(_quoted(name), known)}")


def convert(value: Any, schema: type[Section], where: str) -> Section:
    """Return `value`, a mapping as YAML gives it, as the dataclass `schema`; `where` begins each UserError."""
    if not isinstance(value, dict):
        raise UserError(f"{where} is {_SHORT.repr(value)}; expected the keys {', '.join(_fields(schema))}")
    fields = _fields(schema)
    for key in value:
        if key not in fields:
            raise UserError(f"{where}.{_quoted(key)} is unknown{_suggestion(_quoted(key), fields)}")
    for key in fields:
        if key not in value:
            raise UserError(f"{where}.{key} is missing; expected {_describe(fields[key])}")
    values = {key: _typed(value[key], fields[key], f"{where}.{key}") for key in fields}
    try:
        return schema(**values)
    except ValueError as error:  # each value is good, but not beside the others
        raise UserError(f"{where}: {error}") from None


def _quoted(key: Any) -> str:
    """Return `key` as it stands in the file when that is short and plain."""
    return key if isinstance(key, str) and key.isprintable() and 0 < len(key) <= _SHORT.maxstring else _SHORT.repr(key)


def _fields(schema: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(schema, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(schema)}


def _suggestion(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(known)}"


def _typed(value: Any, kind: Any, where: str) -> Any:
    if _is_of(value, kind):
        base, *musts = get_args(kind) if get_origin(kind) is Annotated else (kind,)
        typed = _items(value, base, where) if get_origin(base) is tuple else float(value) if base is float else value
        if all(must.test(typed) for must in musts):
            return typed
    raise UserError(f"{where} is {_SHORT.repr(value)}; expected {_describe(kind)}")


def _items(values: list[Any], kind: Any, where: str) -> tuple[Any, ...]:
    kinds = get_args(kind)
    item_kinds = [kinds[0]] * len(values) if kinds[-1] is Ellipsis else kinds
    return tuple(
        _typed(item, item_kind, f"{where}[{i}]") for i, (item, item_kind) in enumerate(zip(values, item_kinds, strict=True))
    )


def _is_of(value: Any, kind: Any) -> bool:
    """Tell whether `value` is of `kind`, whatever else it must be; the items of a list are not looked at."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _is_of(value, get_args(kind)[0])
    if origin is tuple:
        return isinstance(value, list) and (get_args(kind)[-1] is Ellipsis or len(value) == len(get_args(kind)))
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(kind))
    if origin is dict:
        return isinstance(value, dict)
    if kind is float:
        return type(value) in {int, float} and abs(value) <= sys.float_info.max  # a whole number may exceed what floats hold
    return type(value) is kind  # not isinstance: True is an int to Python and a mistake here


def _describe(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        base, *musts = get_args(kind)
        return " ".join([_describe(base), *(must.be for must in musts)])
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        many = "a list, each item" if kinds[-1] is Ellipsis else f"a list of {len(kinds)}, each"
        return f"{many} {_describe(kinds[0])}"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(kind))
    if get_origin(kind) is dict:
        return "a mapping, such as {}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}[kind]
